package previews

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/promotion"
	"github.com/terrace-cd/terrace/internal/service/law"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/source"
)

// scope finds out what a preview is about: the merge, its environments, the instances that it
// may affect, the rules that it would weaken. Errors of the branch itself are Conflict or
// Invalid.
func (s *Service) scope(ctx context.Context, p core.Project, pv *core.Preview) error {
	merged, err := s.Source.Merge(ctx, p.Repo, pv.Target, pv.Commit)
	if err != nil {
		return err
	}
	pv.Merged, pv.Tree = merged.Commit, merged.Tree
	if merged.Commit == pv.Target {
		return core.Errorf(core.Conflict, "%s is in %s already; there is nothing to preview", pv.Branch, p.Branch)
	}
	is, err := s.Wanted.Config(ctx, p, pv.Merged)
	if err != nil {
		return err
	}
	was, err := s.Wanted.Config(ctx, p, pv.Target)
	if err != nil && core.CodeOf(err) != core.Invalid {
		return err // a configuration that does not hold has no rules, and wants nothing
	}
	rails, err := s.Guardrails.Current(ctx)
	if err != nil {
		return err
	}
	pv.Gates = map[string][]string{}
	for _, e := range is.Environments {
		pv.Environments = append(pv.Environments, e.Name)
		old, now, err := sides(was, is, e.Name)
		if err != nil {
			return err
		}
		for _, what := range law.Weaker(old, now) {
			pv.Refused = append(pv.Refused, core.Refusal{Environment: e.Name, What: what})
		}
		l := law.For(rails, p, e.Name)
		l.Sources = append(l.Sources, now)
		if was != nil {
			l.Sources = append(l.Sources, old)
		}
		if asks := gates(l); len(asks) > 0 {
			pv.Gates[e.Name] = asks
		}
		for _, in := range is.Instances(e.Name) {
			pv.Instances = append(pv.Instances, core.PreviewInstance{Environment: e.Name, Stack: in.Stack, State: core.PreviewsUpstream})
		}
	}
	if was == nil {
		return nil
	}
	return s.Store.View(ctx, func(tx core.Tx) error { return removals(tx, was, is, pv) })
}

// sides are what the tracked branch and the preview say of an environment.
func sides(was, is *config.Config, environment string) (old, now law.Source, err error) {
	if was != nil {
		old = law.Of(was, environment, "terrace.hcl of the tracked branch")
		if old.Policies, err = law.PoliciesOf(was, old.From); err != nil {
			return old, now, err
		}
	}
	now = law.Of(is, environment, law.Entering(core.Release{}))
	now.Policies, err = law.PoliciesOf(is, now.From)
	return old, now, err
}

// gates says what an environment asks for before something is applied there.
func gates(l law.Law) (out []string) {
	for _, r := range l.Approvals() {
		out = append(out, "approval: "+promotion.Missing{Requirement: r, Need: r.Count}.Words())
	}
	if len(l.Windows()) > 0 {
		out = append(out, "its window to be open")
	}
	return out
}

// removals are the instances whose stack, or whose environment, the branch does not have.
func removals(tx core.Tx, was, is *config.Config, pv *core.Preview) error {
	for _, e := range was.Environments {
		for _, in := range was.Instances(e.Name) {
			moved := slices.ContainsFunc(is.Stacks, func(st config.Stack) bool { return st.MovedFrom == in.Stack })
			if moved || has(is, e.Name, in.Stack) {
				continue
			}
			n, err := state.Resources(tx, pv.Project, in.Stack, e.Name)
			if err != nil {
				return err
			}
			pv.Instances = append(pv.Instances, core.PreviewInstance{Environment: e.Name, Stack: in.Stack, State: core.PreviewsRemoval, Resources: n})
		}
	}
	return nil
}

// walk is one look at a preview.
type walk struct {
	*Service
	p       core.Project
	pv      core.Preview
	was, is *config.Config
	runs    map[string]core.Run
	next    core.Release // what the branch would be
	there   core.Release
	queue   []core.Run
}

// step brings a preview as far as it gets now.
func (s *Service) step(ctx context.Context, pv core.Preview) error {
	p, err := s.Projects.Get(ctx, pv.Project)
	if err != nil {
		return err
	}
	w := walk{Service: s, p: p, pv: pv, runs: map[string]core.Run{}}
	w.pv.Instances = slices.Clone(pv.Instances)
	if w.is, err = s.Wanted.Config(ctx, p, pv.Merged); err == nil {
		if w.was, err = s.Wanted.Config(ctx, p, pv.Target); core.CodeOf(err) == core.Invalid {
			err = nil
		}
	}
	if core.CodeOf(err) == core.NotFound || core.CodeOf(err) == core.Invalid {
		return s.finish(ctx, pv, core.PreviewErrored, "what it merged is not there any more ("+core.MessageOf(err)+"); start it again")
	} else if err != nil {
		return err
	}
	if err := s.Store.View(ctx, func(tx core.Tx) error {
		all, err := tx.Runs(core.RunFilter{Project: p.Name, Preview: pv.ID})
		for _, run := range all {
			w.runs[run.ID] = run
		}
		if err != nil {
			return err
		}
		w.next, w.there, err = runs.Foreseen(tx, pv)
		return err
	}); err != nil {
		return err
	}
	w.look()
	for _, environment := range pv.Environments {
		if err := w.environment(ctx, environment); err != nil {
			return err
		}
	}
	return w.write(ctx)
}

// look reads how the runs ended.
func (w *walk) look() {
	for i := range w.pv.Instances {
		in := &w.pv.Instances[i]
		run, ok := w.runs[in.Run]
		if in.State != core.PreviewsRun || !ok || !run.Status.Terminal() {
			continue
		}
		if run.Error != nil {
			in.Why = run.Error.Message
		}
		switch {
		case run.Status == core.RunSucceeded && run.NoChanges:
			in.State = core.PreviewsNothing
		case run.Status == core.RunSucceeded:
			in.State = core.PreviewsPlan
		case run.Status == core.RunFailed && run.HasPlan:
			in.State = core.PreviewsDenied
		case run.Status == core.RunFailed:
			in.State = core.PreviewsFailed
		default:
			in.State = core.PreviewsErrored
		}
	}
}

// environment decides on every instance of an environment whose upstreams are decided.
func (w *walk) environment(ctx context.Context, environment string) error {
	var now, before map[string]source.Content
	for _, in := range w.is.Instances(environment) {
		at := w.pv.Of(environment, in.Stack)
		if at == nil || at.State != core.PreviewsUpstream {
			continue
		}
		planned, why, err := w.upstreams(ctx, environment, in)
		if err != nil {
			return err
		}
		if why == undecided {
			continue
		}
		if now == nil {
			if now, err = w.Wanted.Contents(ctx, w.p, w.pv.Merged, environment); err != nil {
				return err
			}
			if w.was != nil {
				if before, err = w.Wanted.Contents(ctx, w.p, w.pv.Target, environment); err != nil {
					return err
				}
			}
		}
		w.decide(ctx, at, now[in.Stack], before[in.Stack], planned, why)
	}
	w.pv.Instances = slices.DeleteFunc(w.pv.Instances, func(i core.PreviewInstance) bool { return i.State == "" })
	return nil
}

// undecided: something that an instance depends on is being planned.
const undecided = "…"

// upstreams are the planned outputs of what an instance depends on, as far as the preview
// affects it; on is an instance that has to be applied before anything can be said, "" for none.
func (w *walk) upstreams(ctx context.Context, environment string, in config.Instance) (planned wanted.Planned, on string, err error) {
	planned = wanted.Planned{}
	for _, name := range in.DependsOn {
		up := w.pv.Of(environment, name)
		switch {
		case up == nil || up.State == "": // nothing changes there
		case !up.Done():
			return nil, undecided, nil
		case up.State == core.PreviewsPlan || up.State == core.PreviewsNothing || up.State == core.PreviewsDenied:
			values, err := w.Runs.PlannedOutputs(ctx, up.Run)
			if err != nil {
				return nil, "", err
			}
			planned[name] = values
		default:
			on = core.InstanceName(name, environment)
		}
	}
	return planned, on, nil
}

// decide says what becomes of an instance. One that the branch does not affect is left out.
func (w *walk) decide(ctx context.Context, at *core.PreviewInstance, now, before source.Content, planned wanted.Planned, on string) {
	fail := func(err error) {
		at.State, at.Why = core.PreviewsFailed, core.MessageOf(err)
		if core.CodeOf(err) != core.Invalid && core.CodeOf(err) != core.Conflict {
			at.State = core.PreviewsErrored
		}
	}
	if on != "" {
		at.State, at.On = core.PreviewsWait, on
		return
	}
	if from := runs.MovedFrom(w.is, at.Stack); from != "" && !has(w.was, at.Environment, at.Stack) {
		at.State, at.Why = core.PreviewsWait, fmt.Sprintf("it was %s, and gets another name when the release enters; then it is planned, and has to be the same (rule 27)", core.InstanceName(from, at.Environment))
		return
	}
	wants, err := w.Wanted.Against(ctx, w.p, w.next, w.is, at.Environment, at.Stack, now, planned)
	if err != nil {
		fail(err)
		return
	}
	if wants.Image != "" {
		at.State, at.Why = core.PreviewsWait, "its image "+wants.Image+" is known after it is built, which is when the release comes to the first environment that uses it"
		return
	}
	if !wants.Ready {
		at.State, at.On = core.PreviewsWait, wants.WaitsFor
		return
	}
	if has(w.was, at.Environment, at.Stack) {
		has, err := w.Wanted.Instance(ctx, w.p, w.there, w.was, at.Environment, at.Stack, before)
		if err != nil && core.CodeOf(err) != core.Invalid {
			fail(err)
			return
		}
		if err == nil && has.Ready && has.Digest == wants.Digest {
			at.State = ""
			return
		}
	}
	for _, name := range wantedOf(wants, planned) {
		if up := w.pv.Of(at.Environment, name); up != nil && up.State != core.PreviewsNothing {
			at.Against = append(at.Against, name)
		}
	}
	at.State, at.Digest = core.PreviewsRun, wants.Digest
	w.queue = append(w.queue, core.Run{Project: w.p.Name, Preview: w.pv.ID, Stack: at.Stack, Environment: at.Environment, Kind: core.KindPreview,
		Release: core.Release{Project: w.p.Name, Commit: w.pv.Merged}, InputDigest: wants.Digest, Components: wants.Parts})
}

// wantedOf are the stacks whose planned outputs an instance uses, in order.
func wantedOf(w wanted.Wanted, planned wanted.Planned) (names []string) {
	for name := range w.Inputs.Upstream {
		if _, ok := planned[name]; ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func has(cfg *config.Config, environment, stack string) bool {
	return cfg != nil && slices.ContainsFunc(cfg.Instances(environment), func(in config.Instance) bool { return in.Stack == stack })
}

// write stores what was found out, and starts what is to be planned.
func (w *walk) write(ctx context.Context) error {
	done := !slices.ContainsFunc(w.pv.Instances, func(i core.PreviewInstance) bool { return !i.Done() })
	if done {
		w.pv.Status, w.pv.Why = verdict(w.pv.Instances), ""
	}
	same, err := w.stored(ctx, w.pv)
	if err != nil || same && len(w.queue) == 0 {
		return err
	}
	err = w.Store.Update(ctx, func(tx core.Tx) error {
		pv := w.pv
		pv.Instances = slices.Clone(pv.Instances)
		for _, ask := range w.queue {
			run, err := runs.Queue(tx, "server", ask)
			if err != nil {
				return err
			}
			pv.Of(ask.Environment, ask.Stack).Run = run.ID
		}
		if done {
			pv.Finished = tx.Now()
		}
		if err := tx.UpdatePreview(pv, core.PreviewRunning); err != nil {
			return err
		}
		if !done {
			return nil
		}
		return event(tx, "server", "preview."+string(pv.Status), pv)
	})
	w.Bus.Changed(w.p.Name)
	if err == nil && done {
		w.Source.Forget(ctx, w.p.Repo, w.pv.Merged)
	}
	return err
}

// stored reports whether a preview is stored as it is.
func (s *Service) stored(ctx context.Context, pv core.Preview) (bool, error) {
	var there core.Preview
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		there, err = tx.Preview(pv.ID)
		return err
	}); err != nil {
		return false, err
	}
	a, err := json.Marshal(pv)
	if err != nil {
		return false, err
	}
	b, err := json.Marshal(there)
	return string(a) == string(b), err
}

// verdict is how a preview ends whose instances are all decided.
func verdict(all []core.PreviewInstance) core.PreviewStatus {
	count := map[core.PreviewState]int{}
	for _, i := range all {
		count[i.State]++
	}
	switch {
	case count[core.PreviewsFailed]+count[core.PreviewsDenied] > 0:
		return core.PreviewFailed
	case count[core.PreviewsErrored] > 0:
		return core.PreviewErrored
	}
	return core.PreviewSucceeded
}

func (s *Service) finish(ctx context.Context, pv core.Preview, to core.PreviewStatus, why string) error {
	var stopped []core.Run
	err := s.Store.Update(ctx, func(tx core.Tx) (err error) {
		stopped, err = s.end(tx, pv, to, "server", why)
		return err
	})
	s.interrupt(stopped)
	s.Bus.Changed(pv.Project)
	return err
}
