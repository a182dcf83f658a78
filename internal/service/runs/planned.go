package runs

import (
	"context"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/promotion"
	"github.com/terrace-cd/terrace/internal/service/law"
	"github.com/terrace-cd/terrace/internal/wire"
)

// VersionsDoc is the kind of the run document that says with which engine and providers a
// run planned.
const VersionsDoc = "versions"

// Planned takes a plan and says what the runner does with it. The moment in which a
// run becomes applying is here, in one transaction with every condition for it.
func (s *Service) Planned(ctx context.Context, c Caller, id string, planned wire.Planned) (wire.Next, error) {
	p, err := s.consider(ctx, c, id, planned)
	if err != nil {
		return wire.Next{}, err
	}
	var a *answer
	if err := s.Store.Update(ctx, func(tx core.Tx) error {
		a = &answer{reported: p, s: s, tx: tx}
		return a.take(ctx, c)
	}); err != nil {
		return wire.Next{}, err
	}
	defer s.Bus.Changed(p.project.Name)
	if a.next.Do == "after" && a.run.Kind != core.KindRecover && a.run.Kind != core.KindDestroy {
		a.next.After, err = s.after(ctx, p.project, c, id)
	}
	return a.next, err
}

// reported is a plan that a runner reports, with what has to be evaluated to decide on it:
// that may take a moment, and happens outside of any transaction.
type reported struct {
	id       string
	project  core.Project
	planned  wire.Planned
	law      law.Law
	hooks    hooks
	outlook  *outlook
	outdated []string
	preview  core.Preview // what a pull request's said of it
	foretold bool         // there is one
}

func (s *Service) consider(ctx context.Context, c Caller, id string, planned wire.Planned) (p reported, err error) {
	p.id, p.planned = id, planned
	var run core.Run
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		if run, err = mine(tx, c, id); err != nil {
			return err
		}
		p.project, err = tx.Project(run.Project)
		return err
	}); err != nil {
		return p, err
	}
	if p.law, err = s.law(ctx, run); err != nil {
		return p, err
	}
	if p.preview, p.foretold, err = s.foretold(ctx, p.project, run); err != nil {
		return p, err
	}
	if p.hooks, err = s.hooks(ctx, p.project, run, planned, p.law); err != nil {
		return p, err
	}
	if p.outdated, err = s.outdated(ctx, p.project, run); err != nil {
		return p, err
	}
	p.outlook, err = s.outlook(ctx, p.project, run, planned)
	return p, err
}

// answer is what becomes of a reported plan in one transaction.
type answer struct {
	reported
	s    *Service
	tx   core.Tx
	run  core.Run
	next wire.Next

	again     bool // it went on already: its plan changes nothing
	digest    string
	foreseen  foresight
	replacing []core.Replacement
	back      back
	judged    guard.Verdict
	changed   map[string]string // how the plan differs from those that were approved
}

// take goes through the conditions of an apply, in their order. The first that has an answer
// for the runner is the last; after all of them, it applies.
func (a *answer) take(ctx context.Context, c Caller) (err error) {
	if a.run, err = mine(a.tx, c, a.id); err != nil {
		return err
	}
	for _, condition := range []func(context.Context) (bool, error){
		a.saidBefore, a.isWhole, a.isKept, a.onlyLooks, a.isRefused, a.isForeseen, a.isApproved, a.changesNothing, a.comesAfter,
	} {
		if answered, err := condition(ctx); answered || err != nil {
			return err
		}
	}
	return a.apply()
}

// saidBefore answers what is reported again after a lost reply, and by a run that is over.
func (a *answer) saidBefore(context.Context) (answered bool, err error) {
	if a.foreseen, err = a.s.foresee(a.tx, a.run, a.outlook); err != nil {
		return false, err
	}
	a.digest = bound(a.planned.Digest, a.foreseen.Digest)
	status := a.run.Status
	if status == core.RunApplying || status == core.RunAwaitingApproval {
		if a.digest, err = a.s.decided(a.tx, a.run, a.planned); err != nil {
			return false, err
		}
	}
	switch {
	case status == core.RunApplying && a.run.PlanDigest == a.digest:
		a.next.Do = "apply"
		return true, nil
	case status == core.RunAwaitingApproval && a.run.PlanDigest == a.digest:
		a.next.Do, a.next.Reason = "wait", waitsWords(a.run, nil)
		return true, nil
	case status.Terminal():
		a.next.Do, a.next.Reason = "stop", string(status)
		if a.run.Error != nil {
			a.next.Reason = a.run.Error.Message
		}
		return true, nil
	}
	a.again = a.run.NoChanges && (status == core.RunProvisioning || status == core.RunVerifying)
	if status != core.RunChecking && !a.again {
		return false, core.Errorf(core.Conflict, "%s is %s; a plan is not expected", a.id, status)
	}
	return false, nil
}

// isWhole has a plan made or judged again that leaves something out: what is to be replaced,
// what a way back has to keep, a policy.
func (a *answer) isWhole(context.Context) (answered bool, err error) {
	if err := a.s.still(a.tx, a.run, a.law); err != nil {
		return false, err
	}
	if a.replacing, err = asked(a.tx, a.run, a.planned); err != nil {
		return false, err
	}
	if a.back, err = goesBack(a.tx, a.run); err != nil {
		return false, err
	}
	if a.judged, err = a.s.judge(a.tx, a.run, a.planned, a.replacing, a.law); err != nil {
		return false, err
	}
	if len(a.judged.Replace) > 0 {
		a.next = replaceAlso(a.planned, a.judged.Replace)
		return true, nil
	}
	if a.back.byHand() {
		if a.next, err = a.s.keeps(a.tx, a.run, a.planned, a.law); err != nil || a.next.Do != "" {
			return true, err
		}
	}
	if now := law.Unjudged(a.law.Policies(), a.planned.Judged); now != nil && !a.planned.NoChanges {
		a.next = judgeAgain(now)
		return true, nil
	}
	return false, nil
}

// isKept keeps the plan, and what is to be said of it, for people.
func (a *answer) isKept(context.Context) (answered bool, err error) {
	a.run.Changes = core.Changes(a.planned.Changes)
	a.run.NoChanges, a.run.HasPlan, a.run.PlanDigest, a.run.Guardrails = a.planned.NoChanges, true, a.digest, a.law.Guardrails
	blasts, err := exceeded(a.tx, a.run, a.law)
	if err != nil {
		return false, err
	}
	a.planned.Plan = sign(a.planned.Plan, a.replacing)
	a.planned.Checks = slices.Concat(a.planned.Checks, a.judged.Checks, guard.Allowed(a.run.Instance(), a.planned.Uses, a.law.Allowed()))
	switch {
	case a.back.automatic():
		a.planned.Checks = append(a.planned.Checks, untouched(a.run, a.planned.Plan, a.law)...)
	case len(a.planned.Excluded) > 0:
		checks, err := a.s.kept(a.tx, a.run, a.planned)
		if err != nil {
			return false, err
		}
		a.planned.Checks = append(a.planned.Checks, checks...)
	}
	for _, b := range blasts {
		a.planned.Checks = append(a.planned.Checks, b.Check(a.run.Instance(), a.planned.Plan))
	}
	if a.changed, err = a.s.changedSince(a.tx, a.run, a.planned, a.foreseen); err != nil {
		return false, err
	}
	for _, doc := range []struct {
		kind  string
		value any
		none  bool
	}{
		{"plan", a.planned.Plan, false},
		{"checks", a.planned.Checks, false},
		{beforeDoc, a.planned.Before, len(a.planned.Before) == 0},
		{VersionsDoc, a.planned.Versions, false},
		{plannedDoc, a.planned.Outputs, a.run.Kind != core.KindPreview || a.run.Preview == "" || a.planned.Outputs == nil},
	} {
		if doc.none {
			continue
		}
		if err := a.s.putDoc(a.tx, a.id, doc.kind, doc.value); err != nil {
			return false, err
		}
	}
	if !a.foretold {
		return false, nil
	}
	return false, a.s.compare(a.tx, a.run, a.preview, a.planned)
}

// onlyLooks ends the run of a preview.
func (a *answer) onlyLooks(context.Context) (answered bool, err error) {
	if a.run.Kind != core.KindPreview {
		return false, nil
	}
	a.next.Do, a.next.Reason = "stop", "only planned; nothing is applied"
	to := core.RunSucceeded
	if why := guard.Denials(a.planned.Checks); why != "" {
		to, a.next.Reason = core.RunFailed, why
		a.run.Error = &core.RunError{Code: "failed", Message: why}
	}
	return true, a.end(to, core.ByReconciler)
}

// isRefused ends a run that may not apply.
func (a *answer) isRefused(ctx context.Context) (answered bool, err error) {
	stop, err := a.s.mayApply(ctx, a.tx, a.run, a.planned, a.back, a.law)
	if err != nil {
		return false, err
	}
	if stop.to == "" && len(a.outdated) > 0 {
		stop = verdict{core.RunSuperseded, core.ByReconciler, "superseded",
			"nothing was applied: the guardrails give " + strings.Join(a.outdated, ", ") + " another value since it was planned"}
	}
	if stop.to == "" {
		return false, nil
	}
	a.next.Do, a.next.Reason = "stop", stop.why
	a.run.Error = &core.RunError{Code: stop.code, Message: stop.why}
	return true, a.end(stop.to, stop.who)
}

// isForeseen has check mode tell what Ansible would change, so that both are decided on.
func (a *answer) isForeseen(context.Context) (answered bool, err error) {
	if err := a.s.see(a.tx, a.run, a.planned.Own); err != nil {
		return false, err
	}
	told, err := a.s.told(a.tx, a.run, a.foreseen, a.planned)
	switch {
	case err != nil:
		return false, err
	case told == nil && !a.again:
		a.next = a.foreseen.ask(a.outlook)
		return true, a.tx.UpdateRun(a.run, a.run.Status)
	case told != nil && a.outlook != nil:
		return false, a.s.putDoc(a.tx, a.id, ForeseenDoc, told)
	}
	return false, nil
}

// isApproved has a run wait for people.
func (a *answer) isApproved(context.Context) (answered bool, err error) {
	approval, err := a.s.approved(a.tx, &a.run, a.law, a.changed)
	if err != nil || approval == nil || approval.Satisfied() {
		return false, err
	}
	a.next.Do, a.next.Reason = "wait", waitsWords(a.run, approval)
	return true, move(a.tx, &a.run, core.RunAwaitingApproval, core.ByReconciler, "server")
}

// changesNothing goes on with what follows an apply.
func (a *answer) changesNothing(context.Context) (answered bool, err error) {
	if err := keep(a.tx, a.run, a.back, a.planned); err != nil {
		return false, err
	}
	if !a.planned.NoChanges && a.run.Kind != core.KindRecover {
		return false, nil
	}
	a.next.Do = "after"
	if err := a.s.proved(a.tx, a.run); err != nil {
		return true, err
	}
	if err := begin(a.tx, a.run, a.replacing); err != nil {
		return true, err
	}
	if err := replaced(a.tx, a.run, true, nil); err != nil { // the engine knows none of them
		return true, err
	}
	return true, a.tx.UpdateRun(a.run, a.run.Status)
}

// comesAfter has the hooks run that come before the change of something stateful.
func (a *answer) comesAfter(context.Context) (answered bool, err error) {
	left := a.hooks.left(a.planned.Before)
	if len(left) == 0 {
		return false, nil
	}
	if a.next, err = a.hooks.first(a.tx, a.run, left); err != nil {
		return true, err
	}
	return true, a.tx.UpdateRun(a.run, a.run.Status)
}

// apply is the moment from which on infrastructure changes.
func (a *answer) apply() error {
	a.next.Do = "apply"
	if err := use(a.tx, a.run, a.judged.Used); err != nil {
		return err
	}
	if err := begin(a.tx, a.run, a.replacing); err != nil {
		return err
	}
	instance, err := a.tx.Instance(a.run.Project, a.run.Stack, a.run.Environment)
	if err != nil {
		return err
	}
	// From here on the instance is up to date with nothing, until this run succeeds.
	instance.Digest = ""
	if a.run.Kind == core.KindDeploy {
		instance.Applied, instance.Commit, instance.MovedFrom = a.run.Release.Number, a.run.Release.Commit, ""
	}
	if err := a.tx.PutInstance(instance); err != nil {
		return err
	}
	a.run.Applied = true
	return move(a.tx, &a.run, core.RunApplying, core.ByReconciler, "server")
}

// end ends the run.
func (a *answer) end(to core.RunStatus, who core.Actor) error {
	if err := move(a.tx, &a.run, to, who, "server"); err != nil {
		return err
	}
	return a.s.ended(a.tx, a.run)
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
