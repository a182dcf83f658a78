package democloud

import (
	"context"
	"encoding"
	"fmt"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Mode is how an operation goes wrong.
type Mode string

const (
	// Fail: an error, and nothing was changed.
	Fail Mode = "fail"
	// Hang: no answer until the fault is removed, the caller goes or the cloud is
	// closed, and nothing was changed.
	Hang Mode = "hang"
	// Slow: it happens after Delay, whether or not the caller still waits.
	Slow Mode = "slow"
	// FailAfter: it happened, and the answer is an error.
	FailAfter Mode = "fail_after"
	// HangAfter: it happened, and there is no answer, as with Hang.
	HangAfter Mode = "hang_after"
)

// Duration is a time.Duration that reads and writes itself as "1.5s".
type Duration time.Duration

var _ encoding.TextUnmarshaler = (*Duration)(nil)

// MarshalText is for encoding/json.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText is for encoding/json.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err == nil && v < 0 {
		err = fmt.Errorf("%s is negative", text)
	}
	*d = Duration(v)
	return err
}

// Fault makes the operations it fits go wrong. Empty fields fit everything; Name may
// be a pattern such as web-*.
type Fault struct {
	ID        string    `json:"id,omitempty"`
	Tenant    string    `json:"tenant,omitempty"`
	Type      Type      `json:"type,omitempty"`
	Name      string    `json:"name,omitempty"`
	Operation Operation `json:"operation,omitempty"`
	Mode      Mode      `json:"mode"`
	// Count is how many operations it hits, 0 for all.
	Count int `json:"count,omitempty"`
	// Delay is for Slow.
	Delay Duration `json:"delay,omitzero"`
	// Message is what a failure says; there is a default.
	Message string `json:"message,omitempty"`
	// Hits is how many operations it has hit.
	Hits int `json:"hits"`
}

// faults are in memory only: a restart of the cloud heals it.
type faults struct {
	mu   sync.Mutex
	last int
	all  []*armed
}

type armed struct {
	Fault
	gone chan struct{} // closed when the fault is removed
}

func (f *faults) add(fault Fault) (Fault, error) {
	switch {
	case !slices.Contains([]Mode{Fail, Hang, Slow, FailAfter, HangAfter}, fault.Mode):
		return Fault{}, core.Errorf(core.Invalid, "fault mode %q is none of fail, hang, slow, fail_after, hang_after", fault.Mode)
	case fault.Type != "" && !slices.Contains(Types, fault.Type):
		return Fault{}, core.Errorf(core.Invalid, "there is no resource type %q", fault.Type)
	case fault.Operation != "" && !slices.Contains([]Operation{Create, Read, Update, Delete, Stop, Start}, fault.Operation):
		return Fault{}, core.Errorf(core.Invalid, "operation %q is none of create, read, update, delete, stop, start", fault.Operation)
	case fault.Count < 0:
		return Fault{}, core.Errorf(core.Invalid, "count %d is negative", fault.Count)
	case fault.Mode == Slow && fault.Delay <= 0:
		return Fault{}, core.Errorf(core.Invalid, "a slow fault needs a delay such as \"2s\"")
	}
	if _, err := path.Match(fault.Name, ""); err != nil {
		return Fault{}, core.Errorf(core.Invalid, "name %q is not a pattern: %w", fault.Name, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	fault.ID, fault.Hits = fmt.Sprintf("fault-%d", f.last), 0
	f.all = append(f.all, &armed{Fault: fault, gone: make(chan struct{})})
	return fault, nil
}

func (f *faults) list() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []Fault{}
	for _, a := range f.all {
		all = append(all, a.Fault)
	}
	return all
}

// remove takes away one fault, or all of them for "", and lets go what hangs on them.
func (f *faults) remove(id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := len(f.all)
	f.all = slices.DeleteFunc(f.all, func(a *armed) bool {
		if id != "" && a.ID != id {
			return false
		}
		close(a.gone)
		return true
	})
	if id != "" && len(f.all) == before {
		return core.Errorf(core.NotFound, "there is no fault %q", id)
	}
	return nil
}

// hit returns the first fault that fits and counts it, nil when there is none.
func (f *faults) hit(op Operation, t Type, tenant, name string) *armed {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.all {
		named := a.Name == ""
		if !named {
			named, _ = path.Match(a.Name, name) // the pattern was checked when it came
		}
		if named && (a.Operation == "" || a.Operation == op) && (a.Type == "" || a.Type == t) &&
			(a.Tenant == "" || a.Tenant == tenant) && (a.Count == 0 || a.Hits < a.Count) {
			a.Hits++
			return a
		}
	}
	return nil
}

// around carries out an operation through the fault that fits it.
func (c *Cloud) around(ctx context.Context, op Operation, t Type, tenant, name string, do func() error) error {
	fault := c.faults.hit(op, t, tenant, name)
	if fault == nil {
		return do()
	}
	failure := func() error {
		message := fault.Message
		if message == "" {
			message = fmt.Sprintf("%s of %s %q failed, as %s asked for", op, t, name, fault.ID)
		}
		return core.Errorf(core.Internal, "%s", message)
	}
	hang := func() error {
		select {
		case <-fault.gone:
		case <-ctx.Done():
		case <-c.ctx.Done():
		}
		return core.Errorf(core.Unavailable, "%s of %s %q got no answer", op, t, name)
	}
	switch fault.Mode {
	case Fail:
		return failure()
	case Hang:
		return hang()
	case Slow:
		timer := time.NewTimer(time.Duration(fault.Delay))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-fault.gone:
		case <-c.ctx.Done():
			return core.Errorf(core.Unavailable, "democloud is going down")
		}
		return do()
	}
	if err := do(); err != nil {
		return err
	}
	if fault.Mode == FailAfter {
		return failure()
	}
	return hang()
}
