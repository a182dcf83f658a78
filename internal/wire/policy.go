package wire

// Policy is a set of Rego files that judges plans.
type Policy struct {
	// Name is what its verdicts are called, and From where it is written, for people.
	Name string `json:"name"`
	From string `json:"from"`
	// Namespaces are the packages whose rules judge; none means main.
	Namespaces []string     `json:"namespaces,omitempty"`
	Files      []PolicyFile `json:"files"`
}

// PolicyFile is one file of a policy.
type PolicyFile struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Judged says that a runner had a plan judged by a policy; its verdicts are among the
// plan's checks.
type Judged struct {
	Name   string `json:"name"`
	From   string `json:"from"`
	Digest string `json:"digest"`
}

// About is what policies are told beside the engine's plan, as input.terrace.
type About struct {
	Project     string       `json:"project"`
	Environment string       `json:"environment"`
	Stack       string       `json:"stack"`
	Instance    string       `json:"instance"`
	Kind        string       `json:"kind"`
	Release     AboutRelease `json:"release"`
	// Actions counts the resources by what happens to them; actions that do not occur are 0.
	Actions map[string]int `json:"actions"`
}

// AboutRelease is the release that a plan was made for.
type AboutRelease struct {
	Number  int64  `json:"number"`
	Commit  string `json:"commit"`
	Author  string `json:"author"`
	Message string `json:"message"`
}
