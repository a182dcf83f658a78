package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/promotion"
	"github.com/terrace-cd/terrace/internal/service/law"
	"github.com/terrace-cd/terrace/internal/service/likeness"
	states "github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/source"
)

// snapshot is what promotion may know, with what acting on it needs.
type snapshot struct {
	promotion.Snapshot
	now       time.Time
	project   core.Project
	rails     *config.Guardrails
	rollouts  map[string]core.Rollout
	stages    map[string]core.Stage
	configs   map[string]*config.Config // by commit
	verified  map[string]core.Release   // by environment
	instances map[[2]string]core.InstanceState
	replace   map[[2]string]bool    // instances with a resource that somebody wants replaced
	runs      map[string][]core.Run // by stage, newest first
	leased    map[string]bool       // stages that hold their environment's lease
	before    map[string]int64      // by such a stage: the release that a rollback goes back to
	freezes   []core.Freeze
	look      *likeness.Look
}

// accrual measures a bake by this process's monotonic clock (rule 17): a clock that
// is set changes nothing, and time without a server does not count.
type accrual struct {
	last    time.Time     // carries a monotonic reading
	pending time.Duration // measured, not yet stored
}

// storeBakeEvery is how much of a bake a crash may lose.
const storeBakeEvery = 5 * time.Second

func (w *worker) snapshot(ctx context.Context) (*snapshot, error) {
	s := &snapshot{rollouts: map[string]core.Rollout{}, stages: map[string]core.Stage{}, configs: map[string]*config.Config{},
		verified: map[string]core.Release{}, instances: map[[2]string]core.InstanceState{}, replace: map[[2]string]bool{}, runs: map[string][]core.Run{}, leased: map[string]bool{}, before: map[string]int64{}, look: w.Likeness.Look(w.project)}
	s.Environments = map[string]core.EnvironmentState{}
	var open []core.Rollout
	if err := w.Store.View(ctx, func(tx core.Tx) (err error) {
		s.now = tx.Now()
		if s.project, err = tx.Project(w.project); err != nil {
			return err
		}
		if s.rails, err = w.Guardrails.In(tx); err != nil {
			return err
		}
		environments, err := tx.Environments(w.project)
		if err != nil {
			return err
		}
		for _, e := range environments {
			s.Environments[e.Name] = e
		}
		if open, err = tx.Rollouts(w.project, true, 0); err != nil {
			return err
		}
		for _, e := range environments {
			if e.Verified == 0 {
				continue
			}
			release, err := tx.FindRelease(w.project, strconv.FormatInt(e.Verified, 10))
			if err != nil && core.CodeOf(err) != core.NotFound {
				return err
			}
			s.verified[e.Name] = release
		}
		if s.freezes, err = tx.Freezes(w.project); err != nil {
			return err
		}
		needInstances := false
		for _, ro := range open {
			for _, st := range ro.Stages {
				if !st.Status.HoldsLease() {
					continue
				}
				needInstances = true
				if s.runs[st.ID], err = tx.Runs(core.RunFilter{Project: w.project, Stage: st.ID}); err != nil {
					return err
				}
				before, err := tx.VerifiedBefore(w.project, st.Environment, ro.Release.Number)
				if err != nil && core.CodeOf(err) != core.NotFound {
					return err
				}
				s.before[st.ID] = before.Release.Number
			}
		}
		if !needInstances {
			return nil
		}
		replacements, err := tx.Replacements(w.project, true)
		if err != nil {
			return err
		}
		for _, r := range replacements {
			s.replace[[2]string{r.Stack, r.Environment}] = true
		}
		instances, err := tx.Instances(w.project)
		for _, i := range instances {
			s.instances[[2]string{i.Stack, i.Environment}] = i
		}
		return err
	}); err != nil {
		return nil, err
	}
	s.Project, s.Stopped = w.project, s.project.Stopped
	if err := w.sights(ctx, s); err != nil {
		return nil, err
	}
	slices.SortStableFunc(open, func(a, b core.Rollout) int {
		if a.Release.Number != b.Release.Number {
			return int(a.Release.Number - b.Release.Number)
		}
		return a.Created.Compare(b.Created)
	})
	for _, ro := range open {
		out, err := w.rollout(ctx, s, ro)
		if err != nil {
			return nil, err
		}
		s.Rollouts = append(s.Rollouts, out)
	}
	return s, nil
}

func (w *worker) rollout(ctx context.Context, s *snapshot, ro core.Rollout) (promotion.Rollout, error) {
	s.rollouts[ro.ID] = ro
	out := promotion.Rollout{ID: ro.ID, Kind: ro.Kind, Release: ro.Release, Status: ro.Status, Manual: ro.Manual, Cancel: ro.Cancel, Created: ro.Created,
		From: ro.From, By: ro.By, Reason: ro.Reason}
	if ro.Release.Invalid != "" {
		return out, nil
	}
	cfg := s.configs[ro.Release.Commit]
	if cfg == nil {
		var err error
		if cfg, err = w.Wanted.Config(ctx, s.project, ro.Release.Commit); err != nil {
			return out, err
		}
		s.configs[ro.Release.Commit] = cfg
	}
	for _, st := range ro.Stages {
		s.stages[st.ID] = st
		stage := promotion.Stage{ID: st.ID, Status: st.Status, WaitsFor: st.WaitsFor, Waits: st.Waits, Skips: st.Skips, Baked: st.Baked, Parallel: cfg.Project.Parallel,
			Withdrawn: st.Withdrawn, Before: s.before[st.ID], Config: promotion.Environment{Name: st.Environment}}
		for _, e := range cfg.Environments {
			if e.Name == st.Environment {
				l, err := w.law(ctx, s, cfg, ro.Release, e.Name)
				if err != nil {
					return out, err
				}
				stage.Config = promotion.Environment{Name: e.Name, After: e.After, Bake: e.Bake, Every: e.Queue == "every",
					Windows: l.Windows(), Freezes: l.Freezes(e.Name, s.freezes, s.now), SecondPerson: s.rails.SkipTakesSecond(w.project, e.Name),
					AutoRollback: e.Rollback == "auto", Sandbox: s.project.Sandbox != nil}
				if ro.Kind == core.RolloutRollback || ro.Kind == core.RolloutRepair {
					stage.Config.After = nil // it was verified here, and comes from nowhere else
				}
				if st.Status == core.StageWaiting && !ro.Status.Terminal() {
					if stage.Config.Parity, err = s.look.Gate(ctx, e.Name, l.Parity()); err != nil {
						return out, err
					}
				}
			}
		}
		if st.Status == core.StageBaking {
			stage.Baked += w.accrue(st.ID)
		}
		if st.Status.HoldsLease() {
			s.leased[st.ID] = true
			for _, run := range s.runs[st.ID] {
				stage.Ran = stage.Ran || run.Kind != core.KindPreview && run.Kind != core.KindImage
				stage.Applied = stage.Applied || run.Applied
			}
			var err error
			if stage.Instances, err = w.instances(ctx, s, cfg, ro, st); err != nil {
				return out, err
			}
		}
		out.Stages = append(out.Stages, stage)
	}
	return out, nil
}

// law is what judges a release that enters an environment.
func (w *worker) law(ctx context.Context, s *snapshot, cfg *config.Config, r core.Release, environment string) (law.Law, error) {
	l := law.For(s.rails, s.project, environment)
	l.Sources = append(l.Sources, law.Of(cfg, environment, law.Entering(r)))
	there, err := w.there(ctx, s, environment)
	if err == nil && there != nil && there != cfg {
		l.Sources = append(l.Sources, law.Of(there, environment, law.There(s.verified[environment])))
	}
	return l, err
}

// there is the configuration of the release that was verified last in an environment, which
// judges what comes after it too (rule 28); nil when there is none.
func (w *worker) there(ctx context.Context, s *snapshot, environment string) (*config.Config, error) {
	commit := s.verified[environment].Commit
	if commit == "" {
		return nil, nil
	}
	if cfg := s.configs[commit]; cfg != nil {
		return cfg, nil
	}
	cfg, err := w.past(ctx, s, commit, "what it asks of who comes after it in "+environment)
	if cfg != nil {
		s.configs[commit] = cfg
	}
	return cfg, err
}

// past is the configuration of a release that was. It is nil, and its loss in the log, when
// the repository does not have it any more or this Terrace does not take it: nobody could go
// on, were that an error. Not to be able to read it now is one, and is not taken for nil.
func (w *worker) past(ctx context.Context, s *snapshot, commit, lost string) (*config.Config, error) {
	cfg, err := w.Wanted.Config(ctx, s.project, commit)
	switch core.CodeOf(err) {
	case "":
		return cfg, nil
	case core.Invalid, core.NotFound:
		if gone := [2]string{commit, lost}; !w.gone[gone] { // it is asked for with every look
			w.gone[gone] = true
			w.Log.Warn("a release that was has no configuration any more", "project", w.project, "commit", commit, "lost", lost, "error", err)
		}
		return nil, nil
	}
	return nil, fmt.Errorf("%s, which commit %s says, cannot be read: %w", lost, core.ShortCommit(commit), err)
}

// accrue returns how much of a bake was measured and is not stored yet.
func (w *worker) accrue(stage string) time.Duration {
	now := time.Now()
	a := w.bakes[stage]
	if a == nil {
		a = &accrual{last: now}
		w.bakes[stage] = a
	}
	a.pending += now.Sub(a.last)
	a.last = now
	return a.pending
}

// instances says what each stack of a stage needs, in dependency order, so that an
// instance is only asked about once its upstreams are done (rule 10).
func (w *worker) instances(ctx context.Context, s *snapshot, cfg *config.Config, ro core.Rollout, st core.Stage) ([]promotion.Instance, error) {
	var contents map[string]source.Content // read when the first is asked for
	content := func(stack string) func() (source.Content, error) {
		return func() (c source.Content, err error) {
			if contents == nil {
				contents, err = w.Wanted.Contents(ctx, s.project, ro.Release.Commit, st.Environment)
			}
			return contents[stack], err
		}
	}
	names, err := w.names(ctx, s, cfg, ro, st)
	if err != nil {
		return nil, err
	}
	wants := w.wants(s, cfg, st.Environment)
	out, images, err := w.images(ctx, s, cfg, ro, st, wants)
	if err != nil {
		return nil, err
	}
	done := map[string]bool{}
	present := map[string]bool{}
	for _, in := range wants {
		present[in.Stack] = true
		state := s.instances[[2]string{in.Stack, st.Environment}]
		p := promotion.Instance{Stack: in.Stack, DependsOn: in.DependsOn, Need: promotion.NeedUnknown, Unknown: state.Unknown != "", Verify: in.HasVerify}
		p.Run, p.Watch, p.Preview = w.newest(ctx, s.runs[st.ID], in.Stack)
		if from := names.origins[in.Stack]; from != "" {
			present[from] = true
			p.MovesFrom, p.MoveWaits, p.MoveOpensBy = from, names.waits[in.Stack][0], names.waits[in.Stack][1]
			p.Unknown = s.instances[[2]string{from, st.Environment}].Unknown != ""
		}
		ready := true
		for _, up := range in.DependsOn {
			ready = ready && done[up]
		}
		for _, name := range in.Images {
			p.DependsOn = append(slices.Clone(p.DependsOn), core.ImageStack(name))
			ready = ready && images[name] != ""
		}
		if ready {
			need, err := w.answer(ctx, s, cfg, ro, st, in.Stack, content(in.Stack), state, images)
			if err != nil {
				return nil, err
			}
			if p.Need = need; names.clashes[in.Stack] != "" {
				p.Need = promotion.NeedRun // which says so
			}
			done[in.Stack] = p.Need == promotion.NeedNothing || p.Run != nil && p.Run.Status == core.RunSucceeded && p.Run.Kind == core.KindDeploy
		}
		out = append(out, p)
	}
	gone := map[string]*promotion.Instance{}
	for key, state := range s.instances {
		if key[1] != st.Environment || present[key[0]] {
			continue
		}
		p, ends, err := w.removed(ctx, s, st, state)
		if err != nil {
			return nil, err
		}
		if !ends {
			gone[p.Stack] = &p
		}
	}
	if err := w.destroyOrder(ctx, s, st.Environment, gone); err != nil {
		return nil, err
	}
	for _, stack := range slices.Sorted(maps.Keys(gone)) {
		out = append(out, *gone[stack])
	}
	return out, nil
}

// wants are the instances of an environment; none of a sandbox that ends, so that all there
// is has left the configuration (rule 27).
func (w *worker) wants(s *snapshot, cfg *config.Config, environment string) []config.Instance {
	if s.project.Sandbox != nil && !s.project.Sandbox.Ending.IsZero() {
		return nil
	}
	return cfg.Instances(environment)
}

// asked is what a release wants of an instance, under these guardrails.
type asked struct {
	wanted.Wanted
	rails  string
	images map[string]string // name → id
}

// answer evaluates an instance, once in a stage: it is asked for when the upstreams
// are done, so what the release wants of it does not change any more, but for what the
// guardrails give it, and images that are built again, while it is not done. Whether that is
// what is applied is looked at each time.
func (w *worker) answer(ctx context.Context, s *snapshot, cfg *config.Config, ro core.Rollout, st core.Stage, stack string, content func() (source.Content, error), state core.InstanceState, images map[string]string) (promotion.Need, error) {
	wants, ok := w.memo[st.ID][stack]
	if !ok || (wants.rails != s.rails.Digest || !maps.Equal(wants.images, images)) && wants.Digest != state.Digest {
		c, err := content()
		if err != nil {
			return "", err
		}
		wants.rails, wants.images = s.rails.Digest, images
		wants.Wanted, err = w.Wanted.Instance(ctx, s.project, ro.Release, cfg, st.Environment, stack, c)
		switch {
		case core.CodeOf(err) == core.Invalid:
			// The release cannot be evaluated here. A run will say so, with the message.
			w.Log.Info("an instance cannot be evaluated", "project", w.project, "instance", core.InstanceName(stack, st.Environment), "error", err)
		case err != nil:
			return "", err
		}
		w.remember(st, stack, wants)
	}
	if state.Digest != "" && state.Digest == wants.Digest && state.Unknown == "" && !s.replace[[2]string{stack, st.Environment}] && !slices.Contains(ro.Repairs, stack) && !(ro.AllHosts && hasHosts(cfg, st.Environment, stack)) {
		return promotion.NeedNothing, nil
	}
	return promotion.NeedRun, nil
}

// hasHosts reports whether Ansible follows an instance's apply.
func hasHosts(cfg *config.Config, environment, stack string) bool {
	return slices.ContainsFunc(cfg.Instances(environment), func(in config.Instance) bool { return in.Stack == stack && in.HasAnsible })
}

func (w *worker) remember(st core.Stage, stack string, wants asked) {
	if w.memo[st.ID] == nil {
		w.memo[st.ID] = map[string]asked{}
	}
	w.memo[st.ID][stack] = wants
}

// removed judges an instance whose stack left the configuration (rule 27). With
// nothing in its state it simply ends.
func (w *worker) removed(ctx context.Context, s *snapshot, st core.Stage, state core.InstanceState) (p promotion.Instance, ends bool, err error) {
	p = promotion.Instance{Stack: state.Stack, Need: promotion.NeedRun, Removed: true, Unknown: state.Unknown != ""}
	p.Run, _, _ = w.newest(ctx, s.runs[st.ID], state.Stack)
	if p.Run != nil && !p.Run.Status.Terminal() || p.Unknown {
		return p, false, nil
	}
	err = w.Store.Update(ctx, func(tx core.Tx) error {
		resources, err := states.Resources(tx, state.Project, state.Stack, state.Environment)
		if err != nil {
			return err
		}
		ends = resources == 0
		if !ends {
			return nil
		}
		if err := tx.DeleteOwnState(state.Project, state.Stack, state.Environment); err != nil {
			return err
		}
		if err := tx.DeleteInstance(state.Project, state.Stack, state.Environment); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: "server", Kind: "instance.ended", Project: state.Project, On: core.InstanceName(state.Stack, state.Environment)})
	})
	return p, ends, err
}

// destroyOrder lets each removed instance wait for those that depended on it when they
// were last applied: their destruction still reads its outputs.
func (w *worker) destroyOrder(ctx context.Context, s *snapshot, environment string, gone map[string]*promotion.Instance) error {
	if len(gone) < 2 {
		return nil
	}
	for _, stack := range slices.Sorted(maps.Keys(gone)) {
		commit := s.instances[[2]string{stack, environment}].Commit
		if commit == "" {
			continue
		}
		cfg, err := w.past(ctx, s, commit, "what "+core.InstanceName(stack, environment)+" depends on")
		if err != nil {
			return err
		}
		if cfg == nil {
			continue // its destruction will say so; without an order it is no worse off
		}
		for _, in := range cfg.Instances(environment) {
			if in.Stack != stack {
				continue
			}
			for _, up := range in.DependsOn {
				// Each is as its own release had it, so together they may go in circles.
				if gone[up] != nil && !waits(gone, stack, up) {
					gone[up].DependsOn = append(gone[up].DependsOn, stack)
				}
			}
		}
	}
	return nil
}

// waits reports whether stack waits for other, directly or not.
func waits(gone map[string]*promotion.Instance, stack, other string) bool {
	if stack == other {
		return true
	}
	return slices.ContainsFunc(gone[stack].DependsOn, func(next string) bool { return waits(gone, next, other) })
}

// newest finds an instance's newest run, watch and preview among a stage's runs.
func (w *worker) newest(ctx context.Context, list []core.Run, stack string) (run, watch, preview *promotion.Run) {
	for _, r := range list {
		if r.Stack != stack {
			continue
		}
		newest := &run
		switch r.Kind {
		case core.KindVerify:
			newest = &watch
		case core.KindPreview:
			newest = &preview
		}
		if *newest != nil {
			continue
		}
		p := &promotion.Run{ID: r.ID, Kind: r.Kind, Status: r.Status, Applied: r.Applied, Refuted: r.Refuted, Cancel: r.Cancel, Finished: r.Finished}
		if r.Error != nil {
			p.Code, p.Message = r.Error.Code, r.Error.Message
		}
		if r.Status == core.RunAwaitingApproval {
			p.Approval = w.approval(ctx, r)
		}
		*newest = p
	}
	return run, watch, preview
}

// approval is how it stands with a run that awaits approvals. Where that cannot be found
// out, it waits.
func (w *worker) approval(ctx context.Context, r core.Run) *promotion.Approval {
	_, a, err := w.Runs.Approval(ctx, r, "")
	if err != nil {
		w.Log.Warn("what a run's approval needs cannot be read, so it waits", "project", w.project, "run", r.ID, "error", err)
		return nil
	}
	return &a
}
