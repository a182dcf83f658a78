package runner

import (
	"context"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/plan"
	"github.com/terrace-cd/terrace/internal/step/engine"
)

// look is a run that only looks (rule 25): what is there is compared with the state. No
// state is written, and no lock taken that somebody else could have to wait for.
func (a *attempt) look() error {
	session, err := a.prepare(newProgress(a.out))
	if err != nil {
		return err
	}
	defer a.closeSession(session)
	if err := a.enter(phasePlan, core.RunPlanning); err != nil {
		return err
	}
	var found engine.Planned
	if err := a.retry("the look", func(ctx context.Context) (err error) {
		found, err = session.Plan(ctx, engine.PlanOptions{RefreshOnly: true, NoLock: true})
		return err
	}); err != nil {
		return err
	}
	looked, sensitive, err := plan.Drift(found.JSON)
	if err != nil {
		return err
	}
	a.mask.Add(sensitive...)
	for i := range looked.Drift.Resources {
		a.maskAttrs(looked.Drift.Resources[i].Attrs)
	}
	a.maskAttrs(looked.Drift.Outputs)
	if looked.Own, err = a.see(a.work, session); err != nil {
		return err
	}
	if err := a.enter(phaseCheck, core.RunChecking); err != nil {
		return err
	}
	if a.job.Provision != nil {
		if looked.Drift.Hosts, err = a.lookAtHosts(*a.job.Provision); err != nil {
			return err
		}
	}
	return a.api.Looked(a.work, a.Run, looked)
}
