package runner

import (
	"sync"
	"time"
)

// Phases, as the log and the timings call them.
const (
	phasePrepare   = "prepare"
	phasePlan      = "plan"
	phaseCheck     = "check"
	phaseBefore    = "before_change"
	phaseApply     = "apply"
	phaseProvision = "provision"
	phaseVerify    = "verify"
	phaseBuild     = "build"
)

// clock knows the phase that the run is in, and how long each took.
type clock struct {
	mu    sync.Mutex
	name  string
	since time.Time
	spent map[string]int64
}

func startClock() *clock {
	return &clock{name: phasePrepare, since: time.Now(), spent: map[string]int64{}}
}

func (c *clock) phase() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.name
}

// enter begins a phase; the same one again changes nothing.
func (c *clock) enter(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.account()
	c.name = name
}

// account adds the time since the last look to the phase under way.
func (c *clock) account() {
	now := time.Now()
	c.spent[c.name] += now.Sub(c.since).Milliseconds()
	c.since = now
}

// milliseconds is what each phase took until now.
func (c *clock) milliseconds() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.account()
	out := make(map[string]int64, len(c.spent))
	for name, ms := range c.spent {
		out[name] = ms
	}
	return out
}
