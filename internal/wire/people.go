package wire

import (
	"encoding/json"
	"time"
)

// Release names a release.
type Release struct {
	Number  int64  `json:"number"`
	Commit  string `json:"commit"`
	Subject string `json:"subject,omitempty"`
	Author  string `json:"author,omitempty"`
	Invalid string `json:"invalid,omitempty" doc:"why terrace.hcl of this release does not hold"`
}

// Changes counts what a plan does.
type Changes struct {
	Create  int `json:"create"`
	Update  int `json:"update"`
	Replace int `json:"replace"`
	Delete  int `json:"delete"`
}

// Problem says why something ended badly.
type Problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Project is one terrace.hcl in one repository.
type Project struct {
	Name         string    `json:"name"`
	Repo         string    `json:"repo"`
	Branch       string    `json:"branch"`
	Path         string    `json:"path"`
	Created      time.Time `json:"created"`
	Head         string    `json:"head,omitempty"`
	Checked      time.Time `json:"checked,omitzero"`
	CheckError   string    `json:"check_error,omitempty"`
	Stopped      string    `json:"stopped,omitempty"`
	Environments []string  `json:"environments"`
	Webhook      *Webhook  `json:"webhook,omitempty" doc:"only in the answer to add and show"`
	Forge        *Forge    `json:"forge,omitempty" doc:"where its repository is hosted, when somebody said so"`
}

// Webhook is how a git server tells of a push.
type Webhook struct {
	URL    string `json:"url"`
	Secret string `json:"secret"`
}

// AddProject asks for a project.
type AddProject struct {
	Name   string `json:"name"`
	Repo   string `json:"repo"`
	Branch string `json:"branch,omitempty" doc:"default: the repository's own"`
	Path   string `json:"path,omitempty" doc:"directory of terrace.hcl, default ."`
	// Forge is where the repository is hosted: it is read with that token, too.
	Forge *SetForge `json:"forge,omitempty"`
}

// Status is the board: stacks by environments.
type Status struct {
	Project      string           `json:"project"`
	Environments []string         `json:"environments"`
	Instances    []InstanceStatus `json:"instances"`
	Head         *Release         `json:"head,omitempty"`
	Stopped      string           `json:"stopped,omitempty"`
	CheckError   string           `json:"check_error,omitempty"`
	Holds        []Hold           `json:"holds,omitempty"`
	Warnings     []string         `json:"warnings,omitempty"`
	Freezes      []Freeze         `json:"freezes,omitempty" doc:"those that are active or planned"`
	Waiting      []StageWaits     `json:"waiting,omitempty" doc:"the stages under way that wait for something, newest release first"`
	Sandboxes    []Sandbox        `json:"sandboxes,omitempty" doc:"copies of environments for one person and branch"`
	Previews     []Preview        `json:"previews,omitempty" doc:"the newest of each open pull request, and of each branch that somebody asked about in the last day; without instances"`
}

// StageWaits is what a release under way waits for in an environment.
type StageWaits struct {
	Environment string  `json:"environment"`
	Rollout     string  `json:"rollout"`
	Release     Release `json:"release"`
	Status      string  `json:"status" enum:"waiting,running,baking,unknown"`
	Waits       []Wait  `json:"waits"`
}

// Hold is a stop on an environment.
type Hold struct {
	Environment string    `json:"environment"`
	Kind        string    `json:"kind"`
	Reason      string    `json:"reason"`
	By          string    `json:"by"`
	Since       time.Time `json:"since"`
}

// InstanceStatus is one cell of the board.
type InstanceStatus struct {
	Instance    string    `json:"instance"`
	Stack       string    `json:"stack"`
	Environment string    `json:"environment"`
	State       string    `json:"state" enum:"never,up_to_date,behind,running,waiting,failed,errored,unknown,held"`
	Release     *Release  `json:"release"`
	Since       time.Time `json:"since,omitzero"`
	Run         string    `json:"run"`
	Phase       string    `json:"phase,omitempty" doc:"of the run, while it runs"`
	Behind      int64     `json:"behind,omitempty" doc:"releases between this one and the newest"`
	Reason      string    `json:"reason"`
	Why         []string  `json:"why,omitempty" doc:"with ?why: each difference between what is applied and what is wanted"`
	Drift       string    `json:"drift,omitempty" enum:"none,drifted,looking,failed" doc:"what the newest look at what is there found; empty when nobody looked since the state changed"`
	// Backend tells whose promises hold for the state.
	Backend     string `json:"backend,omitempty" enum:"stack" doc:"stack when the stack's own backend keeps the state: no versions, no fences"`
	BackendType string `json:"backend_type,omitempty" doc:"of that backend, as s3; empty before the first run"`
}

// Stage is a rollout in one environment.
type Stage struct {
	ID          string    `json:"id"`
	Environment string    `json:"environment"`
	Status      string    `json:"status" enum:"waiting,running,baking,succeeded,failed,errored,cancelled,superseded,unknown"`
	WaitsFor    string    `json:"waits_for"`
	ForPerson   bool      `json:"for_person,omitempty" doc:"what it waits for comes from a person only"`
	Waits       []Wait    `json:"waits,omitempty" doc:"all that it waits for, in the order in which that can end"`
	Skips       []Skip    `json:"skips,omitempty" doc:"what people said about its gates, oldest first"`
	Started     time.Time `json:"started,omitzero"`
	Finished    time.Time `json:"finished,omitzero"`
	BakedFor    string    `json:"baked_for,omitempty"`
}

// Wait is one thing that a stage waits for.
type Wait struct {
	Gate      string    `json:"gate" enum:"project,upstream,hold,freeze,window,parity,skip,order,lease,approval,verification,unknown,bake,move,runs"`
	On        string    `json:"on" doc:"what it is about: an environment, an instance, a run, a release"`
	What      string    `json:"what" doc:"for people; continues: waits for"`
	Since     time.Time `json:"since"`
	Until     time.Time `json:"until,omitzero" doc:"when time alone ends it"`
	OpensBy   string    `json:"opens_by,omitempty" doc:"the command, or what has to happen, that ends it"`
	ForPerson bool      `json:"for_person,omitempty" doc:"it ends by what a person does and by nothing else"`
	Who       []string  `json:"who,omitempty" doc:"who it has to come from; missing: anybody who operates the project"`
}

// Rollout is the journey of one release.
type Rollout struct {
	ID       string    `json:"id"`
	Project  string    `json:"project"`
	Kind     string    `json:"kind" enum:"promotion,rollback,repair"`
	Release  Release   `json:"release"`
	From     int64     `json:"from,omitempty" doc:"of a rollback: the number of the release that was there when it was asked for"`
	Reason   string    `json:"reason,omitempty" doc:"of a rollback or a repair: why"`
	Status   string    `json:"status" enum:"running,succeeded,failed,errored,cancelled,superseded,unknown"`
	By       string    `json:"by"`
	AllHosts bool      `json:"all_hosts,omitempty" doc:"Ansible runs on all hosts, also where nothing has changed"`
	Created  time.Time `json:"created"`
	Finished time.Time `json:"finished,omitzero"`
	Stages   []Stage   `json:"stages"`
	Runs     []Run     `json:"runs,omitempty" doc:"only when one rollout is asked for"`
}

// StartRollout asks for a rollout.
type StartRollout struct {
	Commit string `json:"commit,omitempty" doc:"a commit or a release number; default: the newest release"`
	All    bool   `json:"all,omitempty" doc:"Ansible runs on all hosts, also where nothing has changed"`
}

// Run is a stage's work on one instance.
type Run struct {
	ID          string       `json:"id"`
	Instance    string       `json:"instance"`
	Stack       string       `json:"stack"`
	Environment string       `json:"environment"`
	Project     string       `json:"project"`
	Rollout     string       `json:"rollout,omitempty"`
	Preview     string       `json:"preview,omitempty"`
	Kind        string       `json:"kind"`
	Status      string       `json:"status"`
	Release     Release      `json:"release"`
	Changes     Changes      `json:"changes"`
	NoChanges   bool         `json:"no_changes,omitempty"`
	Attempt     int          `json:"attempt"`
	Created     time.Time    `json:"created"`
	Started     time.Time    `json:"started,omitzero"`
	Finished    time.Time    `json:"finished,omitzero"`
	Error       *Problem     `json:"error"`
	PlanDigest  string       `json:"plan_digest,omitempty"`
	Checks      []Check      `json:"checks,omitempty"`
	Recap       []Recap      `json:"recap,omitempty" doc:"Ansible's counts per host"`
	Hosts       []HostResult `json:"hosts,omitempty" doc:"how Ansible went on each host that it ran on; only when one run is asked for"`
	Warnings    []string     `json:"warnings,omitempty" doc:"what Ansible's work gives to think of, as tasks that are not idempotent"`
	Ansible     *Foreseen    `json:"ansible,omitempty" doc:"what Ansible would do after the apply of its plan; only when one run is asked for"`
	Verified    []Probe      `json:"verified,omitempty"`
	Approval    *Approval    `json:"approval,omitempty" doc:"what it waits for, while it awaits approvals; only when one run is asked for"`
	Votes       []Vote       `json:"votes,omitempty" doc:"what people said to its plans; only when one run is asked for"`
	Before      []Hooked     `json:"before_change,omitempty" doc:"commands that ran before something stateful was touched"`
	Drift       *Drift       `json:"drift,omitempty" doc:"of a run of kind drift: what it found, masked; only when one run is asked for"`
	Foretold    *Foretold    `json:"foretold,omitempty" doc:"how its plan compares with what a preview said; only when one run is asked for"`
	// Phases is how long each took, in milliseconds: prepare, plan, check, before_change,
	// apply, provision, verify. Those that did not happen are missing.
	Phases map[string]int64 `json:"phases,omitempty"`
}

// Check is a rule's verdict on a plan.
type Check struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict" enum:"pass,warn,deny"`
	Message string `json:"message"`
	// The following are of policies.
	From     string         `json:"from,omitempty" doc:"of a policy: the configuration or the guardrails that it is written in"`
	Rule     string         `json:"rule,omitempty" doc:"of a policy: package and name of the rule"`
	File     string         `json:"file,omitempty" doc:"of a policy: file and line of the rule"`
	Resource string         `json:"resource,omitempty" doc:"of a policy: the address that its rule gave as resource or address"`
	Details  map[string]any `json:"details,omitempty" doc:"of a policy: what its rule gave beside msg"`
}

// Except asks for an exception from the protection of one address (rule 13).
type Except struct {
	Address string `json:"address" doc:"of one resource, not a pattern"`
	For     string `json:"for" doc:"how long it may wait to be used, a Go duration, from 1m to 168h"`
	Reason  string `json:"reason"`
}

// Exception lets one apply do to one protected address what rule 13 forbids.
type Exception struct {
	ID       string `json:"id"`
	Instance string `json:"instance"`
	Address  string `json:"address"`
	Reason   string `json:"reason"`
	By       string `json:"by"`
	// ConfirmedBy is the second person, where the guardrails want one.
	ConfirmedBy string     `json:"confirmed_by,omitempty"`
	Created     time.Time  `json:"created"`
	Expires     time.Time  `json:"expires"`
	Status      string     `json:"status" enum:"open,pending,used,expired,ended" doc:"pending: a second person has to confirm it"`
	Ended       *time.Time `json:"ended,omitempty"`
	UsedBy      string     `json:"used_by,omitempty" doc:"the run, or the person by a write of the state"`
}

// Hooked is how a command of a before_change block ended.
type Hooked struct {
	ID           string    `json:"id"`
	From         string    `json:"from" doc:"where it is written"`
	Command      []string  `json:"command"`
	OK           bool      `json:"ok"`
	Message      string    `json:"message" doc:"how it ended"`
	ExitCode     int       `json:"exit_code" doc:"-1 when it did not end by itself, or was never started"`
	Started      time.Time `json:"started"`
	Milliseconds int64     `json:"milliseconds"`
	Last         []string  `json:"last,omitempty" doc:"the last lines of its output"`
}

// Replace asks for resources to be replaced by the next run of an instance.
type Replace struct {
	Addresses []string `json:"addresses" minItems:"1" maxItems:"100" doc:"of resources in its state, with their keys"`
	Reason    string   `json:"reason,omitempty" maxLength:"1000"`
}

// Replacement is what somebody asked to be replaced.
type Replacement struct {
	ID       string     `json:"id"`
	Instance string     `json:"instance"`
	Address  string     `json:"address"`
	Reason   string     `json:"reason,omitempty"`
	By       string     `json:"by"`
	Created  time.Time  `json:"created"`
	Status   string     `json:"status" enum:"open,done,ended"`
	Run      string     `json:"run,omitempty" doc:"the run that did it, or last set out to"`
	Ended    *time.Time `json:"ended,omitempty"`
	EndedBy  string     `json:"ended_by,omitempty" doc:"who took it back"`
}

// Recap is what Ansible says of one host.
type Recap struct {
	Host        string `json:"host"`
	OK          int    `json:"ok"`
	Changed     int    `json:"changed"`
	Failed      int    `json:"failed"`
	Unreachable int    `json:"unreachable"`
	Skipped     int    `json:"skipped"`
}

// Probe is the outcome of one verify block.
type Probe struct {
	Name    string `json:"name" doc:"http URL, command or query"`
	Verdict string `json:"verdict" enum:"pass,fail,inconclusive"`
	Message string `json:"message"`
	Tries   int    `json:"tries"`
}

// Plan is a readable plan: every value that is sensitive is masked.
type Plan struct {
	Changes   Changes          `json:"changes"`
	Resources []ResourceChange `json:"resources"`
	Outputs   []AttrChange     `json:"outputs,omitempty"`
}

// ResourceChange is one resource of a plan.
type ResourceChange struct {
	Address string `json:"address"`
	Type    string `json:"type"`
	Action  string `json:"action" enum:"create,update,replace,delete,read,forget,move,import,no-op"`
	Order   string `json:"order,omitempty" doc:"of a replacement: create_first or destroy_first"`
	Reason  string `json:"reason,omitempty"`
	// Previous is the address that it had before, when that is another.
	Previous string `json:"previous_address,omitempty"`
	// RequestedBy is who asked for its replacement, and why.
	RequestedBy string `json:"requested_by,omitempty"`
	// DependsOn are the resources that the plan replaces and that this one depends on,
	// directly or not.
	DependsOn []string     `json:"depends_on,omitempty" doc:"which of the replaced resources it depends on, and where it goes of those that go, without the keys of count and for_each; 100 at most"`
	Attrs     []AttrChange `json:"attributes"`
}

// AttrChange is one attribute. Before and After are JSON texts, shortened and masked.
type AttrChange struct {
	Path      string `json:"path"`
	Before    string `json:"before,omitempty"`
	After     string `json:"after,omitempty"`
	Unknown   bool   `json:"unknown,omitempty" doc:"known after apply"`
	Sensitive bool   `json:"sensitive,omitempty"`
	Forces    bool   `json:"forces_replacement,omitempty"`
}

// LogChunk is a numbered piece of a run's log.
type LogChunk struct {
	Seq    int64     `json:"seq"`
	Offset int64     `json:"offset"`
	Phase  string    `json:"phase"`
	Text   string    `json:"text"`
	At     time.Time `json:"at,omitzero"`
}

// StateVersion is one stored state.
type StateVersion struct {
	ID        int64     `json:"id"`
	Instance  string    `json:"instance"`
	Serial    int64     `json:"serial"`
	Lineage   string    `json:"lineage"`
	MD5       string    `json:"md5"`
	Size      int64     `json:"size"`
	Resources int       `json:"resources"`
	Run       string    `json:"run,omitempty"`
	By        string    `json:"by"`
	Created   time.Time `json:"created"`
	Current   bool      `json:"current"`
}

// StateDiff is what differs between two versions of a state.
type StateDiff struct {
	Instance  string           `json:"instance"`
	From      *StateVersion    `json:"from,omitempty" doc:"none: there was no version before"`
	To        StateVersion     `json:"to"`
	Resources []StateChange    `json:"resources"`
	Outputs   []StateAttribute `json:"outputs"`
}

// StateChange is a resource that differs.
type StateChange struct {
	Address    string           `json:"address"`
	Action     string           `json:"action" doc:"added, removed, changed, tainted or untainted"`
	Attributes []StateAttribute `json:"attributes,omitempty"`
}

// StateAttribute is a value that differs. One that is sensitive is not told.
type StateAttribute struct {
	Path      string          `json:"path"`
	Before    json.RawMessage `json:"before,omitempty"`
	After     json.RawMessage `json:"after,omitempty"`
	Sensitive bool            `json:"sensitive,omitempty"`
}

// RestoreState asks for an older version to be current again.
type RestoreState struct {
	Version int64  `json:"version" minimum:"1"`
	Reason  string `json:"reason,omitempty" maxLength:"1000"`
}

// State is an instance's state with its lock and recovery slot.
type State struct {
	Instance  string          `json:"instance"`
	Current   *StateVersion   `json:"current"`
	Lock      *Lock           `json:"lock"`
	Recovered []Recovered     `json:"recovered,omitempty"`
	Resources []StateResource `json:"resources,omitempty"`
	Outputs   []StateOutput   `json:"outputs,omitempty"`
}

// StateResource is one resource in a state.
type StateResource struct {
	Address  string `json:"address"`
	Type     string `json:"type"`
	Provider string `json:"provider"`
	Tainted  bool   `json:"tainted,omitempty"`
}

// StateOutput is an output of a state; Value is null when it is sensitive.
type StateOutput struct {
	Name      string          `json:"name"`
	Sensitive bool            `json:"sensitive,omitempty"`
	Value     json.RawMessage `json:"value"`
}

// Lock is who holds an instance's state.
type Lock struct {
	ID      string    `json:"id"`
	By      string    `json:"by"`
	Run     string    `json:"run,omitempty"`
	Fence   int64     `json:"fence"`
	Created time.Time `json:"created"`
	Info    string    `json:"info,omitempty"`
}

// Recovered is a state write that was refused and kept.
type Recovered struct {
	ID      int64     `json:"id"`
	Serial  int64     `json:"serial"`
	Lineage string    `json:"lineage"`
	MD5     string    `json:"md5"`
	Size    int64     `json:"size"`
	Run     string    `json:"run,omitempty"`
	Reason  string    `json:"reason"`
	Created time.Time `json:"created"`
	Used    bool      `json:"used"`
}

// Event is one line of the audit log.
type Event struct {
	Seq     int64             `json:"seq"`
	At      time.Time         `json:"at"`
	By      string            `json:"by"`
	Kind    string            `json:"kind"`
	Project string            `json:"project,omitempty"`
	On      string            `json:"on,omitempty"`
	Data    map[string]string `json:"data,omitempty"`
	Hash    string            `json:"hash"`
}

// VerifiedEvents is what came out of computing the audit log's hashes anew.
type VerifiedEvents struct {
	Intact bool   `json:"intact"`
	Seq    int64  `json:"seq"`              // of the last event that fits
	Hash   string `json:"hash"`             // its hash
	Reason string `json:"reason,omitempty"` // what does not fit
}

// Key seals what is stored.
type Key struct {
	ID     string    `json:"id"`
	Seals  bool      `json:"seals" doc:"this one seals; the others only open what they sealed"`
	Master string    `json:"master" doc:"the master key that wraps it"`
	Made   time.Time `json:"made"`
}

// Keys are all keys, the newest first.
type Keys struct {
	Keys      []Key       `json:"keys"`
	Masters   []string    `json:"masters" doc:"master keys that the server has; the first one wraps"`
	Passage   *KeyPassage `json:"passage,omitempty" doc:"how far everything is sealed with the newest key; only with several keys"`
	Retirable bool        `json:"retirable" doc:"nothing hangs on any key but the newest"`
	From      time.Time   `json:"from,omitzero" doc:"when that can be known at the earliest"`
}

// KeyPassage is how far everything is sealed with the newest key.
type KeyPassage struct {
	Pass   int   `json:"pass"`
	Looked int64 `json:"looked" doc:"things looked at in this pass"`
	Sealed int64 `json:"sealed" doc:"things sealed anew"`
	Lost   int64 `json:"lost" doc:"things that open with no key; terrace admin check names them"`
	Done   bool  `json:"done" doc:"everything was looked at once"`
}

// Token is a credential; Secret is shown once, in the answer to its creation.
type Token struct {
	ID          string    `json:"id"`
	Kind        string    `json:"kind" doc:"admin: of a person or a machine, whatever its role; run: of a run"`
	Name        string    `json:"name"`
	User        string    `json:"user,omitempty" doc:"whose it is, as user:NAME in events and guardrails"`
	Role        string    `json:"role,omitempty" doc:"what it lets do; empty: what the guardrails give its user"`
	Project     string    `json:"project,omitempty" doc:"where the role holds; empty: in all"`
	Environment string    `json:"environment,omitempty" doc:"likewise"`
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires,omitzero"`
	Secret      string    `json:"secret,omitempty"`
}

// Recover asks for a recover run.
type Recover struct {
	Unlock string `json:"unlock,omitempty" doc:"the ID of a lock in the stack's own backend that is to be taken away first"`
}

// Reason carries a person's words.
type Reason struct {
	Reason string `json:"reason,omitempty"`
}

// SecretValue sets a secret.
type SecretValue struct {
	Value string `json:"value"`
}

// CreateToken asks for a token.
type CreateToken struct {
	Name        string `json:"name" doc:"for people: whose, or what for"`
	TTL         string `json:"ttl,omitempty" doc:"how long it lives, a Go duration; default: until revoked"`
	User        string `json:"user,omitempty" doc:"whose it is; default: the name"`
	Role        string `json:"role,omitempty" doc:"viewer, developer, operator or admin; default: what the guardrails give the user, and admin while they name no roles"`
	Project     string `json:"project,omitempty" doc:"the only project where the role holds"`
	Environment string `json:"environment,omitempty" doc:"the only environment where the role holds"`
}

// Entry is a link that lets a browser in once.
type Entry struct {
	Path string `json:"path"`
}
