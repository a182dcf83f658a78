package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/terrace-cd/terrace/internal/wire"
)

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 2 * time.Second
)

// askUntil asks again and again, with growing pauses, until the answer is a pass or the
// time is up; then the last answer counts.
func askUntil(ctx context.Context, name string, within time.Duration, ask func(context.Context) answer) wire.Probe {
	p := wire.Probe{Name: name}
	timed, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var last answer
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		a := ask(timed)
		if timed.Err() == nil || p.Tries == 0 || a.pass {
			// A try that the deadline cut short says less than the one before it.
			last, p.Tries = a, p.Tries+1
		}
		if last.pass {
			break
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
			continue
		case <-timed.Done():
			timer.Stop()
		}
		break
	}
	p.Verdict, p.Message = last.verdict(), last.message
	switch {
	case last.pass:
	case ctx.Err() != nil:
		p.Verdict, p.Message = Inconclusive, "stopped before there was an answer; the last try: "+last.message
	default:
		p.Message += fmt.Sprintf(" (tried for %s)", within)
	}
	return p
}
