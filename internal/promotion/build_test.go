package promotion

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// snap puts a snapshot together from environments, rollouts and other options.
func snap(parts ...func(*Snapshot)) Snapshot {
	s := Snapshot{Project: "shop", Environments: map[string]core.EnvironmentState{}}
	for _, p := range parts {
		p(&s)
	}
	return s
}

func stopped(why string) func(*Snapshot) { return func(s *Snapshot) { s.Stopped = why } }

// env is the stored side of an environment.
func env(name string, options ...func(*core.EnvironmentState)) func(*Snapshot) {
	return func(s *Snapshot) {
		e := core.EnvironmentState{Project: s.Project, Name: name}
		for _, o := range options {
			o(&e)
		}
		s.Environments[name] = e
	}
}

func entered(n int64) func(*core.EnvironmentState) {
	return func(e *core.EnvironmentState) { e.Entered, e.Present = n, n }
}
func verifiedAt(n int64) func(*core.EnvironmentState) {
	return func(e *core.EnvironmentState) { e.Verified, e.Entered, e.Present = n, max(e.Entered, n), n }
}

// presentIs is what a rollback leaves, after entered or verifiedAt.
func presentIs(n int64) func(*core.EnvironmentState) {
	return func(e *core.EnvironmentState) { e.Present = n }
}
func undone(n int64) func(*core.EnvironmentState) {
	return func(e *core.EnvironmentState) { e.Undone = n }
}
func held(kind core.HoldKind, release int64) func(*core.EnvironmentState) {
	return func(e *core.EnvironmentState) {
		e.Hold = &core.Hold{Kind: kind, Reason: "because", Release: release}
	}
}

// ro is a rollout of a release. Its id is ro<N>, or ro<N>' for another of the same.
func ro(number int64, options ...func(*Rollout)) func(*Snapshot) {
	return func(s *Snapshot) {
		r := Rollout{ID: fmt.Sprintf("ro%d", number), Release: core.Release{Number: number, Commit: fmt.Sprintf("c%d", number)}, Status: core.RolloutRunning, Created: noon}
		for slices.ContainsFunc(s.Rollouts, func(o Rollout) bool { return o.ID == r.ID }) {
			r.ID += "'"
		}
		for _, o := range options {
			o(&r)
		}
		for i := range r.Stages {
			st := &r.Stages[i]
			st.ID = strings.TrimPrefix(r.ID, "ro") + "." + st.Config.Name
			if st.Status.HoldsLease() {
				e := s.Environments[st.Config.Name]
				e.Name, e.Stage, e.Entered, e.Present = st.Config.Name, st.ID, max(e.Entered, number), max(e.Present, number)
				if r.goesBack() {
					e.Present = number
				}
				s.Environments[st.Config.Name] = e
			}
		}
		s.Rollouts = append(s.Rollouts, r)
	}
}

// back makes it a rollback of a person, backByItself one of the server's. A later one has
// a greater number of minutes.
func back(from int64, minutes int) func(*Rollout) {
	return func(r *Rollout) {
		r.Kind, r.Manual, r.From, r.By, r.Reason = core.RolloutRollback, true, from, "user:ana", "it is slow"
		r.Created = noon.Add(time.Duration(minutes) * time.Minute)
	}
}
func backByItself(from int64) func(*Rollout) {
	return func(r *Rollout) {
		r.Kind, r.From, r.By, r.Reason = core.RolloutRollback, from, "server", "the verification of web@dev said no"
	}
}

func barrier(r *Rollout)        { r.Release.Barrier = true }
func manual(r *Rollout)         { r.Manual = true }
func cancelAsked(r *Rollout)    { r.Cancel = true }
func invalidRelease(r *Rollout) { r.Release.Invalid = "terrace.hcl:3: no such environment" }

// in is a stage, in the order of promotion.
func in(environment string, status core.StageStatus, options ...func(*Stage)) func(*Rollout) {
	return func(r *Rollout) {
		st := Stage{Status: status, Config: Environment{Name: environment}}
		for _, o := range options {
			o(&st)
		}
		r.Stages = append(r.Stages, st)
	}
}

func after(names ...string) func(*Stage) { return func(s *Stage) { s.Config.After = names } }
func every(s *Stage)                     { s.Config.Every = true }
func sandbox(s *Stage)                   { s.Config.Sandbox = true }
func withdrawn(s *Stage)                 { s.Withdrawn = true }
func auto(before int64) func(*Stage) {
	return func(s *Stage) { s.Config.AutoRollback, s.Before = true, before }
}
func appliedBefore(s *Stage)      { s.Applied, s.Ran = true, true }
func parallel(n int) func(*Stage) { return func(s *Stage) { s.Parallel = n } }
func bakes(whole, baked time.Duration) func(*Stage) {
	return func(s *Stage) { s.Config.Bake, s.Baked, s.Ran = whole, baked, true }
}

// stack is an instance that has something to do, unless options say otherwise.
func stack(name string, options ...func(*Instance)) func(*Stage) {
	return func(s *Stage) {
		i := Instance{Stack: name, Need: NeedRun}
		for _, o := range options {
			o(&i)
		}
		for _, r := range []*Run{i.Run, i.Watch} {
			if r != nil && r.ID == "" {
				r.ID = "r-" + name
			}
		}
		if i.Preview != nil {
			i.Preview.ID = "p-" + name
		}
		s.Instances = append(s.Instances, i)
	}
}

func needs(stacks ...string) func(*Instance) {
	return func(i *Instance) { i.DependsOn = stacks }
}
func upToDate(i *Instance)   { i.Need = NeedNothing }
func undecided(i *Instance)  { i.Need = NeedUnknown }
func isUnknown(i *Instance)  { i.Unknown = true }
func isRemoved(i *Instance)  { i.Removed = true }
func hasVerify(i *Instance)  { i.Verify = true }
func hasApplied(i *Instance) { i.Run.Applied = true }
func saidNo(i *Instance) {
	i.Run.Applied, i.Run.Refuted, i.Run.Message = true, true, "verification failed: http://web: 500\nSee the log."
}
func looked(status core.RunStatus) func(*Instance) {
	return func(i *Instance) { i.Preview = &Run{Kind: core.KindPreview, Status: status} }
}
func watchSaidNo(r *Run) { r.Refuted = true }
func inconclusive(i *Instance) {
	i.Run.Code, i.Run.Message = core.CodeInconclusive, "no answer within 2m.\nSee the log."
}
func run(status core.RunStatus) func(*Instance) {
	return func(i *Instance) {
		kind := core.KindDeploy
		if i.Removed {
			kind = core.KindDestroy
		}
		i.Run = &Run{Kind: kind, Status: status}
	}
}
func recovery(status core.RunStatus) func(*Instance) {
	return func(i *Instance) { i.Run = &Run{Kind: core.KindRecover, Status: status} }
}
func watched(status core.RunStatus, options ...func(*Run)) func(*Instance) {
	return func(i *Instance) {
		i.Verify = true
		i.Watch = &Run{ID: "w-" + i.Stack, Kind: core.KindVerify, Status: status}
		for _, o := range options {
			o(i.Watch)
		}
	}
}

// decided is what Decide says, in words. Decisions that only change what a stage waits
// for are left to waits.
func decided(s Snapshot) []string {
	out := []string{}
	for _, d := range Decide(s, noon) {
		if set, ok := d.(SetStage); ok && set.From == set.Status {
			continue
		}
		out = append(out, words(d))
	}
	return out
}

func words(d Decision) string {
	switch d := d.(type) {
	case Admit:
		if d.Hold != nil {
			return fmt.Sprintf("admit %s and hold it for %d: %s", d.Stage, d.Hold.Release, d.Hold.Reason)
		}
		return "admit " + d.Stage
	case Rollback:
		return fmt.Sprintf("roll %s back from %d to %d: %s", d.Environment, d.From, d.To, d.Reason)
	case Start:
		return fmt.Sprintf("start %s %s in %s", d.Kind, d.Stack, d.Stage)
	case Move:
		return fmt.Sprintf("move %s to %s in %s", d.From, d.To, d.Stage)
	case Supersede:
		if d.Run != "" {
			return fmt.Sprintf("supersede run %s by %d", d.Run, d.By)
		}
		return fmt.Sprintf("supersede %s by %d", d.Stage, d.By)
	case Resume:
		return "resume " + d.Run + ", since " + d.Why
	case CancelRun:
		return "cancel " + d.Run
	case StopWatch:
		return "stop " + d.Run
	case Look:
		return "look at " + core.InstanceName(d.Stack, d.Environment)
	case SetStage:
		return fmt.Sprintf("%s is %s", d.Stage, d.Status)
	case SetRollout:
		return fmt.Sprintf("%s is %s", d.Rollout, d.Status)
	case SetHold:
		if d.Hold.Kind == core.HoldRollback {
			return fmt.Sprintf("hold %s for %d: %s", d.Environment, d.Hold.Release, d.Hold.Reason)
		}
		return fmt.Sprintf("hold %s for %d", d.Environment, d.Hold.Release)
	}
	return fmt.Sprintf("%#v", d)
}

// waits is what each stage is said to wait for.
func waits(s Snapshot) map[string]string {
	out := map[string]string{}
	for _, d := range Decide(s, noon) {
		if set, ok := d.(SetStage); ok {
			out[set.Stage] = set.WaitsFor
		}
	}
	return out
}

// rule is one case of a table: a snapshot, what is decided, and optionally what
// a stage then waits for.
type rule struct {
	name  string
	given Snapshot
	want  []string
	waits map[string]string
}

func check(t *testing.T, rules []rule) {
	t.Helper()
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			if r.want == nil {
				r.want = []string{}
			}
			if diff := cmp.Diff(r.want, decided(r.given)); diff != "" {
				t.Errorf("decided differently (-want +got):\n%s", diff)
			}
			got := waits(r.given)
			for stage, text := range r.waits {
				if got[stage] != text {
					t.Errorf("%s waits for %q, want %q", stage, got[stage], text)
				}
			}
		})
	}
}

const (
	waiting    = core.StageWaiting
	running    = core.StageRunning
	bakingNow  = core.StageBaking
	succeeded  = core.StageSucceeded
	hasFailed  = core.StageFailed
	superseded = core.StageSuperseded
	isOff      = core.StageCancelled
)
