package runs

import (
	"context"
	"slices"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Applied notes that the apply ended well and answers with what follows.
func (s *Service) Applied(ctx context.Context, c Caller, id string, applied wire.Applied) (wire.After, error) {
	var run core.Run
	var project core.Project
	read := func(tx core.Tx) (err error) {
		if run, err = mine(tx, c, id); err != nil {
			return err
		}
		project, err = tx.Project(run.Project)
		return err
	}
	if err := s.Store.Update(ctx, func(tx core.Tx) error {
		if err := read(tx); err != nil {
			return err
		}
		// Said again after a lost reply, it has moved on.
		if err := expect(run, core.RunApplying, core.RunProvisioning, core.RunVerifying); err != nil {
			return err
		}
		if !run.Applied {
			return core.Errorf(core.Conflict, "%s was not told to apply", id)
		}
		if err := replaced(tx, run, true, nil); err != nil {
			return err
		}
		return s.see(tx, run, applied.Own)
	}); err != nil {
		return wire.After{}, err
	}
	if run.Kind == core.KindDestroy {
		return wire.After{Status: string(run.Status)}, nil
	}
	return s.after(ctx, project, c, id)
}

// after decides on provisioning and verification (rule 9) and moves the run there.
func (s *Service) after(ctx context.Context, p core.Project, c Caller, id string) (wire.After, error) {
	var run core.Run
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		run, err = mine(tx, c, id)
		return err
	}); err != nil {
		return wire.After{}, err
	}
	cfg, err := s.Wanted.Config(ctx, p, run.Release.Commit)
	if err != nil {
		return wire.After{}, err
	}
	aim, after, err := s.aimAfter(ctx, p, run.Release, cfg, run.Environment, run.Stack)
	if err != nil {
		return wire.After{}, err
	}
	out := wire.After{Verify: wireVerify(after.Verify), Mask: after.Sensitive}
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		run, err := mine(tx, c, id)
		if err != nil {
			return err
		}
		o, err := s.order(tx, run, aim, afterApply)
		if err != nil {
			return err
		}
		out.Provision = o.left()
		to := run.Status
		switch {
		case out.Provision != nil && run.Status != core.RunVerifying:
			to = core.RunProvisioning
		case len(out.Verify) > 0:
			to = core.RunVerifying
		}
		out.Status = string(to)
		if out.Provision != nil {
			run.ProvisionDigest = out.Provision.Digest
		}
		if to == run.Status {
			return tx.UpdateRun(run, run.Status)
		}
		return move(tx, &run, to, core.ByReconciler, "server")
	})
	return out, err
}

// Finish ends an attempt. Said again after a lost reply, it changes nothing.
func (s *Service) Finish(ctx context.Context, c Caller, id string, f wire.Finish) error {
	to := core.RunStatus(f.Status)
	if !slices.Contains([]core.RunStatus{core.RunSucceeded, core.RunFailed, core.RunErrored, core.RunCancelled, core.RunUnknown}, to) {
		return core.Errorf(core.Invalid, "a run does not finish as %q", f.Status)
	}
	var run core.Run
	err := s.Store.Update(ctx, func(tx core.Tx) (err error) {
		if run, err = mine(tx, c, id); err != nil {
			return err
		}
		if to == core.RunUnknown && !run.Status.Changing() && run.Status != core.RunUnknown {
			to = core.RunErrored // nothing was changed, so nothing is unknown
		}
		if run.Status == to {
			return nil
		}
		if run.Status.Terminal() {
			return core.Errorf(core.Conflict, "%s is over (%s); it cannot end as %s", id, run.Status, to)
		}
		run.Refuted = refuted(run, to, f.Verified)
		if f.Error != nil {
			run.Error = &core.RunError{Code: f.Error.Code, Message: f.Error.Message}
		}
		if run.ByHand() && to == core.RunCancelled {
			run.Error = &core.RunError{Code: "cancelled", Message: "cancelled by " + run.CancelBy + " before there was an answer"}
		}
		if f.Provisioned != nil {
			if err := s.record(tx, run, *f.Provisioned, false); err != nil {
				return err
			}
		} else if len(f.Recap) > 0 {
			if err := s.results(tx, run, wire.Provisioned{Recap: f.Recap}); err != nil {
				return err
			}
		}
		if len(f.Phases) > 0 {
			if err := s.putDoc(tx, id, "phases", f.Phases); err != nil {
				return err
			}
		}
		if len(f.Verified) > 0 {
			if err := s.putDoc(tx, id, "verify", f.Verified); err != nil {
				return err
			}
		}
		if len(f.Before) > 0 {
			if err := s.putDoc(tx, id, beforeDoc, f.Before); err != nil {
				return err
			}
		}
		if err := s.built(tx, run, to, f.Image); err != nil {
			return err
		}
		if err := s.see(tx, run, f.Own); err != nil {
			return err
		}
		if err := replaced(tx, run, false, f.Replaced); err != nil {
			return err
		}
		if to == core.RunSucceeded && run.Status == core.RunChecking && run.Kind != core.KindRecover && !run.Kind.OnlyLooks() && !run.NoChanges {
			return core.Errorf(core.Conflict, "%s has changes that were not applied; it cannot have succeeded", id)
		}
		if err := move(tx, &run, to, core.ByRunner, "run:"+id); err != nil {
			return err
		}
		if err := s.settle(tx, run); err != nil {
			return err
		}
		return s.ended(tx, run)
	})
	if err == nil {
		s.Bus.Changed(run.Project)
		s.Bus.Changed("log:" + id)
	}
	return err
}

// settle writes what a run's end means for its instance.
func (s *Service) settle(tx core.Tx, run core.Run) error {
	if run.Kind == core.KindImage {
		return nil // there is none
	}
	instance, err := tx.Instance(run.Project, run.Stack, run.Environment)
	if err != nil {
		return err
	}
	if run.ByHand() {
		// What it says is about what was there then.
		e, err := tx.Environment(run.Project, run.Environment)
		if err != nil || e.Stage != "" || instance.Commit != run.Release.Commit {
			return err
		}
	}
	switch {
	case run.Status == core.RunUnknown:
		instance.Unknown = run.ID
		instance.Digest = ""
	case run.Status != core.RunSucceeded && run.Kind == core.KindDeploy && run.Error != nil && run.Error.Code == core.CodeInconclusive,
		run.Status == core.RunFailed && (run.Kind == core.KindVerify || run.Kind == core.KindDeploy && run.HasPlan):
		// Applied or not, it is not verified: it has to run again before it is up to date.
		instance.Digest = ""
	case run.Status != core.RunSucceeded:
		return nil
	case run.Kind == core.KindDestroy:
		if err := tx.DeleteOwnState(run.Project, run.Stack, run.Environment); err != nil {
			return err
		}
		return tx.DeleteInstance(run.Project, run.Stack, run.Environment)
	case run.Kind == core.KindRecover:
		instance.Unknown = ""
	case run.Kind == core.KindDeploy:
		instance.Digest, instance.Components = run.InputDigest, run.Components
		instance.Release, instance.Since = run.Release, tx.Now()
		instance.Applied, instance.Commit = run.Release.Number, run.Release.Commit
	}
	return tx.PutInstance(instance)
}

func wireVerify(blocks []config.Verify) []wire.Verify {
	var out []wire.Verify
	for _, v := range blocks {
		out = append(out, wire.Verify{
			Kind: v.Kind, URL: v.URL, Status: v.Status, Command: v.Command, Within: v.Within.String(),
			Query: v.Query, Compare: v.Compare, Than: v.Than, Token: v.Token, User: v.User, Password: v.Password,
		})
	}
	return out
}

// Recovered keeps a state that a runner could not upload, for a recover run.
func (s *Service) Recovered(ctx context.Context, c Caller, id string, data []byte) error {
	if c.Run != id {
		return core.Errorf(core.Denied, "this token is for run %s", c.Run)
	}
	var run core.Run
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		run, err = tx.Run(id)
		return err
	}); err != nil {
		return err
	}
	return s.State.Keep(ctx, state.Caller{Run: c.Run, Fence: c.Fence, By: "run:" + id}, run.Project, run.Stack, run.Environment, "the engine could not upload it", data)
}
