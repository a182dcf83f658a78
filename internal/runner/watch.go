package runner

import (
	"context"
	"io"
	"path/filepath"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/step/verify"
	"github.com/terrace-cd/terrace/internal/wire"
)

// defaultEvery is how often a bake asks when the job does not say.
const defaultEvery = 10 * time.Second

// watch is a run of kind verify: it asks the checks again and again, until one fails or
// the server says that the bake is over; only once when a person wants to know. Inconclusive is never a pass (rule 16): a bake
// does not end well on it.
func (a *attempt) watch() error {
	for _, v := range a.job.Verify {
		if v.Kind == "command" {
			if err := a.checkout(); err != nil {
				return err
			}
			break
		}
	}
	if err := a.api.Phase(a.work, a.Run, string(core.RunVerifying)); err != nil {
		return err
	}
	if a.job.VerifyOnce {
		return a.verify(a.job.Verify)
	}
	a.clock.enter(phaseVerify)
	every, err := time.ParseDuration(a.job.VerifyEvery)
	if err != nil || every <= 0 {
		every = defaultEvery
	}
	last := map[int]string{}
	for round := 1; ; round++ {
		ctx, cancel := context.WithCancel(a.work)
		if round > 1 {
			// The bake may end in the middle of a round; the one before it counts then.
			go func() {
				select {
				case <-a.bakeOver:
					cancel()
				case <-ctx.Done():
				}
			}()
		}
		probes := make([]wire.Probe, len(a.job.Verify))
		for i, v := range a.job.Verify {
			probes[i] = verify.Run(ctx, v, a.verifyOptions(io.Discard))
		}
		cut := ctx.Err() != nil
		cancel()
		if a.work.Err() != nil {
			return a.work.Err()
		}
		if !cut {
			a.verified = probes
			for i, p := range probes {
				if text := p.Verdict + ": " + p.Message; last[i] != text {
					last[i] = text
					a.say("verify %s: %s", p.Name, text)
				}
			}
			if v := weigh(probes); v != nil && v.status == core.RunFailed {
				return v
			}
		}
		select {
		case <-a.bakeOver:
			if v := weigh(a.verified); v != nil {
				return v
			}
			return nil
		case <-a.work.Done():
			return a.work.Err()
		case <-time.After(every):
		}
	}
}

// verify asks the checks once, after an apply.
func (a *attempt) verify(checks []wire.Verify) error {
	if len(checks) == 0 {
		return nil
	}
	a.clock.enter(phaseVerify)
	a.verified = nil
	for _, v := range checks {
		a.verified = append(a.verified, verify.Run(a.work, v, a.verifyOptions(a.out)))
		if a.work.Err() != nil {
			return a.work.Err()
		}
	}
	if v := weigh(a.verified); v != nil {
		return v
	}
	return nil
}

func (a *attempt) verifyOptions(out io.Writer) verify.Options {
	o := verify.Options{Env: a.environment(), Secrets: a.job.Secrets, Output: out}
	if a.tree != nil {
		o.Dir = a.tree.File(a.job.Source.Root)
	} else {
		o.Dir = filepath.Clean(a.home())
	}
	return o
}

// weigh says what several probes mean together; nil when all passed.
func weigh(probes []wire.Probe) *verdict {
	var v *verdict
	for _, p := range probes {
		switch {
		case p.Verdict == verify.Fail:
			return verdictf(core.RunFailed, "verification failed: %s: %s", p.Name, p.Message)
		case p.Verdict != verify.Pass && v == nil:
			v = verdictf(core.RunErrored, "verification could not be answered: %s: %s. Nothing is wrong as far as is known, and nothing is verified: verify it again", p.Name, p.Message)
			v.code = core.CodeInconclusive
		}
	}
	return v
}
