// Package drift looks at what is there, shows how it differs from the states, and lets
// the pipeline undo it (rule 25). A look never changes anything, and never holds up who does.
package drift

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/promotion"
	"github.com/terrace-cd/terrace/internal/service/board"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Service is safe for concurrent use.
type Service struct {
	Store  core.Store
	Runs   *runs.Service
	Wanted *wanted.Evaluator
	Bus    *bus.Bus
}

// Begin makes a run that looks at an instance, with the code of the release that was
// applied there last. Conflict says why nobody can look there now.
func Begin(tx core.Tx, by, project, stack, environment string) (core.Run, error) {
	name := core.InstanceName(stack, environment)
	e, err := tx.Environment(project, environment)
	if err != nil {
		return core.Run{}, err
	}
	if err := promotion.Lookable(e); err != nil {
		return core.Run{}, err
	}
	instance, err := tx.Instance(project, stack, environment)
	if err != nil {
		return core.Run{}, err
	}
	if why := Blind(instance); why != "" {
		return core.Run{}, core.Errorf(core.Conflict, "%s", why)
	}
	resources, err := state.Resources(tx, project, stack, environment)
	if err != nil {
		return core.Run{}, err
	}
	if resources == 0 {
		return core.Run{}, core.Errorf(core.Conflict, "%s has nothing in its state", name)
	}
	others, err := tx.Runs(core.RunFilter{Project: project, Environment: environment, Stack: stack, Statuses: core.RunsUnderWay()})
	if err != nil {
		return core.Run{}, err
	}
	for _, o := range others {
		if o.Kind == core.KindDrift {
			return o, nil // asking again joins it
		}
		if !o.Kind.OnlyLooks() {
			return core.Run{}, core.Errorf(core.Conflict, "%s works on %s; look when it is over", o.ID, name)
		}
	}
	release, err := tx.Release(project, instance.Commit)
	if core.CodeOf(err) == core.NotFound {
		return core.Run{}, core.Errorf(core.Conflict, "the release that was applied last at %s (%s) is not known any more, so there is no code to look with", name, core.ShortCommit(instance.Commit))
	} else if err != nil {
		return core.Run{}, err
	}
	return runs.Queue(tx, by, core.Run{Project: project, Stack: stack, Environment: environment, Kind: core.KindDrift, Release: release})
}

// Blind says why what is stored of an instance does not let anybody look at it, "" when it does.
func Blind(i core.InstanceState) string {
	name := core.InstanceName(i.Stack, i.Environment)
	switch {
	case i.Unknown != "":
		return "the outcome of " + i.Unknown + " at " + name + " is unknown; recover it first: terrace run recover " + i.Unknown
	case i.MovedFrom != "":
		return name + " was " + core.InstanceName(i.MovedFrom, i.Environment) + " before and was not planned under its new name yet"
	case i.Commit == "":
		return name + " was never applied, so there is no code to look with"
	}
	return ""
}

// Yield ends all looks at an environment, because a release enters it. The caller
// interrupts the runners of those that it returns.
func Yield(tx core.Tx, r *runs.Service, project, environment string, release int64) ([]core.Run, error) {
	looking, err := tx.Runs(core.RunFilter{Project: project, Environment: environment, Statuses: core.RunsUnderWay()})
	if err != nil {
		return nil, err
	}
	var active []core.Run
	for _, run := range looking {
		if run.Kind != core.KindDrift {
			continue
		}
		if run.Status.Active() {
			active = append(active, run)
		}
		run.Error = &core.RunError{Code: "superseded", Message: fmt.Sprintf("release %d entered %s while this run looked at it", release, environment)}
		if err := r.Move(tx, &run, core.RunSuperseded); err != nil {
			return nil, err
		}
	}
	return active, nil
}

// Look starts looks at instances: those named, those of environments named, or all.
// What cannot be looked at now is skipped, with the reason; what is named by itself and
// cannot, is a Conflict when nothing else is left.
func (s *Service) Look(ctx context.Context, by, project string, ask wire.Look) (wire.Looks, error) {
	var out wire.Looks
	err := s.Store.Update(ctx, func(tx core.Tx) error {
		out = wire.Looks{Runs: []wire.Run{}}
		wanted, err := named(tx, project, ask)
		if err != nil {
			return err
		}
		for _, i := range wanted {
			run, err := Begin(tx, by, project, i.Stack, i.Environment)
			switch core.CodeOf(err) {
			case "":
				out.Runs = append(out.Runs, board.Run(run))
			case core.Conflict, core.NotFound:
				out.Skipped = append(out.Skipped, wire.NotLooked{Instance: core.InstanceName(i.Stack, i.Environment), Why: core.MessageOf(err)})
			default:
				return err
			}
		}
		if len(out.Runs) > 0 || len(out.Skipped) == 0 {
			return nil
		}
		var why error
		for _, n := range out.Skipped {
			why = errors.Join(why, core.Errorf(core.Conflict, "%s: %s", n.Instance, n.Why))
		}
		return core.Errorf(core.Conflict, "%s", why.Error())
	})
	if err == nil {
		s.Bus.Changed(project)
	}
	return out, err
}

// named lists the instances that somebody means, by environment and stack.
func named(tx core.Tx, project string, ask wire.Look) ([]core.InstanceState, error) {
	if _, err := tx.Project(project); err != nil {
		return nil, err
	}
	all, err := tx.Instances(project)
	if err != nil {
		return nil, err
	}
	for _, environment := range ask.Environments {
		if !slices.ContainsFunc(all, func(i core.InstanceState) bool { return i.Environment == environment }) {
			return nil, core.Errorf(core.NotFound, "nothing was ever applied in an environment %s of %s; terrace status lists what there is", environment, project)
		}
	}
	means := map[string]bool{}
	for _, name := range ask.Instances {
		stack, environment, err := core.ParseInstance(name)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(all, func(i core.InstanceState) bool { return i.Stack == stack && i.Environment == environment }) {
			return nil, core.Errorf(core.NotFound, "nothing was ever applied at %s; terrace status lists what there is", name)
		}
		means[name] = true
	}
	if len(ask.Environments)+len(ask.Instances) == 0 {
		return all, nil
	}
	return slices.DeleteFunc(all, func(i core.InstanceState) bool {
		return !slices.Contains(ask.Environments, i.Environment) && !means[core.InstanceName(i.Stack, i.Environment)]
	}), nil
}
