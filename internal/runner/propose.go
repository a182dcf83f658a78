package runner

import (
	"context"
	"slices"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/plan"
	"github.com/terrace-cd/terrace/internal/step/check"
	"github.com/terrace-cd/terrace/internal/step/engine"
	"github.com/terrace-cd/terrace/internal/wire"
)

// allowed refuses to make a plan with what the guardrails do not allow: planning executes
// providers. The server judges again what it is told that the plan was made with.
func (a *attempt) allowed(session *engine.Session) (err error) {
	if a.uses, err = session.Uses(); err != nil {
		return err
	}
	instance := core.InstanceName(a.job.Stack, a.job.Environment)
	if why := guard.Denials(guard.Allowed(instance, a.uses, a.job.Allow)); why != "" {
		return core.Errorf(core.Denied, "%s", why)
	}
	return nil
}

// propose plans and asks the server, until that has no objection to how it is done:
// immutable addresses are replaced (rule 14), what a rollback keeps is left out (rule 21), and the plan is judged by the policies that
// judge now.
func (a *attempt) propose(session *engine.Session, recovered int64) (planned wire.Planned, next wire.Next, err error) {
	var exclude []string
	for replace := a.job.Replace; ; {
		var shown []byte
		if planned, shown, err = a.plan(session, replace, exclude); err != nil {
			return planned, next, err
		}
		if planned.NoChanges && a.unfound != nil {
			return planned, next, a.unfound // nothing would ever store it
		}
		if planned.Own, err = a.see(a.work, session); err != nil {
			return planned, next, err
		}
		if recovered != 0 {
			planned.Own.Recovered = recovered
		}
		if err = a.enter(phaseCheck, core.RunChecking); err != nil {
			return planned, next, err
		}
		if next, err = a.ask(&planned, shown); err != nil || next.Do != "replan" {
			return planned, next, err
		}
		if len(next.Replace) <= len(replace) && len(next.Exclude) <= len(exclude) {
			return planned, next, core.Errorf(core.Internal, "the server asks for the same plan again; are server and runner of the same version?")
		}
		replace, exclude = next.Replace, next.Exclude
		a.say("%s; planning again", next.Reason)
	}
}

// ask has the policies judge a plan, and reports it. The server may name others that judge
// now, want to know what Ansible would do, or want hooks to have run before it lets it be
// applied; then it is asked again.
func (a *attempt) ask(planned *wire.Planned, shown []byte) (wire.Next, error) {
	if err := a.check(planned, shown); err != nil {
		return wire.Next{}, err
	}
	for {
		planned.Before = a.hooked
		next, err := a.api.Planned(a.work, a.Run, *planned)
		if err != nil {
			return next, err
		}
		switch next.Do {
		case "before":
			a.mask.Add(next.Mask...)
			err = a.before(next)
		case "foresee":
			a.mask.Add(next.Mask...)
			err = a.foresee(next, planned)
		case "check":
			a.say("%s; the plan is judged again", next.Reason)
			err = a.judgeBy(next.Policies, planned, shown)
		default:
			return next, nil
		}
		if err != nil {
			return next, err
		}
	}
}

// judgeBy has other policies judge the plan.
func (a *attempt) judgeBy(policies []wire.Policy, planned *wire.Planned, shown []byte) error {
	before := planned.Judged
	a.job.Policies = policies
	if err := a.check(planned, shown); err != nil {
		return err
	}
	if slices.Equal(before, planned.Judged) {
		return core.Errorf(core.Internal, "the server asks for the same verdicts again; are server and runner of the same version?")
	}
	return nil
}

// check has the policies judge the plan. One without changes is judged by none: nothing
// of it is applied.
func (a *attempt) check(planned *wire.Planned, shown []byte) error {
	planned.Checks, planned.Judged = nil, nil
	if planned.NoChanges {
		return nil
	}
	about := a.job.About
	about.Actions = plan.Actions(planned.Plan)
	result, err := check.Run(a.work, check.Options{Policies: a.job.Policies, Plan: shown, About: about, Mask: a.mask})
	if err != nil {
		return err
	}
	planned.Checks, planned.Judged = result.Checks, result.Judged
	for _, c := range planned.Checks {
		a.say("%s: %s: %s", c.Name, c.Verdict, c.Message)
	}
	return nil
}

// plan makes the plan and reads it; shown is the engine's JSON. Its sensitive values are
// masked from here on.
func (a *attempt) plan(session *engine.Session, replace, exclude []string) (planned wire.Planned, shown []byte, err error) {
	var made engine.Planned
	if err := a.retry("the plan", func(ctx context.Context) (err error) {
		made, err = session.Plan(ctx, engine.PlanOptions{Destroy: a.job.Destroy, Replace: replace, Exclude: exclude, NoLock: a.job.NoLock})
		return err
	}); err != nil {
		return wire.Planned{}, nil, err
	}
	parsed, err := plan.Parse(made.JSON)
	if err != nil {
		return wire.Planned{}, nil, err
	}
	a.mask.Add(parsed.Sensitive...)
	c := parsed.Plan.Changes
	planned = wire.Planned{Changes: c, NoChanges: parsed.NoChanges, Digest: parsed.Digest, Plan: parsed.Plan, Replaced: replace, Excluded: exclude, Uses: a.uses, Versions: session.Versions()}
	if a.job.Kind == string(core.KindPreview) || a.job.Foresee {
		planned.Outputs = parsed.Outputs
	}
	if a.job.Foresee {
		if planned.Resources, err = plan.Resources(made.JSON, a.job.Selects); err != nil {
			return wire.Planned{}, nil, err
		}
	}
	a.maskPlan(&planned.Plan)
	return planned, made.JSON, nil
}

// maskPlan masks what the engine does not know to be secret: values of secrets that a
// configuration reads from its environment.
func (a *attempt) maskPlan(p *wire.Plan) {
	a.maskAttrs(p.Outputs)
	for i := range p.Resources {
		a.maskAttrs(p.Resources[i].Attrs)
	}
}

func (a *attempt) maskAttrs(attrs []wire.AttrChange) {
	for i := range attrs {
		attrs[i].Path, attrs[i].Before, attrs[i].After = a.mask.String(attrs[i].Path), a.mask.String(attrs[i].Before), a.mask.String(attrs[i].After)
	}
}
