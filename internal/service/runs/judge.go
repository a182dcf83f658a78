package runs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/service/law"
	"github.com/terrace-cd/terrace/internal/wire"
)

// law is what judges a run: the guardrails, and the configurations of its own release and of
// those that are there now, so that one which takes a protection away still meets it once
// (rule 28). In an environment is the release that was verified there last; an instance may
// have got further than that, in a stage that failed.
func (s *Service) law(ctx context.Context, run core.Run) (l law.Law, err error) {
	if run.Kind != core.KindDeploy && run.Kind != core.KindDestroy && run.Kind != core.KindPreview {
		return l, nil // it changes nothing
	}
	var project core.Project
	var instance core.InstanceState
	var rails *config.Guardrails
	var verified core.Release
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		if rails, err = s.Guardrails.In(tx); err != nil {
			return err
		}
		if project, err = tx.Project(run.Project); err != nil {
			return err
		}
		if instance, err = tx.Instance(run.Project, run.Stack, run.Environment); err != nil {
			return err
		}
		verified, err = verifiedIn(tx, run.Project, run.Environment)
		return err
	}); err != nil {
		return l, err
	}
	l = law.For(rails, project, run.Environment)
	// Where nothing had to run for a release, it is there without having been applied.
	there := core.Release{Number: instance.Applied, Commit: instance.Commit}
	if instance.Release.Number > there.Number {
		there = instance.Release
	}
	if run.Release.Commit != "" && run.Release.Commit != there.Commit && run.Release.Commit != verified.Commit {
		if err := s.add(ctx, &l, project, run, run.Release.Commit, law.Entering(run.Release)); err != nil {
			return l, err
		}
	}
	if there.Commit != "" && there.Commit != verified.Commit {
		if err := s.add(ctx, &l, project, run, there.Commit, law.There(there)); err != nil {
			return l, err
		}
	}
	if verified.Commit != "" {
		err = s.add(ctx, &l, project, run, verified.Commit, law.There(verified))
	}
	return l, err
}

// still refuses to decide by guardrails that were replaced since a law was read. The runner
// says the same again.
func (s *Service) still(tx core.Tx, run core.Run, l law.Law) error {
	rails, err := s.Guardrails.In(tx)
	if err == nil && l.Rails != nil && rails.Digest != l.Guardrails {
		err = core.Errorf(core.Unavailable, "the guardrails were changed while the plan of %s was judged; it is judged again", run.Instance())
	}
	return err
}

// verifiedIn is the release that was verified last in an environment; zero when none was.
func verifiedIn(tx core.Tx, project, environment string) (core.Release, error) {
	e, err := tx.Environment(project, environment)
	if err != nil || e.Verified == 0 {
		return core.Release{}, err
	}
	release, err := tx.FindRelease(project, strconv.FormatInt(e.Verified, 10))
	if core.CodeOf(err) == core.NotFound {
		return core.Release{}, nil
	}
	return release, err
}

// add adds what one configuration says.
func (s *Service) add(ctx context.Context, l *law.Law, p core.Project, run core.Run, commit, from string) error {
	cfg, err := s.Wanted.Config(ctx, p, commit)
	if err != nil {
		return fmt.Errorf("what protects %s cannot be read: %w", run.Instance(), err)
	}
	source := law.Of(cfg, run.Environment, from)
	if source.Policies, err = law.PoliciesOf(cfg, from); err != nil {
		return fmt.Errorf("what judges plans of %s cannot be read: %w", run.Instance(), err)
	}
	source.Commit = commit
	l.Sources = append(l.Sources, source)
	return nil
}

// judges tells the runner what judges its plan.
func (s *Service) judges(ctx context.Context, run core.Run, job *wire.Job) error {
	l, err := s.law(ctx, run)
	if err != nil {
		return err
	}
	job.Policies, job.Allow = l.Policies(), l.Allowed()
	job.About = wire.About{Project: run.Project, Environment: run.Environment, Stack: run.Stack, Instance: run.Instance(), Kind: string(run.Kind),
		Release: wire.AboutRelease{Number: run.Release.Number, Commit: run.Release.Commit, Author: run.Release.Author, Message: run.Release.Message}}
	return nil
}

// Forgotten is a state.Guard: a person's write of a state would forget these resources.
func (s *Service) Forgotten(ctx context.Context, project, stack, environment string, addresses []string) ([]string, error) {
	// Judged as a run would be whose plan forgets them.
	run := core.Run{Project: project, Stack: stack, Environment: environment, Kind: core.KindDeploy}
	l, err := s.law(ctx, run)
	if err != nil {
		return nil, err
	}
	var planned wire.Planned
	for _, a := range addresses {
		planned.Plan.Resources = append(planned.Plan.Resources, wire.ResourceChange{Address: a, Type: guard.TypeOf(a), Action: "forget"})
	}
	var judged guard.Verdict
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		judged, err = s.judge(tx, run, planned, nil, l)
		return err
	}); err != nil {
		return nil, err
	}
	if why := guard.Denials(judged.Checks); why != "" {
		return nil, core.Errorf(core.Conflict, "%s", why)
	}
	return judged.Used, nil
}

// judge is rules 12 to 14, and the proof that rule 27 asks of what got another name. asked
// are the replacements that the plan was made with because people want them.
func (s *Service) judge(tx core.Tx, run core.Run, planned wire.Planned, asked []core.Replacement, l law.Law) (guard.Verdict, error) {
	in, err := s.input(tx, run, planned, asked, l)
	if err != nil || len(in.Rules) == 0 && in.MovedFrom == "" && len(in.Requests) == 0 {
		return guard.Verdict{}, err
	}
	return guard.Judge(in), nil
}

// input is a plan with all that judges it.
func (s *Service) input(tx core.Tx, run core.Run, planned wire.Planned, asked []core.Replacement, l law.Law) (guard.Input, error) {
	instance, err := tx.Instance(run.Project, run.Stack, run.Environment)
	if err != nil {
		return guard.Input{}, err
	}
	in := guard.Input{Instance: run.Instance(), Plan: planned.Plan, Replaced: planned.Replaced, Rules: l.Protection(run.Stack, instance.MovedFrom)}
	if len(instance.Kept) > 0 {
		in.Rules = append(in.Rules, guard.Rules{From: "what a rollback kept", Stateful: slices.Sorted(maps.Keys(instance.Kept))})
	}
	for _, r := range asked {
		in.Requests = append(in.Requests, guard.Request{ID: r.ID, Address: r.Address, By: r.By, Reason: r.Reason})
	}
	if run.ID != "" && run.Kind == core.KindDeploy && instance.MovedFrom != "" {
		in.MovedFrom = core.InstanceName(instance.MovedFrom, run.Environment)
	}
	all, err := tx.Exceptions(run.Project)
	if err != nil {
		return guard.Input{}, err
	}
	var rule core.ExceptionRule
	if l.Rails != nil {
		rule = l.Rails.ExceptionRule(run.Project, run.Environment)
	}
	for _, e := range all {
		if e.Stack != run.Stack || e.Environment != run.Environment {
			continue
		}
		switch rule.Status(e, tx.Now()) {
		case core.ExceptionOpen:
			in.Exceptions = append(in.Exceptions, guard.Exception{ID: e.ID, Address: e.Address})
		case core.ExceptionPending:
			in.Exceptions = append(in.Exceptions, guard.Exception{ID: e.ID, Address: e.Address, Pending: true, By: e.By})
		}
	}
	return in, nil
}

// use ends the exceptions that a run needs, in the transaction that lets it apply.
func use(tx core.Tx, run core.Run, exceptions []string) error {
	for _, id := range exceptions {
		if err := tx.EndException(run.Project, id, run.ID, tx.Now()); err != nil {
			return err
		}
		if err := tx.AddEvent(core.Event{By: "run:" + run.ID, Kind: "exception.used", Project: run.Project, On: run.Instance(), Data: map[string]string{"exception": id}}); err != nil {
			return err
		}
	}
	return nil
}

// replaceAlso is the answer to a plan that changes immutable addresses in place.
func replaceAlso(planned wire.Planned, more []string) wire.Next {
	all := slices.Concat(planned.Replaced, more)
	slices.Sort(all)
	return wire.Next{Do: "replan", Replace: slices.Compact(all), Exclude: planned.Excluded, Reason: strings.Join(more, ", ") + ": immutable, so replaced instead of changed in place"}
}

// judgeAgain is the answer to a plan that was not judged by what judges now.
func judgeAgain(policies []wire.Policy) wire.Next {
	return wire.Next{Do: "check", Policies: policies, Reason: "the policies have changed since the run began"}
}
