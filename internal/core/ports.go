package core

import (
	"context"
	"time"
)

// Store is durable storage. Both databases implement it and pass storetest.
//
// Update runs f in one serialised read-write transaction: all of it is durable when
// Update returns nil, none of it happened when it returns an error. f may be called
// again after a serialisation failure, so it must only touch its Tx and its own
// variables. View runs f on one consistent snapshot; writing in it is an error.
// Errors: those of f; Unavailable when the database cannot be reached or is full.
type Store interface {
	Update(ctx context.Context, f func(Tx) error) error
	View(ctx context.Context, f func(Tx) error) error
	// Peek is View without the snapshot: f asks a question or two whose answers need not
	// be of the same moment. It costs a third. f may be called twice.
	Peek(ctx context.Context, f func(Tx) error) error
	Close() error
}

// Tx is what a transaction offers. Getters return a NotFound error naming the thing
// when it does not exist. Lists are never nil-ambiguous: an empty result is no error.
type Tx interface {
	Projects
	Releases
	Rollouts
	Runs
	Instances
	States
	OwnStates
	Exceptions
	Replacements
	Freezes
	GuardrailsVersions
	Votes
	Moves
	Drifts
	Hosts
	Previews
	Modules
	Images
	Tokens
	Events
	Logs
	Secrets
	Keys
	Blobs
	Leases
	// Now is the database's clock (UTC). All stored times come from it.
	Now() time.Time
	// NextFence returns a number greater than every one given before.
	NextFence() (int64, error)
}

// Projects stores projects.
type Projects interface {
	AddProject(Project) error // Conflict when the name is taken
	Project(name string) (Project, error)
	Projects() ([]Project, error) // by name
	// UpdateProject writes every field but Name and Created.
	UpdateProject(Project) error
	// RemoveProject deletes the project and everything that belongs to it except
	// events. State versions' blobs become orphans.
	RemoveProject(name string) error
}

// Releases stores releases.
type Releases interface {
	AddRelease(Release) error // Conflict when (project, commit) exists
	Release(project, commit string) (Release, error)
	// FindRelease takes a number, or a prefix of a commit of at least 4 characters.
	// Invalid when the prefix fits several.
	FindRelease(project, ref string) (Release, error)
	// Releases returns the newest limit releases, newest first; 0 means all.
	Releases(project string, limit int) ([]Release, error)
	LatestRelease(project string) (Release, error) // NotFound when there is none
	// RenumberRelease gives a release another number, because its commit is the newest
	// again; nobody has it.
	RenumberRelease(project, commit string, number int64) error
	SetReleaseInvalid(project, commit, diagnostics string) error
}

// Rollouts stores rollouts, their stages, and environments.
type Rollouts interface {
	AddRollout(Rollout) error // with its stages
	Rollout(id string) (Rollout, error)
	// Rollouts returns rollouts with their stages, newest first. open: only those that are not terminal.
	Rollouts(project string, open bool, limit int) ([]Rollout, error)
	SetRollout(id string, from, to RolloutStatus) error // Conflict when it is not in from
	SetRolloutCancel(id string) error

	Stage(id string) (Stage, error)
	// UpdateStage writes Status, WaitsFor, Waits, Skips, Fence, Started, Finished, Baked and
	// Withdrawn where the stored status is from; Conflict otherwise.
	UpdateStage(s Stage, from StageStatus) error

	// Environments returns the environments of a project that were ever seen.
	Environments(project string) ([]EnvironmentState, error)
	// Environment returns the zero state (with names set) for one never seen.
	Environment(project, name string) (EnvironmentState, error)
	PutEnvironment(EnvironmentState) error

	AddVerification(Verification) error
	// Verifications returns the newest limit of an environment, newest first; 0 means all.
	Verifications(project, environment string, limit int) ([]Verification, error)
	// VerifiedBefore returns the newest verification of a release with a number lower than
	// number. NotFound when there is none.
	VerifiedBefore(project, environment string, number int64) (Verification, error)
}

// RunFilter selects runs; empty fields select all.
type RunFilter struct {
	Project, Environment, Stack, Rollout, Stage, Preview string
	Stacks                                               []string // any of them
	Statuses                                             []RunStatus
	Limit                                                int
}

// Runs stores runs.
type Runs interface {
	AddRun(Run) error
	Run(id string) (Run, error)
	Runs(RunFilter) ([]Run, error) // newest first
	// UpdateRun writes every changeable field where the stored status is from;
	// Conflict otherwise. It does not check the transition: callers use CheckMove.
	UpdateRun(r Run, from RunStatus) error
	// Heartbeat sets the run's heartbeat to Now where its fence is fence and it is
	// not terminal; Conflict otherwise. It returns the run.
	Heartbeat(run string, fence int64) (Run, error)
	// PutRunDoc stores a document of a run (kinds: "plan", "recap", "verify",
	// "checks", "outputs", …), sealed, replacing an earlier one.
	PutRunDoc(run, kind string, sealed []byte) error
	RunDoc(run, kind string) ([]byte, error)
	// RunDocs returns up to limit documents of all runs, by run and kind, that come
	// after one: for those who look at everything.
	RunDocs(after RunDoc, limit int) ([]RunDoc, error)
}

// Instances stores what is known of instances.
type Instances interface {
	Instances(project string) ([]InstanceState, error)
	// Instance returns the zero state (with names set) for one never seen.
	Instance(project, stack, environment string) (InstanceState, error)
	PutInstance(InstanceState) error
	DeleteInstance(project, stack, environment string) error
	// AdvanceInstances sets Release on the instances of an environment that are in
	// stacks, in one statement: what a stage that found them up to date says. After a
	// rollback, what a newer release applied to them is what this one would have.
	AdvanceInstances(project, environment string, stacks []string, r Release) error
}

// Exceptions stores exceptions from protection.
type Exceptions interface {
	AddException(Exception) error
	// Exceptions returns those of a project, newest first.
	Exceptions(project string) ([]Exception, error)
	// EndException notes who used it, "" when a person took it back. Conflict when it has
	// ended already, NotFound when the project has none with that ID.
	EndException(project, id, usedBy string, at time.Time) error
	// ConfirmException notes the second person. Conflict when it has ended or somebody
	// confirmed it, NotFound when the project has none with that ID.
	ConfirmException(project, id, by string) error
}

// GuardrailsVersions stores the guardrails, of which none is changed or deleted.
type GuardrailsVersions interface {
	AddGuardrails(Guardrails) error // Conflict when the version is taken
	// Guardrails returns a version, the newest for 0.
	Guardrails(version int64) (Guardrails, error)
	GuardrailsVersion() (int64, error)        // the newest, 0 when there is none
	GuardrailsHistory() ([]Guardrails, error) // newest first, without files
}

// Previews stores pull requests, their previews, and what is said of them on the forge.
type Previews interface {
	// PutPull adds or replaces one.
	PutPull(Pull) error
	Pull(project string, number int64) (Pull, error)
	// Pulls returns those of a project, by number; open: only those.
	Pulls(project string, open bool) ([]Pull, error)

	AddPreview(Preview) error
	// UpdatePreview writes every field but ID, Project, Pull and Created where the stored
	// status is from; Conflict otherwise.
	UpdatePreview(p Preview, from PreviewStatus) error
	Preview(id string) (Preview, error)
	Previews(PreviewFilter) ([]Preview, error) // newest first
	// PrunePreviews drops those that are over and older than the newest keep of a project,
	// and forgets of their runs that they belonged to one.
	PrunePreviews(project string, keep int) error

	PutPost(Post) error
	Post(project, key string) (Post, error)
	DeletePost(project, key string) error
}

// PreviewFilter selects previews; empty fields select all.
type PreviewFilter struct {
	Project, Tree string
	Pull          int64
	Under         bool // under way: waiting or running
	Limit         int
}

// Replacements stores what people ask to be replaced.
type Replacements interface {
	AddReplacement(Replacement) error // Conflict when it is asked for already
	// Replacements returns those of a project, newest first; open: only those to be done.
	Replacements(project string, open bool) ([]Replacement, error)
	// BeginReplacement notes the run that sets out to do it. Conflict when it has ended,
	// NotFound when the project has none with that ID.
	BeginReplacement(project, id, run string) error
	// EndReplacement notes that it was done, or by whom it was taken back. Errors are those
	// of BeginReplacement.
	EndReplacement(project, id, takenBack string, at time.Time) error
}

// Freezes stores freezes that people set; those of configurations are not stored.
type Freezes interface {
	AddFreeze(Freeze) error
	// Freezes returns those of a project, newest first, also those that are over.
	Freezes(project string) ([]Freeze, error)
	// LiftFreeze notes who lifted it. Conflict when somebody has already, NotFound when the
	// project has none with that ID.
	LiftFreeze(project, id, by string, at time.Time) error
}

// States stores state versions, locks and recovery slots.
type States interface {
	AddStateVersion(StateVersion) (id int64, err error)
	CurrentState(project, stack, environment string) (StateVersion, error)
	// Held is CurrentState, Lock, OwnState and more at once, for what every request of an
	// engine asks. NotFound when there is no such project.
	Held(project, stack, environment string) (Held, error)
	StateVersion(project, stack, environment string, id int64) (StateVersion, error)
	StateVersions(project, stack, environment string, limit int) ([]StateVersion, error) // newest first
	CurrentStates(project string) ([]StateVersion, error)
	// PruneStateVersions drops all but the newest keep (at least 100) and returns the dropped blobs' keys.
	PruneStateVersions(project, stack, environment string, keep int) ([]string, error)

	Lock(project, stack, environment string) (StateLock, error) // NotFound when unlocked
	PutLock(StateLock) error                                    // Conflict when one exists
	DeleteLock(project, stack, environment string) error

	AddRecovered(Recovered) (id int64, err error)
	Recovereds(project, stack, environment string) ([]Recovered, error) // newest first
	MarkRecovered(id int64) error

	// AllStateVersions and AllRecovereds return up to limit of all instances, by ID,
	// after one: for those who look at everything.
	AllStateVersions(after int64, limit int) ([]StateVersion, error)
	AllRecovereds(after int64, limit int) ([]Recovered, error)
}

// Tokens stores credentials.
type Tokens interface {
	AddToken(Token) error
	TokenByHash(hash string) (Token, error)
	Tokens() ([]Token, error)
	RevokeToken(id string) error
	RevokeRunTokens(run string) error
}

// Events stores the audit log.
type Events interface {
	// AddEvent gives the event its number, time and hash.
	AddEvent(Event) error
	// Events returns up to limit events after seq, oldest first; project "" means all.
	Events(project string, after int64, limit int) ([]Event, error)
	LastEvent() (int64, error)
}

// Logs stores runs' logs.
type Logs interface {
	// AddLog appends a chunk. A chunk already there with the same text is accepted
	// and changes nothing; Conflict when the number leaves a gap or the text differs.
	AddLog(LogChunk) error
	// LogChunks returns up to limit chunks with a number greater than after, oldest first.
	LogChunks(run string, after int64, limit int) ([]LogChunk, error)
	// LogEnd returns the number of a run's last chunk and the bytes up to its end, 0
	// and 0 before there is one.
	LogEnd(run string) (seq, bytes int64, err error)
	// PruneLogs drops logs of the oldest terminal runs until at most keep bytes are kept.
	PruneLogs(keep int64) (dropped int, err error)
}

// Secrets stores sealed secret values of environments.
type Secrets interface {
	PutSecret(project, environment, name string, sealed []byte) error
	Secret(project, environment, name string) ([]byte, error)
	SecretNames(project, environment string) ([]string, error)
	DeleteSecret(project, environment, name string) error
	AllSecrets() ([]Secret, error)
}

// Keys stores the keys that seal what is stored, wrapped by a master key.
type Keys interface {
	AddKey(StoredKey) error                          // Conflict when the ID is taken
	StoredKeys() ([]StoredKey, error)                // newest first
	WrapKey(id, master string, wrapped []byte) error // replaces both
	DeleteKey(id string) error
}

// Blobs answers which blobs are named by rows, for the collector of orphans.
type Blobs interface {
	BlobKeys() ([]string, error)
}

// BlobStore keeps objects. Put has the object durable when it returns; a key is never
// put twice with other content, and the same content again is accepted. Replace is for
// the same content sealed anew, and otherwise like Put. Every call returns within a bound, whatever the storage does.
type BlobStore interface {
	Put(ctx context.Context, key string, data []byte) error
	Replace(ctx context.Context, key string, data []byte) error
	Get(ctx context.Context, key string) ([]byte, error) // NotFound
	Delete(ctx context.Context, key string) error        // no error when there is none
	List(ctx context.Context) ([]StoredBlob, error)      // by key
}

// StoredBlob is what a list tells of an object.
type StoredBlob struct {
	Key      string
	Size     int64     // bytes, as stored
	Modified time.Time // by the clock of the storage
}

// Sealer encrypts what is stored. The purpose (for example the blob's key) is bound
// into the seal: a sealed thing moved to another place does not open.
type Sealer interface {
	Seal(purpose string, plain []byte) ([]byte, error)
	Open(purpose string, sealed []byte) ([]byte, error)
	// OpenOver is Open into the memory of sealed, which is gone then: states are large.
	OpenOver(purpose string, sealed []byte) ([]byte, error)
	// Digest is a keyed digest: equal for equal input, useless without the key.
	Digest(plain []byte) string
}
