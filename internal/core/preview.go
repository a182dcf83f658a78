package core

import (
	"slices"
	"time"
)

// Forge is where a project's repository is hosted, and as whom Terrace is there.
type Forge struct {
	Kind string `json:"kind"` // github, gitlab or gitea
	URL  string `json:"url"`  // of the forge for people
	Repo string `json:"repo"` // path of the repository there, as team/shop
	// Login is sealed and in hexadecimal: a token, or the key of an app.
	Login string `json:"login"`
	// Trouble is why the last conversation with it failed, "" when it did not.
	Trouble string    `json:"trouble,omitempty"`
	Quiet   time.Time `json:"quiet,omitzero"` // it asked not to be spoken to until then
}

// Pull is a pull request (a merge request, on GitLab) into the branch that a project follows.
type Pull struct {
	Project string
	Number  int64
	Open    bool
	PullFacts
}

// PullFacts are what the forge says of a pull request, and what was decided about it.
type PullFacts struct {
	Title  string `json:"title"`
	Author string `json:"author"` // name on the forge
	URL    string `json:"url"`
	Branch string `json:"branch"` // where its commits are; in another repository for a fork
	Ref    string `json:"ref"`    // under which the forge keeps its head in the repository itself
	Commit string `json:"commit"` // its head
	Fork   bool   `json:"fork,omitempty"`
	Draft  bool   `json:"draft,omitempty"`
	// Allowed is the commit of a fork that a member let in, and AllowedBy who that was.
	Allowed   string `json:"allowed,omitempty"`
	AllowedBy string `json:"allowed_by,omitempty"`
	// Previewed is the head that the newest preview is about: it is not begun twice.
	Previewed string `json:"previewed,omitempty"`
}

// MayRun reports whether code of its head may run: that of a fork only when a member has
// looked at exactly this commit.
func (p Pull) MayRun() bool { return !p.Fork || p.Allowed != "" && p.Allowed == p.Commit }

// PreviewStatus is where a preview is.
type PreviewStatus string

const (
	// PreviewWaiting: of a fork, and no member has let it in.
	PreviewWaiting PreviewStatus = "waiting"
	PreviewRunning PreviewStatus = "running"
	// PreviewSucceeded: everything that could be planned was, and no check denies it.
	PreviewSucceeded PreviewStatus = "succeeded"
	PreviewFailed    PreviewStatus = "failed"
	PreviewErrored   PreviewStatus = "errored"
	PreviewCancelled PreviewStatus = "cancelled"
	// PreviewSuperseded: newer commits came, or the pull request was closed.
	PreviewSuperseded PreviewStatus = "superseded"
)

// Terminal reports whether a preview in s does nothing more.
func (s PreviewStatus) Terminal() bool { return s != PreviewWaiting && s != PreviewRunning }

// PreviewStatuses are all of them, in the order of a preview's life.
func PreviewStatuses() []PreviewStatus {
	return []PreviewStatus{PreviewWaiting, PreviewRunning, PreviewSucceeded, PreviewFailed, PreviewErrored, PreviewCancelled, PreviewSuperseded}
}

// Preview is what a commit that is on no tracked branch would do: plans of every instance
// that it affects, in every environment, none of which can be applied.
type Preview struct {
	ID      string
	Project string
	Pull    int64 // number of the pull request, 0 for a branch that somebody named
	Status  PreviewStatus
	Created time.Time
	// Tree is that of what is planned, by which the release is known that it becomes.
	Tree string
	PreviewFacts
}

// PreviewFacts are the rest of a preview.
type PreviewFacts struct {
	Branch string `json:"branch"`
	Commit string `json:"commit"` // head of the branch
	Target string `json:"target"` // head of the tracked branch when it began
	// Merged is what is planned: a merge of both, made for this, that is on no branch; the
	// head itself when the tracked branch is in it.
	Merged   string    `json:"merged"`
	Title    string    `json:"title"`
	By       string    `json:"by"`
	Why      string    `json:"why,omitempty"` // it ended as it did
	Finished time.Time `json:"finished,omitzero"`
	// Instances are those that it affects, by environment and stack in their order.
	Instances []PreviewInstance `json:"instances,omitempty"`
	// Refused is what its configuration would weaken, and does not as long as it is not the
	// one that is there (rule 28), by environment.
	Refused []Refusal `json:"refused,omitempty"`
	// Gates is what an environment asks for before this is applied there.
	Gates map[string][]string `json:"gates,omitempty"`
	// Environments are all that it was planned for, in promotion order.
	Environments []string `json:"environments,omitempty"`
}

// Refusal is a rule that a preview's configuration takes away, and that holds all the same.
type Refusal struct {
	Environment string `json:"environment"`
	What        string `json:"what"`
}

// PreviewState is what became of one instance in a preview.
type PreviewState string

const (
	PreviewsUpstream PreviewState = "upstream"   // planned when what it depends on is
	PreviewsRun      PreviewState = "running"    // a run plans it
	PreviewsPlan     PreviewState = "planned"    // there is a plan
	PreviewsNothing  PreviewState = "no_changes" // there is one, and it is empty
	PreviewsDenied   PreviewState = "denied"     // there is one, and a check denies it
	PreviewsFailed   PreviewState = "failed"     // there is none
	PreviewsErrored  PreviewState = "errored"
	PreviewsWait     PreviewState = "waits"   // for outputs that only an apply tells
	PreviewsRemoval  PreviewState = "removed" // the stack goes, and all that it has (rule 27)
)

// PreviewInstance is one instance in a preview.
type PreviewInstance struct {
	Environment string       `json:"environment"`
	Stack       string       `json:"stack"`
	State       PreviewState `json:"state"`
	Run         string       `json:"run,omitempty"`
	// On is what it waits for.
	On string `json:"on,omitempty"`
	// Against are the stacks whose planned outputs, rather than those of today, it was planned with.
	Against []string `json:"against,omitempty"`
	Why     string   `json:"why,omitempty"`
	Digest  string   `json:"digest,omitempty"`
	// Resources is how many a removed stack has.
	Resources int `json:"resources,omitempty"`
}

// Done reports whether nothing more becomes of it.
func (i PreviewInstance) Done() bool { return i.State != PreviewsUpstream && i.State != PreviewsRun }

// Of finds an instance, nil when it is not affected.
func (p *PreviewFacts) Of(environment, stack string) *PreviewInstance {
	i := slices.IndexFunc(p.Instances, func(i PreviewInstance) bool { return i.Environment == environment && i.Stack == stack })
	if i < 0 {
		return nil
	}
	return &p.Instances[i]
}

// PreviewSecrets is in the place of an environment where the secrets are kept that previews
// of all environments may have; PreviewSecretsOf where those of one are. An environment's own
// are never theirs.
const PreviewSecrets = "previews"

const previewMark = "~previews"

// PreviewSecretsOf names the place of the secrets of an environment's previews. No
// environment is called so.
func PreviewSecretsOf(environment string) string { return environment + previewMark }

// Post is something that Terrace says on a forge and keeps true there: a comment or a
// commit's status.
type Post struct {
	Project string
	Key     string // "comment/7", "status/COMMIT/CONTEXT"
	PostFacts
}

// PostFacts are how it stands with a post.
type PostFacts struct {
	ID     string    `json:"id,omitempty"`     // on the forge
	Digest string    `json:"digest,omitempty"` // of what was posted last
	Tries  int       `json:"tries,omitempty"`  // since that no longer is what it should be
	Retry  time.Time `json:"retry,omitzero"`
	Error  string    `json:"error,omitempty"`
}
