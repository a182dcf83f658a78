package policy

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/metrics"
	"time"
)

// Limits bound an evaluation.
type Limits struct {
	Time   time.Duration
	Memory uint64 // bytes of heap that may come on top of what is used when it begins
}

// DefaultLimits are far above what policies need: a plan of 0.9 MB, 1,150 resources, is
// judged by three rules in 50 ms, reading it included (BenchmarkJudge).
var DefaultLimits = Limits{Time: 30 * time.Second, Memory: 512 << 20}

const (
	// look is how often the memory is looked at.
	look = 5 * time.Millisecond
	// stopping is how long an evaluation may take to notice that it is stopped. Almost all
	// of OPA looks; a single call of a built-in may not.
	stopping = 2 * time.Second
)

var errTooLarge = errors.New("too large")

// bounded evaluates within limits. What does not stop when it is told to is left behind:
// it ends with the process, which a denied run does at once.
func bounded[T any](ctx context.Context, limits Limits, evaluate func(context.Context) (T, error)) (T, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	deadline := time.NewTimer(limits.Time)
	defer deadline.Stop()
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if r := recover(); r != nil {
				o.err = fmt.Errorf("the evaluation crashed: %v", r)
			}
			done <- o
		}()
		o.value, o.err = evaluate(ctx)
	}()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for most := heap() + limits.Memory; ; {
		select {
		case o := <-done:
			return o.value, o.err
		case <-ticker.C:
			if heap() < most {
				continue
			}
			if runtime.GC(); heap() < most {
				continue
			}
			stop(errTooLarge)
			waitFor(done)
			var none T
			return none, fmt.Errorf("it needed more than %d MiB of memory and was stopped; look for a set or a text that grows with itself", limits.Memory>>20)
		case <-deadline.C:
			stop(context.DeadlineExceeded)
			waitFor(done)
			var none T
			return none, fmt.Errorf("it did not end within %s and was stopped; look for an iteration over a large range, or over every pair of resources", limits.Time)
		case <-ctx.Done():
			waitFor(done)
			var none T
			return none, context.Cause(ctx)
		}
	}
}

func waitFor[T any](done <-chan T) {
	timer := time.NewTimer(stopping)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// heap is how much memory objects take, those included that are not collected yet.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
