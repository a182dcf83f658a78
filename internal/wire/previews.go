package wire

import "time"

// StartPreview says what to preview: a pull request, or a branch.
type StartPreview struct {
	Pull   int64  `json:"pull,omitempty" doc:"number of an open pull request"`
	Branch string `json:"branch,omitempty" maxLength:"200"`
}

// AllowPull lets a fork's commit be previewed.
type AllowPull struct {
	Commit string `json:"commit,omitempty" maxLength:"64" doc:"the one that was looked at; refused when the pull request has another one now"`
}

// Preview is what a branch would do.
type Preview struct {
	ID       string     `json:"id"`
	Project  string     `json:"project"`
	Pull     int64      `json:"pull,omitempty" doc:"number of the pull request"`
	Branch   string     `json:"branch"`
	Title    string     `json:"title,omitempty"`
	Commit   string     `json:"commit"`
	Target   string     `json:"target,omitempty" doc:"commit of the tracked branch that it was merged into"`
	Status   string     `json:"status" enum:"waiting,running,succeeded,failed,errored,cancelled,superseded"`
	Why      string     `json:"why,omitempty"`
	By       string     `json:"by"`
	Created  time.Time  `json:"created"`
	Finished *time.Time `json:"finished,omitempty"`
	// Environments are all that it was planned for, in promotion order.
	Environments []PreviewEnvironment `json:"environments"`
}

// PreviewEnvironment is a preview in one environment.
type PreviewEnvironment struct {
	Environment string            `json:"environment"`
	Changes     Changes           `json:"changes"`
	Refused     []string          `json:"refused,omitempty" doc:"rules that the branch takes away, and that hold for it all the same"`
	Gates       []string          `json:"gates,omitempty" doc:"what it waits for before it is applied there"`
	Instances   []PreviewInstance `json:"instances"`
}

// PreviewInstance is an instance that a preview affects.
type PreviewInstance struct {
	Instance  string   `json:"instance"`
	State     string   `json:"state" enum:"upstream,running,planned,no_changes,denied,failed,errored,waits,removed"`
	Run       string   `json:"run,omitempty"`
	Changes   Changes  `json:"changes"`
	WaitsFor  string   `json:"waits_for,omitempty"`
	Against   []string `json:"against,omitempty" doc:"stacks whose planned outputs it was planned with"`
	Why       string   `json:"why,omitempty"`
	Resources int      `json:"resources,omitempty" doc:"of a removed stack"`
}

// Pull is an open pull request.
type Pull struct {
	Number  int64  `json:"number"`
	Title   string `json:"title"`
	Author  string `json:"author" doc:"name on the forge"`
	URL     string `json:"url"`
	Branch  string `json:"branch"`
	Commit  string `json:"commit"`
	Fork    bool   `json:"fork"`
	Draft   bool   `json:"draft"`
	Allowed bool   `json:"allowed" doc:"its code may run: it is from no fork, or a member let this commit in"`
}

// Previews are those of a project, newest first, and the pull requests that are open.
type Previews struct {
	Previews []Preview `json:"previews"`
	Pulls    []Pull    `json:"pulls"`
}

// Foretold compares the plan of a release with what a preview said.
type Foretold struct {
	Preview    string `json:"preview"`
	Pull       int64  `json:"pull,omitempty"`
	Same       bool   `json:"same"`
	Difference string `json:"difference,omitempty"`
}

// SetForge says where a project's repository is hosted, and as whom Terrace is there.
type SetForge struct {
	Kind  string    `json:"kind,omitempty" enum:"github,gitlab,gitea" doc:"default: as the repository's address tells"`
	URL   string    `json:"url,omitempty" maxLength:"500" doc:"of the forge; default: as the repository's address tells"`
	Repo  string    `json:"repo,omitempty" maxLength:"300" doc:"path of the repository there; default: as its address tells"`
	Token string    `json:"token,omitempty" maxLength:"10000"`
	App   *ForgeApp `json:"app,omitempty" doc:"a GitHub app, in place of a token"`
}

// ForgeApp is a GitHub app.
type ForgeApp struct {
	ID           int64  `json:"id"`
	Installation int64  `json:"installation,omitempty" doc:"looked up for the repository when it is not said"`
	Key          string `json:"key" maxLength:"20000" doc:"the app's private key, PEM"`
}

// Forge is where a project's repository is hosted.
type Forge struct {
	Kind    string `json:"kind"`
	URL     string `json:"url"`
	Repo    string `json:"repo"`
	Trouble string `json:"trouble,omitempty" doc:"why the last conversation with it failed"`
}
