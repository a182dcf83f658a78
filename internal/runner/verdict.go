package runner

import (
	"context"
	"errors"
	"fmt"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/step/ansible"
	"github.com/terrace-cd/terrace/internal/step/engine"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Why work was stopped: causes of the work context.
var (
	// errCancelled: a person cancelled the run, or its rollout.
	errCancelled = errors.New("cancelled")
	// errTerminated: the process was told to end.
	errTerminated = errors.New("the runner was told to end")
	// errEvicted: the server does not know this attempt any more. There is nobody to
	// report to, and nothing more may be changed.
	errEvicted = errors.New("this attempt was taken from the runner")
	// errOver: the server ended the run, or keeps it waiting; there is nothing to report.
	errOver = errors.New("the server ended the run")
)

// verdict is an error that knows how the run ends.
type verdict struct {
	status  core.RunStatus
	code    string // "" for the status itself
	message string
}

func (v *verdict) Error() string { return v.message }

func verdictf(status core.RunStatus, format string, args ...any) *verdict {
	return &verdict{status: status, message: fmt.Sprintf(format, args...)}
}

// judge says how the run ends with err, which ended the phase under way; nil is success.
//
// Failed is the user's code or infrastructure saying no. Errored is Terrace or the
// machine: safe to try again. Cancelled is a person. Unknown comes from apply alone.
func (a *attempt) judge(err error) *verdict {
	phase := a.clock.phase()
	var v *verdict
	var no *ansible.Failed
	var refused *client.Error
	var locked *engine.Locked
	switch {
	case err == nil:
		return &verdict{status: core.RunSucceeded}
	case errors.As(err, &v):
		return v
	case a.work.Err() != nil:
		return stopped(context.Cause(a.work), phase)
	case errors.As(err, &locked):
		return a.lockedOut(err, locked)
	case errors.As(err, &no):
		return verdictf(core.RunFailed, "%s", no.Message)
	case errors.As(err, &refused):
		if refused.Code == string(core.Invalid) {
			return verdictf(core.RunFailed, "%s", refused.Message)
		}
		return verdictf(core.RunErrored, "the server refused what the runner reported after %s: %s", phase, refused.Message)
	}
	switch core.CodeOf(err) {
	case core.Invalid, core.NotFound, core.Denied, core.Conflict:
		return verdictf(core.RunFailed, "%s", core.MessageOf(err))
	}
	return verdictf(core.RunErrored, "%s", core.MessageOf(err))
}

// stopped is the verdict on work that was stopped before its end.
func stopped(cause error, phase string) *verdict {
	changing := phase == phaseProvision || phase == phaseApply
	switch {
	case errors.Is(cause, errCancelled) && changing:
		return verdictf(core.RunCancelled, "cancelled in %s; what was done until then is done", phase)
	case errors.Is(cause, errCancelled) && phase == phaseVerify:
		return verdictf(core.RunCancelled, "cancelled in verification; what was applied is applied, and not verified")
	case errors.Is(cause, errCancelled) && phase == phaseBuild:
		return verdictf(core.RunCancelled, "cancelled while the image was built; no environment was changed, and what the command left behind is not known")
	case errors.Is(cause, errCancelled):
		return verdictf(core.RunCancelled, "cancelled in %s, before anything was changed", phase)
	case changing:
		return verdictf(core.RunFailed, "the runner was told to end while it was in %s; what was done until then is done. Run it again", phase)
	}
	return verdictf(core.RunErrored, "the runner was told to end while it was in %s; run it again", phase)
}

func (v *verdict) problem() *wire.Problem {
	if v.status == core.RunSucceeded {
		return nil
	}
	code := v.code
	if code == "" {
		code = string(v.status)
	}
	return &wire.Problem{Code: code, Message: v.message}
}
