// Package check compares what is stored with what the database says of it: that every
// state is where its row says and opens, that everything sealed opens, and that nobody
// changed the audit log. It only reads, so it may run beside a server.
package check

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/service/state"
)

// Checker has what is compared.
type Checker struct {
	Store core.Store
	// Events verifies the audit log.
	Events func(ctx context.Context) (last int64, hash string, err error)
	Blobs  core.BlobStore
	Seal   core.Sealer

	done   atomic.Int64
	step   int
	mu     sync.Mutex
	report Report
}

// Report is what was found.
type Report struct {
	States      int    `json:"states"`    // versions
	Kept        int    `json:"kept"`      // in recovery slots
	Documents   int    `json:"documents"` // of runs
	Secrets     int    `json:"secrets"`   // and webhooks' keys
	Events      int64  `json:"events"`
	EventsHash  string `json:"events_hash"` // of the last one: compare it with one noted earlier
	Blobs       int    `json:"blobs"`
	Orphans     int    `json:"orphans"` // blobs that no row names; they are collected later
	OrphanBytes int64  `json:"orphan_bytes"`
	// Problems are sorted as the rows are.
	Problems []Problem `json:"problems"`
}

// Problem is one thing that is not as it should be.
type Problem struct {
	// What is "state", "kept state", "document", "secret", "webhook" or "audit log".
	What     string `json:"what"`
	Project  string `json:"project,omitempty"`
	Instance string `json:"instance,omitempty"`
	// Version is that of a state, or the number of an entry of a recovery slot.
	Version int64  `json:"version,omitempty"`
	Serial  int64  `json:"serial,omitempty"`
	Current bool   `json:"current,omitempty"`
	Name    string `json:"name,omitempty"` // of a document, with its run, or of a secret
	Blob    string `json:"blob,omitempty"`
	Why     string `json:"why"`
	Do      string `json:"do"`

	// step and order keep problems in the order of rows: they are found side by side.
	step  int
	order int64
}

const (
	page    = 500
	readers = 4 // blobs read at a time: storage may be far away, and states large
)

// Done is how many things were looked at so far.
func (c *Checker) Done() int64 { return c.done.Load() }

// Run looks at everything. The error says why that was not possible, not what was found.
func (c *Checker) Run(ctx context.Context) (Report, error) {
	c.report = Report{Problems: []Problem{}}
	for i, step := range []func(context.Context) error{c.states, c.kept, c.orphans, c.documents, c.secrets, c.events} {
		c.step = i
		if err := step(ctx); err != nil {
			return Report{}, err
		}
	}
	slices.SortFunc(c.report.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.step, b.step), cmp.Compare(a.order, b.order), strings.Compare(a.Name, b.Name))
	})
	return c.report, nil
}

func (c *Checker) found(p Problem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.step = c.step
	c.report.Problems = append(c.report.Problems, p)
}

// pages reads rows in pages, each in a transaction of its own, and looks at the rows of
// a page side by side.
func pages[R any](ctx context.Context, c *Checker, read func(tx core.Tx) ([]R, error), look func(context.Context, R) error) (n int, err error) {
	for {
		var rows []R
		if err := c.Store.View(ctx, func(tx core.Tx) (err error) {
			rows, err = read(tx)
			return err
		}); err != nil || len(rows) == 0 {
			return n, err
		}
		n += len(rows)
		if err := each(ctx, rows, func(ctx context.Context, row R) error {
			c.done.Add(1)
			return look(ctx, row)
		}); err != nil {
			return n, err
		}
	}
}

// each looks at rows side by side. The first error ends it.
func each[R any](ctx context.Context, rows []R, look func(context.Context, R) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	next := make(chan R)
	var work sync.WaitGroup
	for range readers {
		work.Go(func() {
			for row := range next {
				if err := look(ctx, row); err != nil {
					stop(err)
				}
			}
		})
	}
	for _, row := range rows {
		if ctx.Err() != nil {
			break
		}
		next <- row
	}
	close(next)
	work.Wait()
	return context.Cause(ctx)
}

func (c *Checker) states(ctx context.Context) (err error) {
	states := state.New(c.Store, c.Blobs, c.Seal)
	after := int64(0)
	c.report.States, err = pages(ctx, c, func(tx core.Tx) ([]core.StateVersion, error) {
		rows, err := tx.AllStateVersions(after, page)
		if len(rows) > 0 {
			after = rows[len(rows)-1].ID
		}
		return rows, err
	}, func(ctx context.Context, v core.StateVersion) error {
		if v.Blob == "" { // says that the state was deleted
			return nil
		}
		fault, why, err := states.Verify(ctx, state.Stored{Blob: v.Blob, MD5: v.MD5, Size: v.Size, Serial: v.Serial, Lineage: v.Lineage})
		if err != nil || fault == "" {
			return err
		}
		// A server beside this may have dropped the version meanwhile.
		current := false
		if err := c.Store.View(ctx, func(tx core.Tx) error {
			if _, err := tx.StateVersion(v.Project, v.Stack, v.Environment, v.ID); err != nil {
				return err
			}
			now, err := tx.CurrentState(v.Project, v.Stack, v.Environment)
			current = err == nil && now.ID == v.ID
			if core.CodeOf(err) == core.NotFound {
				return nil
			}
			return err
		}); core.CodeOf(err) == core.NotFound {
			return nil
		} else if err != nil {
			return err
		}
		name := core.InstanceName(v.Stack, v.Environment)
		c.found(Problem{What: "state", Project: v.Project, Instance: name, Version: v.ID, Serial: v.Serial, Current: current, Blob: v.Blob,
			Why: why, Do: adviceState(fault, v.Project, name, current), order: v.ID})
		return nil
	})
	return err
}

// adviceState says what to do about a version.
func adviceState(fault state.Fault, project, name string, current bool) string {
	switch {
	case fault == state.Sealed:
		return "bring back the master key that it was sealed with"
	case current:
		return fmt.Sprintf("restore the blob from a backup of the storage. Without one, make the newest version that is whole current again, and let a run refresh it: terrace state versions %[1]s --project %[2]s; terrace state restore %[1]s VERSION --project %[2]s", name, project)
	}
	return "nothing depends on it, since it is not the current version; restore the blob from a backup of the storage to have the whole history"
}

func (c *Checker) kept(ctx context.Context) (err error) {
	states := state.New(c.Store, c.Blobs, c.Seal)
	after := int64(0)
	c.report.Kept, err = pages(ctx, c, func(tx core.Tx) ([]core.Recovered, error) {
		rows, err := tx.AllRecovereds(after, page)
		if len(rows) > 0 {
			after = rows[len(rows)-1].ID
		}
		return rows, err
	}, func(ctx context.Context, r core.Recovered) error {
		fault, why, err := states.Verify(ctx, state.Stored{Blob: r.Blob, MD5: r.MD5, Size: r.Size, Serial: r.Serial, Lineage: r.Lineage})
		if err != nil || fault == "" {
			return err
		}
		gone := true // with its project
		if err := c.Store.View(ctx, func(tx core.Tx) error {
			all, err := tx.Recovereds(r.Project, r.Stack, r.Environment)
			for _, o := range all {
				gone = gone && o.ID != r.ID
			}
			return err
		}); err != nil || gone {
			return err
		}
		do := "restore the blob from a backup of the storage; the entry is of no use without it"
		if fault == state.Sealed {
			do = adviceState(fault, "", "", false)
		}
		c.found(Problem{What: "kept state", Project: r.Project, Instance: core.InstanceName(r.Stack, r.Environment), Version: r.ID, Serial: r.Serial, Blob: r.Blob,
			Why: why, Do: do, order: r.ID})
		return nil
	})
	return err
}

// orphans counts blobs that no row names, but for those that may be of writes under way.
func (c *Checker) orphans(ctx context.Context) error {
	stored, err := c.Blobs.List(ctx)
	if err != nil {
		return err
	}
	c.report.Blobs = len(stored)
	named := map[string]bool{}
	if err := c.Store.View(ctx, func(tx core.Tx) error {
		keys, err := tx.BlobKeys()
		for _, key := range keys {
			named[key] = true
		}
		return err
	}); err != nil {
		return err
	}
	for _, b := range stored {
		if _, ours := core.BlobMade(b.Key); ours && !named[b.Key] && time.Since(b.Modified) > state.WriteWithin {
			c.report.Orphans++
			c.report.OrphanBytes += b.Size
		}
	}
	return nil
}

func (c *Checker) documents(ctx context.Context) (err error) {
	var after core.RunDoc
	c.report.Documents, err = pages(ctx, c, func(tx core.Tx) ([]core.RunDoc, error) {
		rows, err := tx.RunDocs(after, page)
		if len(rows) > 0 {
			after = rows[len(rows)-1]
		}
		return rows, err
	}, func(_ context.Context, d core.RunDoc) error {
		if _, err := c.Seal.Open(state.DocPurpose(d.Run, d.Kind), d.Sealed); err != nil {
			c.found(Problem{What: "document", Name: d.Run + "/" + d.Kind, Why: core.MessageOf(err), Do: adviceRow(err)})
		}
		return nil
	})
	return err
}

func (c *Checker) secrets(ctx context.Context) error {
	var secrets []core.Secret
	var all []core.Project
	if err := c.Store.View(ctx, func(tx core.Tx) (err error) {
		if secrets, err = tx.AllSecrets(); err != nil {
			return err
		}
		all, err = tx.Projects()
		return err
	}); err != nil {
		return err
	}
	c.report.Secrets = len(secrets) + len(all)
	for _, s := range secrets {
		c.done.Add(1)
		if _, err := c.Seal.Open(runs.SecretPurpose(s.Project, s.Environment, s.Name), s.Sealed); err != nil {
			c.found(Problem{What: "secret", Project: s.Project, Name: s.Environment + "/" + s.Name, Why: core.MessageOf(err),
				Do: adviceRow(err) + fmt.Sprintf(", or set it anew: terrace secret set %s %s --project %s", s.Environment, s.Name, s.Project)})
		}
	}
	webhooks := projects.Service{Seal: c.Seal}
	for _, p := range all {
		c.done.Add(1)
		if p.Sandbox != nil {
			continue
		}
		if _, err := webhooks.WebhookSecret(p); err != nil {
			c.found(Problem{What: "webhook", Project: p.Name, Why: core.MessageOf(err), Do: adviceRow(err)})
		}
	}
	return nil
}

// adviceRow says what to do about something sealed in the database.
func adviceRow(err error) string {
	if core.CodeOf(err) == core.Unavailable {
		return "bring back the master key that it was sealed with"
	}
	return "restore the database from a backup"
}

func (c *Checker) events(ctx context.Context) error {
	last, hash, err := c.Events(ctx)
	if core.CodeOf(err) == core.Conflict {
		c.found(Problem{What: "audit log", Why: core.MessageOf(err), Do: "find out who could write to the database; a backup shows what it was"})
		err = nil
	}
	c.report.Events, c.report.EventsHash = last, hash
	return err
}
