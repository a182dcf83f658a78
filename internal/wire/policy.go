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

// Allow is what plans may use, as the guardrails say it. What is empty restricts nothing.
type Allow struct {
	// From is where it is written, for people.
	From           string   `json:"from"`
	Engines        []string `json:"engines,omitempty" doc:"names"`
	EngineVersions string   `json:"engine_versions,omitempty" doc:"a version constraint"`
	Providers      []string `json:"providers,omitempty" doc:"patterns of addresses with host, in which * stands for any text"`
	Modules        []string `json:"modules,omitempty" doc:"likewise, of sources of modules from elsewhere"`
}

// Uses is what a run uses, found out before its plan is made.
type Uses struct {
	Engine  string `json:"engine"`
	Version string `json:"version"`
	// Providers have been installed, those included that only a module or the state needs.
	Providers []UsedProvider `json:"providers,omitempty"`
	// Modules are all that are called, at every depth, but for those beside their caller.
	Modules []UsedModule `json:"modules,omitempty"`
}

// UsedProvider is a provider, and which modules name it.
type UsedProvider struct {
	Address string `json:"address"`
	Version string `json:"version,omitempty"`
	// Where lists addresses of modules, "" for the root module. Empty means that no module
	// does: the state or the lock file asks for it.
	Where []string `json:"where,omitempty"`
}

// UsedModule is a module from elsewhere.
type UsedModule struct {
	Where string `json:"where" doc:"the call's address, as module.web.module.net"`
	// Source is as the engine reads it, Written as it is in the code where that is known
	// and another.
	Source  string `json:"source"`
	Written string `json:"written,omitempty"`
	Version string `json:"version,omitempty"`
}
