package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/process"
	"github.com/terrace-cd/terrace/internal/wire"
)

// tempFail is EX_TEMPFAIL of sysexits.h: how a command says that it does not know.
const tempFail = 75

// runCommand runs the command once: what it waits for is its own business. Exit 0 is a
// pass; 75, a signal or no end in time are inconclusive; everything else is a fail.
func runCommand(ctx context.Context, v wire.Verify, within time.Duration, o Options) wire.Probe {
	if len(v.Command) == 0 || v.Command[0] == "" {
		return wire.Probe{Name: "command", Verdict: Fail, Message: "the command is empty"}
	}
	p := wire.Probe{Name: strings.Join(v.Command, " "), Tries: 1}
	timed, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	last := &lastLine{to: o.Output}
	err := process.Run(timed, process.Command{Args: v.Command, Dir: o.Dir, Env: o.Env, Stdout: last, Stderr: last, Grace: -1})
	var exit *exec.ExitError
	switch {
	case err == nil:
		p.Verdict, p.Message = Pass, "exit 0"
	case ctx.Err() != nil:
		p.Verdict, p.Message = Inconclusive, "stopped before its end"
	case timed.Err() != nil:
		p.Verdict, p.Message = Inconclusive, fmt.Sprintf("still running after %s, and ended", within)
	case !errors.As(err, &exit):
		p.Verdict, p.Message = Fail, "it cannot be started: "+err.Error()
	case exit.ExitCode() == tempFail:
		p.Verdict, p.Message = Inconclusive, fmt.Sprintf("exit %d: it does not know", tempFail)
	case exit.ExitCode() < 0:
		p.Verdict, p.Message = Inconclusive, "ended by "+exit.String()
	default:
		p.Verdict, p.Message = Fail, fmt.Sprintf("exit %d", exit.ExitCode())
	}
	if p.Verdict != Pass {
		if line := last.text(); line != "" {
			p.Message += ": " + line
		}
	}
	return p
}

// lastLine passes on what is written and remembers its last line that says something.
type lastLine struct {
	to   io.Writer
	line []byte // the line under way, bounded
	done string // the last complete one
}

func (l *lastLine) Write(p []byte) (int, error) {
	for _, b := range p {
		switch {
		case b == '\n':
			if text := excerpt(l.line); text != "" {
				l.done = text
			}
			l.line = l.line[:0]
		case len(l.line) < 4*maxExcerpt:
			l.line = append(l.line, b)
		}
	}
	return l.to.Write(p)
}

func (l *lastLine) text() string {
	if text := excerpt(l.line); text != "" {
		return text
	}
	return l.done
}
