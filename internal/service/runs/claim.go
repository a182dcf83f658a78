package runs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Claim starts an attempt and returns all that the runner needs. A claim repeated
// after a lost reply gets the same answer.
func (s *Service) Claim(ctx context.Context, c Caller, id string, claim wire.Claim) (wire.Job, error) {
	var run core.Run
	var project core.Project
	var instance core.InstanceState
	var logSeq, logOffset int64
	err := s.Store.Update(ctx, func(tx core.Tx) (err error) {
		if run, err = mine(tx, c, id); err != nil {
			return err
		}
		if logSeq, logOffset, err = tx.LogEnd(id); err != nil {
			return err
		}
		if project, err = tx.Project(run.Project); err != nil {
			return err
		}
		if instance, err = tx.Instance(run.Project, run.Stack, run.Environment); err != nil {
			return err
		}
		if run.Status == core.RunPreparing && run.PID == claim.PID && run.PIDStart == claim.PIDStart {
			return nil
		}
		if instance.Unknown != "" && run.Kind != core.KindRecover && !run.Kind.OnlyLooks() {
			return core.Errorf(core.Conflict, "the outcome of %s at %s is unknown; only recover may run there: terrace run recover %[1]s", instance.Unknown, run.Instance())
		}
		run.PID, run.PIDStart, run.Host, run.Heartbeat = claim.PID, claim.PIDStart, claim.Host, tx.Now()
		return move(tx, &run, core.RunPreparing, core.ByRunner, "run:"+id)
	})
	if err != nil {
		return wire.Job{}, err
	}
	defer s.Bus.Changed(run.Project)
	job, err := s.job(ctx, project, instance, run)
	if code := core.CodeOf(err); code == core.Invalid || code == core.Conflict || code == core.NotFound {
		// The release itself says no: no attempt will do better.
		if failErr := s.fail(ctx, c, id, err); failErr != nil {
			return wire.Job{}, failErr
		}
	}
	job.LogSeq, job.LogOffset = logSeq, logOffset
	return job, err
}

// fail ends a run that cannot even be described to a runner.
func (s *Service) fail(ctx context.Context, c Caller, id string, why error) error {
	return s.Store.Update(ctx, func(tx core.Tx) error {
		run, err := mine(tx, c, id)
		if err != nil {
			return err
		}
		run.Error = &core.RunError{Code: "failed", Message: core.MessageOf(why)}
		if err := move(tx, &run, core.RunFailed, core.ByRunner, "server"); err != nil {
			return err
		}
		if err := s.settle(tx, run); err != nil {
			return err
		}
		return s.ended(tx, run)
	})
}

// job describes an attempt. Evaluating may take a moment and happens outside of any
// transaction.
func (s *Service) job(ctx context.Context, p core.Project, instance core.InstanceState, run core.Run) (wire.Job, error) {
	commit, stack := run.Release.Commit, run.Stack
	if run.Kind == core.KindDestroy {
		commit = instance.Commit // rule 27: from the release last applied there
		stack = cmp.Or(instance.MovedFrom, stack)
	}
	cfg, err := s.Wanted.Config(ctx, p, commit)
	if err != nil {
		return wire.Job{}, err
	}
	if run.Kind == core.KindImage {
		return s.imageJob(ctx, p, cfg, run)
	}
	if run.Kind == core.KindDeploy {
		if err := s.Store.View(ctx, func(tx core.Tx) error { return state.Clash(tx, run, MovedFrom(cfg, run.Stack)) }); err != nil {
			return wire.Job{}, err
		}
	}
	job := wire.Job{
		Run: run.ID, Kind: string(run.Kind), Project: run.Project, Stack: run.Stack, Environment: run.Environment,
		Release: wire.Release{Number: run.Release.Number, Commit: commit}, Attempt: run.Attempt, Fence: run.Fence,
		Source:        wire.Source{Mirror: s.Source.Mirror(p.Repo), Commit: commit, Root: p.Path},
		Engine:        wire.Engine{Name: cfg.Project.Engine, Version: cfg.Project.EngineVersion},
		Destroy:       run.Kind == core.KindDestroy,
		PlanOnly:      run.Kind == core.KindRecover,
		NoLock:        run.Kind.OnlyLooks(),
		Apart:         run.Preview != "",
		KeepProviders: true,
		Grace:         s.Grace.String(),
	}
	if job.Spool, err = s.spoolKey(run); err != nil {
		return wire.Job{}, err
	}
	if cfg.Project.State != "stack" {
		job.Backend.Address = fmt.Sprintf("%s/state/%s/%s/%s", s.URL(), run.Project, run.Environment, run.Stack)
		if !run.Kind.OnlyLooks() {
			if err := s.Store.Update(ctx, func(tx core.Tx) error { return state.TakeOver(tx, run, cfg.NamedBackend(stack, run.Environment)) }); err != nil {
				return wire.Job{}, err
			}
		}
	} else if err := s.ownBackend(ctx, run, instance.Unknown, &job.Backend); err != nil {
		return wire.Job{}, err
	}
	release := run.Release
	release.Commit = commit
	if job.Secrets, err = s.secretsFor(ctx, cfg, run); err != nil {
		return wire.Job{}, err
	}
	if run.Kind == core.KindVerify {
		after, err := s.Wanted.After(ctx, p, release, cfg, run.Environment, run.Stack)
		if err != nil {
			return wire.Job{}, err
		}
		job.Source.Path = stackPath(cfg, run.Environment, run.Stack)
		job.Verify, job.Mask, job.VerifyEvery, job.VerifyOnce = wireVerify(after.Verify), after.Sensitive, s.VerifyEvery.String(), run.ByHand()
		return job, nil
	}
	switch {
	case !checks(cfg, run.Environment, run.Stack):
	case run.Kind == core.KindDeploy:
		job.Foresee = true
	case run.Kind == core.KindDrift:
		if err := s.lookAt(ctx, p, release, cfg, run, &job); err != nil {
			return wire.Job{}, err
		}
	}
	if err := s.judges(ctx, run, &job); err != nil {
		return wire.Job{}, err
	}
	contents, err := s.Wanted.Contents(ctx, p, commit, run.Environment)
	if err != nil {
		return wire.Job{}, err
	}
	var planned wanted.Planned
	if run.Preview != "" {
		if planned, release, err = s.against(ctx, run); err != nil {
			return wire.Job{}, err
		}
	}
	var w wanted.Wanted
	if run.Kind == core.KindDrift {
		w, err = s.Wanted.There(ctx, p, release, cfg, run.Environment, stack, contents[stack])
	} else {
		w, err = s.Wanted.Against(ctx, p, release, cfg, run.Environment, stack, contents[stack], planned)
	}
	if err != nil {
		return wire.Job{}, err
	}
	if !w.Ready {
		return wire.Job{}, w.NotReady(run.Instance())
	}
	job.Source.Path, job.Variables, job.VarFiles = w.Inputs.Path, w.Inputs.Variables, w.Inputs.VarFiles
	job.Backend.Config = w.Inputs.Backend
	job.Selects = cfg.Selects(stack, run.Environment)
	if job.Modules, err = s.modulesOf(ctx, p, commit, w.Inputs.Path); err != nil {
		return wire.Job{}, err
	}
	if err := s.Store.View(ctx, func(tx core.Tx) error {
		wanted, err := requests(tx, run)
		for _, r := range wanted {
			job.Replace = append(job.Replace, r.Address)
		}
		slices.Sort(job.Replace)
		return err
	}); err != nil {
		return wire.Job{}, err
	}
	for _, name := range w.Inputs.Sensitive {
		var text string
		if json.Unmarshal(w.Inputs.Variables[name], &text) == nil && text != "" {
			job.Mask = append(job.Mask, text)
		}
	}
	return job, nil
}

func stackPath(cfg *config.Config, environment, stack string) string {
	for _, in := range cfg.Instances(environment) {
		if in.Stack == stack {
			return in.Path
		}
	}
	return "."
}

// MovedFrom is the stack that one was before by its configuration (rule 27), "" for none.
func MovedFrom(cfg *config.Config, stack string) string {
	for _, st := range cfg.Stacks {
		if st.Name == stack {
			return st.MovedFrom
		}
	}
	return ""
}
