package runs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/promotion"
	"github.com/terrace-cd/terrace/internal/service/law"
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

// VersionsDoc is the kind of the run document that says with which engine and providers a
// run planned.
const VersionsDoc = "versions"

// Planned takes a plan and says what the runner does with it. The moment in which a
// run becomes applying is here, in one transaction with every condition for it.
func (s *Service) Planned(ctx context.Context, c Caller, id string, planned wire.Planned) (wire.Next, error) {
	var run core.Run
	var project core.Project
	next := wire.Next{}
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		if run, err = mine(tx, c, id); err != nil {
			return err
		}
		project, err = tx.Project(run.Project)
		return err
	}); err != nil {
		return next, err
	}
	l, err := s.law(ctx, run)
	if err != nil {
		return next, err
	}
	said, foretold, err := s.foretold(ctx, project, run)
	if err != nil {
		return next, err
	}
	before, err := s.hooks(ctx, project, run, planned, l)
	if err != nil {
		return next, err
	}
	outdated, err := s.outdated(ctx, project, run)
	if err != nil {
		return next, err
	}
	ahead, err := s.outlook(ctx, project, run, planned)
	if err != nil {
		return next, err
	}
	err = s.Store.Update(ctx, func(tx core.Tx) (err error) {
		next = wire.Next{}
		if run, err = mine(tx, c, id); err != nil {
			return err
		}
		foreseen, err := s.foresee(tx, run, ahead)
		if err != nil {
			return err
		}
		digest := bound(planned.Digest, foreseen.Digest)
		if run.Status == core.RunApplying || run.Status == core.RunAwaitingApproval {
			if digest, err = s.decided(tx, run, planned); err != nil {
				return err
			}
		}
		if run.Status == core.RunApplying && run.PlanDigest == digest {
			next.Do = "apply" // said again after a lost reply
			return nil
		}
		switch {
		case run.Status == core.RunAwaitingApproval && run.PlanDigest == digest:
			next.Do, next.Reason = "wait", waitsWords(run, nil) // likewise
			return nil
		case run.Status.Terminal():
			next.Do, next.Reason = "stop", string(run.Status)
			if run.Error != nil {
				next.Reason = run.Error.Message
			}
			return nil
		}
		again := run.NoChanges && (run.Status == core.RunProvisioning || run.Status == core.RunVerifying)
		if run.Status != core.RunChecking && !again {
			return core.Errorf(core.Conflict, "%s is %s; a plan is not expected", id, run.Status)
		}
		if err := s.still(tx, run, l); err != nil {
			return err
		}
		replacing, err := asked(tx, run, planned)
		if err != nil {
			return err
		}
		back, err := goesBack(tx, run)
		if err != nil {
			return err
		}
		judged, err := s.judge(tx, run, planned, replacing, l)
		if err != nil {
			return err
		}
		if len(judged.Replace) > 0 {
			next = replaceAlso(planned, judged.Replace)
			return nil
		}
		if back.byHand() {
			if next, err = s.keeps(tx, run, planned, l); err != nil || next.Do != "" {
				return err
			}
		}
		if now := law.Unjudged(l.Policies(), planned.Judged); now != nil && !planned.NoChanges {
			next = judgeAgain(now)
			return nil
		}
		run.Changes = core.Changes(planned.Changes)
		run.NoChanges, run.HasPlan, run.PlanDigest, run.Guardrails = planned.NoChanges, true, digest, l.Guardrails
		blasts, err := exceeded(tx, run, l)
		if err != nil {
			return err
		}
		planned := planned
		planned.Plan = sign(planned.Plan, replacing)
		planned.Checks = slices.Concat(planned.Checks, judged.Checks, guard.Allowed(run.Instance(), planned.Uses, l.Allowed()))
		switch {
		case back.automatic():
			planned.Checks = append(planned.Checks, untouched(run, planned.Plan, l)...)
		case len(planned.Excluded) > 0:
			checks, err := s.kept(tx, run, planned)
			if err != nil {
				return err
			}
			planned.Checks = append(planned.Checks, checks...)
		}
		for _, b := range blasts {
			planned.Checks = append(planned.Checks, b.Check(run.Instance(), planned.Plan))
		}
		changed, err := s.changedSince(tx, run, planned, foreseen)
		if err != nil {
			return err
		}
		if err := s.putDoc(tx, id, "plan", planned.Plan); err != nil {
			return err
		}
		if err := s.putDoc(tx, id, "checks", planned.Checks); err != nil {
			return err
		}
		if len(planned.Before) > 0 {
			if err := s.putDoc(tx, id, beforeDoc, planned.Before); err != nil {
				return err
			}
		}
		if err := s.putDoc(tx, id, VersionsDoc, planned.Versions); err != nil {
			return err
		}
		if foretold {
			if err := s.compare(tx, run, said, planned); err != nil {
				return err
			}
		}
		if run.Kind == core.KindPreview {
			if run.Preview != "" && planned.Outputs != nil {
				if err := s.putDoc(tx, id, plannedDoc, planned.Outputs); err != nil {
					return err
				}
			}
			next.Do, next.Reason = "stop", "only planned; nothing is applied"
			to := core.RunSucceeded
			if why := guard.Denials(planned.Checks); why != "" {
				to, next.Reason = core.RunFailed, why
				run.Error = &core.RunError{Code: "failed", Message: why}
			}
			if err := move(tx, &run, to, core.ByReconciler, "server"); err != nil {
				return err
			}
			return s.ended(tx, run)
		}
		stop, err := s.mayApply(ctx, tx, run, planned, back, l)
		if err != nil {
			return err
		}
		if stop.to == "" && len(outdated) > 0 {
			stop = verdict{core.RunSuperseded, core.ByReconciler, "superseded",
				"nothing was applied: the guardrails give " + strings.Join(outdated, ", ") + " another value since it was planned"}
		}
		switch {
		case stop.to != "":
			next.Do, next.Reason = "stop", stop.why
			run.Error = &core.RunError{Code: stop.code, Message: stop.why}
			if err := move(tx, &run, stop.to, stop.who, "server"); err != nil {
				return err
			}
			return s.ended(tx, run)
		}
		if err := s.see(tx, run, planned.Own); err != nil {
			return err
		}
		told, err := s.told(tx, run, foreseen, planned)
		switch {
		case err != nil:
			return err
		case told == nil && !again:
			next = foreseen.ask(ahead)
			return tx.UpdateRun(run, run.Status)
		case told != nil && ahead != nil:
			if err := s.putDoc(tx, id, ForeseenDoc, told); err != nil {
				return err
			}
		}
		approval, err := s.approved(tx, &run, l, changed)
		if err != nil {
			return err
		}
		if approval != nil && !approval.Satisfied() {
			next.Do, next.Reason = "wait", waitsWords(run, approval)
			return move(tx, &run, core.RunAwaitingApproval, core.ByReconciler, "server")
		}
		if err := keep(tx, run, back, planned); err != nil {
			return err
		}
		switch {
		case planned.NoChanges || run.Kind == core.KindRecover:
			next.Do = "after"
			if err := s.proved(tx, run); err != nil {
				return err
			}
			if err := begin(tx, run, replacing); err != nil {
				return err
			}
			if err := replaced(tx, run, true, nil); err != nil { // the engine knows none of them
				return err
			}
			return tx.UpdateRun(run, run.Status)
		}
		if left := before.left(planned.Before); len(left) > 0 {
			if next, err = before.first(tx, run, left); err != nil {
				return err
			}
			return tx.UpdateRun(run, run.Status)
		}
		next.Do = "apply"
		if err := use(tx, run, judged.Used); err != nil {
			return err
		}
		if err := begin(tx, run, replacing); err != nil {
			return err
		}
		instance, err := tx.Instance(run.Project, run.Stack, run.Environment)
		if err != nil {
			return err
		}
		// From here on the instance is up to date with nothing, until this run succeeds.
		instance.Digest = ""
		if run.Kind == core.KindDeploy {
			instance.Applied, instance.Commit, instance.MovedFrom = run.Release.Number, run.Release.Commit, ""
		}
		if err := tx.PutInstance(instance); err != nil {
			return err
		}
		run.Applied = true
		return move(tx, &run, core.RunApplying, core.ByReconciler, "server")
	})
	if err != nil {
		return wire.Next{}, err
	}
	defer s.Bus.Changed(run.Project)
	if next.Do == "after" {
		if run.Kind == core.KindRecover || run.Kind == core.KindDestroy {
			return next, nil
		}
		next.After, err = s.after(ctx, project, c, id)
	}
	return next, err
}

// outdated names the variables of a run of a stage that the guardrails have given another value
// since. The stage has it planned again.
func (s *Service) outdated(ctx context.Context, p core.Project, run core.Run) ([]string, error) {
	if run.Stage == "" || run.Kind != core.KindDeploy || len(run.Components) == 0 {
		return nil, nil
	}
	cfg, err := s.Wanted.Config(ctx, p, run.Release.Commit)
	if err != nil {
		return nil, err
	}
	return s.Wanted.Outdated(cfg, run.Environment, run.Stack, run.Components), nil
}

// proved notes that an instance which got another name is what its new code says (rule 27).
func (s *Service) proved(tx core.Tx, run core.Run) error {
	instance, err := tx.Instance(run.Project, run.Stack, run.Environment)
	if err != nil || run.Kind != core.KindDeploy || instance.MovedFrom == "" {
		return err
	}
	instance.Applied, instance.Commit, instance.MovedFrom = run.Release.Number, run.Release.Commit, ""
	return tx.PutInstance(instance)
}

// verdict says that a run may not apply.
type verdict struct {
	to   core.RunStatus
	who  core.Actor
	code string
	why  string
}

// mayApply is the last look before infrastructure changes: cancelling, the lease and
// its fence (rule 4), order (rule 8), every check (rule 12), windows and freezes (rule 24).
func (s *Service) mayApply(ctx context.Context, tx core.Tx, run core.Run, planned wire.Planned, b back, l law.Law) (verdict, error) {
	if run.Cancel {
		return verdict{core.RunCancelled, core.ByRunner, "cancelled", "cancelled by " + run.CancelBy + " before anything was changed"}, nil
	}
	if why := guard.Denials(planned.Checks); why != "" {
		return verdict{core.RunFailed, core.ByReconciler, "failed", why}, nil
	}
	if planned.Own != nil {
		if why, err := s.State.Strange(ctx, tx, run, *planned.Own); err != nil || why != "" {
			return verdict{core.RunFailed, core.ByReconciler, "failed", why}, err
		}
	}
	if run.Stage == "" {
		return verdict{}, nil
	}
	stage, err := tx.Stage(run.Stage)
	if err != nil {
		return verdict{}, err
	}
	environment, err := tx.Environment(run.Project, run.Environment)
	if err != nil {
		return verdict{}, err
	}
	if environment.Stage != stage.ID || environment.Fence != stage.Fence {
		return verdict{core.RunSuperseded, core.ByReconciler, "superseded", "the lease of " + run.Environment + " went to another stage"}, nil
	}
	if environment.Entered > run.Release.Number && b.Rollout == nil {
		return verdict{core.RunSuperseded, core.ByReconciler, "superseded", promotion.Overtaken(environment)}, nil
	}
	closed, err := tooLate(tx, run, stage, l)
	if err != nil || closed == "" {
		return verdict{}, err
	}
	// The stage stays, and has it planned again.
	return verdict{core.RunSuperseded, core.ByReconciler, "superseded", "nothing was applied: it came too late for " + closed}, nil
}

// tooLate is rule 24 in the moment of the apply, with what was skipped for the stage (rule
// 23). A run that only looks is never too late.
func tooLate(tx core.Tx, run core.Run, stage core.Stage, l law.Law) (string, error) {
	if run.Kind != core.KindDeploy && run.Kind != core.KindDestroy {
		return "", nil
	}
	freezes, err := tx.Freezes(run.Project)
	if err != nil {
		return "", err
	}
	e := promotion.Environment{Name: run.Environment, Windows: l.Windows(), Freezes: l.Freezes(run.Environment, freezes, tx.Now()),
		SecondPerson: l.Rails.SkipTakesSecond(run.Project, run.Environment)}
	return promotion.Text(promotion.Closed(e, stage.Skips, tx.Now())), nil
}

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
