package runner

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/plan"
	"github.com/terrace-cd/terrace/internal/spool"
	"github.com/terrace-cd/terrace/internal/step/engine"
	"github.com/terrace-cd/terrace/internal/wire"
)

// deploy is a run that plans, and does with the plan what the server says.
func (a *attempt) deploy() error {
	progress := newProgress(a.out)
	session, err := a.prepare(progress)
	if err != nil {
		return err
	}
	defer a.closeSession(session)
	recovered, err := a.mend(session)
	if err != nil {
		return err
	}

	if err := a.enter(phasePlan, core.RunPlanning); err != nil {
		return err
	}
	if a.job.PlanOnly {
		if err := a.refresh(session); err != nil {
			return err
		}
	}
	planned, next, err := a.propose(session, recovered)
	if err != nil {
		return err
	}
	a.mask.Add(next.Mask...)
	switch next.Do {
	case "apply":
		a.clock.enter(phaseApply)
		after, err := a.apply(session, progress, planned)
		if err != nil {
			return err
		}
		return a.after(after)
	case "after":
		return a.after(next.After)
	case "wait", "stop":
		a.say("%s", next.Reason)
		return errOver
	}
	return core.Errorf(core.Internal, "the server said %q to a plan, which this runner does not know; are they of the same version?", next.Do)
}

// prepare makes everything that comes before the first plan.
func (a *attempt) prepare(out *progress) (*engine.Session, error) {
	if err := a.checkout(); err != nil {
		return nil, err
	}
	session, err := a.open(out)
	if err != nil {
		return nil, err
	}
	err = a.retry("init", func(ctx context.Context) error {
		_, err := session.Init(ctx)
		return err
	})
	if err == nil {
		err = a.allowed(session)
	}
	if err != nil {
		a.closeSession(session)
		return nil, err
	}
	return session, nil
}

func (a *attempt) closeSession(session *engine.Session) {
	if err := session.Close(); err != nil {
		a.say("closing the engine: %s", core.MessageOf(err)) // no verdict on the run
	}
}

// enter reports that a phase begins. What is said of it comes after.
func (a *attempt) enter(phase string, status core.RunStatus) error {
	if err := a.out.flush(); err != nil {
		return err
	}
	a.clock.enter(phase)
	return a.api.Phase(a.work, a.Run, string(status))
}

// open finds the engine and prepares the stack's directory for it.
func (a *attempt) open(out *progress) (_ *engine.Session, err error) {
	var found engine.Engine
	if err := a.retry("looking for the engine", func(ctx context.Context) (err error) {
		found, err = engine.Find(ctx, a.job.Engine.Name, a.job.Engine.Version, engine.FindOptions{Path: os.Getenv("PATH"), Cache: a.Cache})
		return err
	}); err != nil {
		return nil, err
	}
	a.say("%s@%s at commit %s, with %s %s", a.job.Stack, a.job.Environment, core.ShortCommit(a.job.Source.Commit), found.Name, found.Version)
	if a.gate, err = a.openGate(); err != nil {
		return nil, err
	}
	temp := filepath.Join(a.temp(), "engine")
	if err := os.MkdirAll(temp, 0o700); err != nil {
		return nil, core.Errorf(core.Unavailable, "no folder for the engine: %w", err)
	}
	o := engine.Options{
		Engine: found, Tree: a.tree.Dir, Dir: a.tree.File(a.job.Source.Path), Temp: temp, Env: a.gate.environment(a.environment()),
		Run: a.job.Run, Fence: a.job.Fence, Backend: a.job.Backend.Address, BackendConfig: a.job.Backend.Config, Variables: a.job.Variables,
		Store: filepath.Join(a.Work, "providers"), Mirrors: a.ProviderMirrors, KeepProviders: a.job.KeepProviders,
		Grace: a.grace(), Output: out,
	}
	if o.Backend != "" {
		if err := a.relayTo(o.Backend); err != nil {
			return nil, err
		}
		o.Backend, o.Token = a.relay.url(), a.relay.password
	}
	if o.Registry, err = a.openModules(); err != nil {
		return nil, err
	}
	for _, file := range a.job.VarFiles {
		o.VarFiles = append(o.VarFiles, a.tree.File(file))
	}
	return engine.Open(a.work, o)
}

// refresh stores what is really there. An apply of unknown outcome may have changed what
// no state tells; a plan would find that as it should be, call it no change, and leave
// the state wrong for ever.
//
// The engine refuses when the code does not hold for what is there: an output of web[0],
// say, when the apply came to destroy every web and not to store what it made in their
// place. A plan makes them again, and its apply stores the rest of what was found.
func (a *attempt) refresh(session *engine.Session) error {
	var found engine.Planned
	if err := a.retry("the refresh", func(ctx context.Context) (err error) {
		found, err = session.Plan(ctx, engine.PlanOptions{RefreshOnly: true})
		return err
	}); engine.Refused(err) {
		a.unfound = err
		a.say("what is really there cannot be stored by itself, since the code does not hold for it: %s. The plan tells what is missing", core.MessageOf(err))
		return nil
	} else if err != nil || !found.Changes {
		return err
	}
	// Engines list no deposed object that is gone: a change without a listed difference may
	// be one. Outputs alone that cannot be told are none, and would be stored as null; then
	// something is missing, which the plan makes, and its apply stores what was found.
	parsed, err := plan.Parse(found.JSON)
	if err != nil || !parsed.Drift && slices.ContainsFunc(parsed.Plan.Outputs, func(o wire.AttrChange) bool { return o.Unknown }) {
		return err
	}
	a.mask.Add(parsed.Sensitive...)
	applied, err := session.Apply(a.work)
	if err = errors.Join(err, a.settle()); err != nil {
		return err
	}
	if !applied.Stored {
		return core.Errorf(core.Unavailable, "the engine could not store what it found; nothing else was changed. Recover again")
	}
	return nil
}

// apply applies the plan, once, and reports a good end. Whether the state is stored
// decides about a bad one: with it, what happened is known (rule 18); without it, the
// outcome is unknown (rule 20), whatever else is known.
func (a *attempt) apply(session *engine.Session, did *progress, planned wire.Planned) (wire.After, error) {
	if err := spool.NoteUnsaved(a.Dir, session.Unsaved()); err != nil {
		return wire.After{}, core.Errorf(core.Unavailable, "nothing is applied, since the runner cannot write to its folder: %w", err)
	}
	a.gate.open(true)
	applied, err := session.Apply(a.work)
	a.gate.open(false)
	partial := did.partial(planned.Plan)
	if err != nil {
		a.anew = did.anew(planned.Plan)
	}
	if err == nil && applied.Stored && planned.Own == nil {
		a.keep(spool.Applied, wire.Applied{Stored: true}) // with what waits in the spool
	}
	if refused := a.settle(); refused != nil && applied.Stored {
		applied.Stored, err = false, errors.Join(refused, err)
	}
	if !applied.Stored {
		return wire.After{}, a.unknown(applied, partial, err)
	}
	own, strange := a.stored(session, planned.Own, partial, err)
	if strange != nil {
		return wire.After{}, strange
	}
	if err == nil {
		report := wire.Applied{Stored: true, Own: own}
		if own != nil {
			a.keep(spool.Applied, report)
		}
		// What was changed is reported even when the run shall stop now.
		return a.api.Applied(a.report, a.Run, report)
	}
	a.left = own
	if len(applied.Interrupted) > 0 {
		return wire.After{}, verdictf(core.RunUnknown, "%s\nThe provider ended while it was changing %s, so that may have been done and is not in the state. Look at what is there. The state is stored as far as it went: %s. Then find out, and go on, with: terrace run recover %s",
			core.MessageOf(err), strings.Join(applied.Interrupted, ", "), partial, a.Run)
	}
	switch {
	case a.work.Err() != nil && errors.Is(context.Cause(a.work), errCancelled):
		return wire.After{}, verdictf(core.RunCancelled, "cancelled while applying. The state is stored as far as it went: %s", partial)
	case a.work.Err() != nil:
		return wire.After{}, verdictf(core.RunFailed, "the runner was told to end while applying. The state is stored as far as it went: %s. A retry plans again", partial)
	}
	return wire.After{}, verdictf(core.RunFailed, "%s\nThe state is stored as far as it went: %s", core.MessageOf(err), partial)
}

// unknown is the end of an apply whose state the backend does not have. What there is of
// it goes to the recovery slot first.
func (a *attempt) unknown(applied engine.Applied, partial string, err error) error {
	why := "the engine ended without storing its state"
	if err != nil {
		why = core.MessageOf(err)
	}
	kept := "The engine left no state behind that the server does not have"
	if len(applied.Unsaved) > 0 {
		kept = "The state that could not be stored is kept in the recovery slot"
		if err := a.api.Recovered(a.report, a.Run, applied.Unsaved); err != nil {
			kept = "The state that could not be stored was refused by the server too: " + err.Error()
		}
	}
	return verdictf(core.RunUnknown, "%s\n%s; as far as the engine told: %s. Find out, and go on, with: terrace run recover %s", why, kept, partial, a.Run)
}
