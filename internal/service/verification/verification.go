// Package verification asks again, because a person wants to know, whether what is there
// works (rule 16): the verify blocks of the release that was applied last, once.
package verification

import (
	"context"
	"errors"
	"fmt"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/board"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/service/drift"
	"github.com/terrace-cd/terrace/internal/service/runs"
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

// Ask starts a verification of an instance, or, without a stack, of all instances of an
// environment. Where nothing can be asked now is skipped, with the reason; Conflict when
// nothing else is left.
func (s *Service) Ask(ctx context.Context, by, project, environment, stack string) (wire.Verifications, error) {
	asked, err := s.blocks(ctx, project, environment, stack)
	if err != nil {
		return wire.Verifications{}, err
	}
	var out wire.Verifications
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		out = wire.Verifications{Runs: []wire.Run{}}
		var reasons error
		for _, a := range asked {
			run, err := begin(tx, by, project, a)
			switch core.CodeOf(err) {
			case "":
				out.Runs = append(out.Runs, board.Run(run))
			case core.Conflict, core.NotFound:
				out.Skipped = append(out.Skipped, wire.NotVerified{Instance: a.Name(), Why: core.MessageOf(err)})
				reasons = errors.Join(reasons, core.Errorf(core.Conflict, "%s", core.MessageOf(err)))
			default:
				return err
			}
		}
		if len(out.Runs) == 0 {
			return core.Errorf(core.Conflict, "%s", reasons.Error())
		}
		return nil
	})
	if err == nil {
		s.Bus.Changed(project)
	}
	return out, err
}

// instance is what is asked about, with what its release says.
type instance struct {
	core.InstanceState
	has bool // a verify block
}

func (i instance) Name() string { return core.InstanceName(i.Stack, i.Environment) }

// blocks finds the instances that are meant, and whether there is anything to ask of them
// in the configuration that was applied last.
func (s *Service) blocks(ctx context.Context, project, environment, stack string) ([]instance, error) {
	var p core.Project
	var out []instance
	err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		out = nil
		if p, err = tx.Project(project); err != nil {
			return err
		}
		all, err := tx.Instances(project)
		for _, i := range all {
			if i.Environment == environment && (stack == "" || i.Stack == stack) {
				out = append(out, instance{InstanceState: i})
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(out) == 0 {
		where := "in an environment " + environment + " of " + project
		if stack != "" {
			where = "at " + core.InstanceName(stack, environment)
		}
		return nil, core.Errorf(core.NotFound, "nothing was ever applied %s; terrace status lists what there is", where)
	}
	for n, i := range out {
		if i.Commit == "" {
			continue
		}
		cfg, err := s.Wanted.Config(ctx, p, i.Commit)
		if err != nil {
			return nil, err
		}
		for _, in := range cfg.Instances(environment) {
			if in.Stack == i.Stack {
				out[n].has = in.HasVerify
			}
		}
	}
	return out, nil
}

// begin makes a run that asks once. It takes no lease: Conflict while a stage has it.
func begin(tx core.Tx, by, project string, i instance) (core.Run, error) {
	e, err := tx.Environment(project, i.Environment)
	if err != nil {
		return core.Run{}, err
	}
	if e.Stage != "" {
		return core.Run{}, taken(tx, e)
	}
	now, err := tx.Instance(project, i.Stack, i.Environment)
	if err != nil {
		return core.Run{}, err
	}
	switch why := drift.Blind(now); {
	case why != "":
		return core.Run{}, core.Errorf(core.Conflict, "%s", why)
	case now.Commit != i.Commit:
		return core.Run{}, core.Errorf(core.Conflict, "another release was applied at %s just now; ask again", i.Name())
	case !i.has:
		return core.Run{}, core.Errorf(core.Conflict, "%s has no verify block in the release that is there, so there is nothing to ask", i.Name())
	}
	others, err := tx.Runs(core.RunFilter{Project: project, Environment: i.Environment, Stack: i.Stack, Statuses: core.RunsUnderWay()})
	if err != nil {
		return core.Run{}, err
	}
	for _, o := range others {
		if o.ByHand() && !o.Cancel {
			return o, nil // asking again joins it
		}
		if !o.Kind.OnlyLooks() {
			return core.Run{}, core.Errorf(core.Conflict, "%s works on %s; ask when it is over", o.ID, i.Name())
		}
	}
	release, err := tx.Release(project, i.Commit)
	if err != nil {
		return core.Run{}, err
	}
	return runs.Queue(tx, by, core.Run{Project: project, Stack: i.Stack, Environment: i.Environment, Kind: core.KindVerify, Release: release})
}

// taken says who has the lease, and how its own verification is asked again.
func taken(tx core.Tx, e core.EnvironmentState) error {
	stage, err := tx.Stage(e.Stage)
	if err != nil {
		return err
	}
	rollout, err := tx.Rollout(stage.Rollout)
	if err != nil {
		return err
	}
	return core.Errorf(core.Conflict, "release %d is in %s, and its stage asks by itself; where it got no answer, this asks again: terrace rollout start --commit %[1]d",
		rollout.Release.Number, e.Name)
}

// Yield ends what people ask in an environment, because a release enters it and changes
// what they ask about. The caller interrupts the runners of those that it returns.
func Yield(tx core.Tx, r *runs.Service, project, environment string, release int64) ([]core.Run, error) {
	asking, err := tx.Runs(core.RunFilter{Project: project, Environment: environment, Statuses: core.RunsUnderWay()})
	if err != nil {
		return nil, err
	}
	var active []core.Run
	for _, run := range asking {
		if !run.ByHand() || run.Cancel {
			continue
		}
		if run.Status.Active() {
			active = append(active, run)
		}
		if err := r.CancelIn(tx, fmt.Sprintf("release %d, which entered %s", release, environment), &run); err != nil {
			return nil, err
		}
	}
	return active, nil
}
