// Package verify asks the checks that a stack's owner wrote whether the stack works.
// There are three answers (rule 16). Pass and fail are said by the stack: the expected
// status came, or another one, or nobody listens. Inconclusive is everything that says
// nothing about the stack: no answer in time, a name that does not resolve, a command
// that asks to be run again later. Inconclusive is never a pass.
package verify

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Verdicts.
const (
	Pass         = "pass"
	Fail         = "fail"
	Inconclusive = "inconclusive"
)

// defaultWithin is how long a check may take that does not say.
const defaultWithin = 2 * time.Minute

// Options is where a check runs.
type Options struct {
	Dir string   // where commands run: the directory of terrace.hcl
	Env []string // the whole environment of commands
	// Secrets are by name, for checks that log in.
	Secrets map[string]string
	Output  io.Writer
}

// Run asks one check until it passes or its time is up. When ctx ends first, the
// verdict is Inconclusive and ctx.Err() says so.
func Run(ctx context.Context, v wire.Verify, o Options) wire.Probe {
	within, err := time.ParseDuration(v.Within)
	if err != nil || within <= 0 {
		within = defaultWithin
	}
	if o.Output == nil {
		o.Output = io.Discard
	}
	var p wire.Probe
	switch v.Kind {
	case "http":
		p = askHTTP(ctx, v, within)
	case "command":
		p = runCommand(ctx, v, within, o)
	case "prometheus":
		p = askPrometheus(ctx, v, within, o.Secrets)
	default:
		p = wire.Probe{Name: v.Kind, Verdict: Inconclusive, Message: fmt.Sprintf("this version does not know how to verify %q", v.Kind)}
	}
	_, _ = fmt.Fprintf(o.Output, "verify %s: %s: %s\n", p.Name, p.Verdict, p.Message) // the log is best effort
	return p
}

// answer is what one try said; definite when it says something about the stack.
type answer struct {
	pass, definite bool
	message        string
}

// verdict is what the last try of several means when the time is up.
func (a answer) verdict() string {
	switch {
	case a.pass:
		return Pass
	case a.definite:
		return Fail
	}
	return Inconclusive
}
