package faults

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/store"
	"github.com/terrace-cd/terrace/internal/wire"
)

// evidence is all that the oracle judges by.
type evidence struct {
	journal   []democloud.Entry    // what was done in the cloud
	live      []democloud.Resource // what is there
	versions  []kept               // of all states, oldest first
	slot      []kept               // of all recovery slots, oldest first
	acks      []ack                // what the server told runners that it has
	events    []core.Event         // the audit log, as it is stored
	seen      []wire.Event         // the audit log, as it was told while it happened
	runs      []core.Run
	rollouts  []core.Rollout
	releases  []core.Release
	pushed    []string // commits
	clear     []string // where the canary was found in clear
	auditLog  error    // what is wrong with the chain
	jumped    bool     // the database's clock was changed: its times and the cloud's do not compare
	converged bool     // the last commit is in production, and nothing works
}

// kept is a state version or an entry of a recovery slot.
type kept struct {
	id       int64
	instance string
	serial   int64
	lineage  string
	md5      string
	run      string
	fence    int64 // of a version
	used     bool  // of an entry: a version was made of it
	content  []byte
}

// contents remembers what was read before, by where it is. It is asked for again only
// when all of it has to be right.
type contents map[string][]byte

// gather collects the evidence. The world has to be quiet, with its server up. all
// reads every stored state again, not only new ones.
func (w *world) gather(all bool) evidence {
	w.Helper()
	e := evidence{jumped: w.jumped, acks: w.door.acknowledged(), seen: w.watch.since(0), pushed: w.pushed}
	ctx := w.Context()
	var err error
	if e.journal, err = w.clouds.Journal(ctx, 0); err != nil {
		w.Fatal(err)
	}
	if e.live, err = w.clouds.List(ctx, ""); err != nil {
		w.Fatal(err)
	}
	db, err := store.Open(ctx, cmp.Or(w.database, filepath.Join(w.data, "terrace.db")))
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = db.Close() }() // it was read only
	if err := db.View(ctx, e.rows); err != nil {
		w.Fatal(err)
	}
	_, _, e.auditLog = db.VerifyEvents(ctx)
	for i := range e.versions {
		w.content(&e.versions[i], all, "version", w.api.PullState)
	}
	for i := range e.slot {
		w.content(&e.slot[i], all, "entry", w.api.PullRecovered)
	}
	e.clear = slices.Concat(w.watch.clear, w.inClear())
	return e
}

// rows reads what the oracle wants of the database.
func (e *evidence) rows(tx core.Tx) (err error) {
	for _, environment := range environments {
		for _, stack := range append([]string{aside}, stacks...) {
			versions, err := tx.StateVersions(project, stack, environment, 0)
			if err != nil {
				return err
			}
			for _, v := range versions {
				e.versions = append(e.versions, kept{id: v.ID, instance: core.InstanceName(stack, environment), serial: v.Serial, lineage: v.Lineage, md5: v.MD5, run: v.Run, fence: v.Fence})
			}
			entries, err := tx.Recovereds(project, stack, environment)
			if err != nil {
				return err
			}
			for _, r := range entries {
				e.slot = append(e.slot, kept{id: r.ID, instance: core.InstanceName(stack, environment), serial: r.Serial, lineage: r.Lineage, md5: r.MD5, run: r.Run, used: r.Used})
			}
		}
	}
	byID := func(a, b kept) int { return cmp.Compare(a.id, b.id) }
	slices.SortFunc(e.versions, byID)
	slices.SortFunc(e.slot, byID)
	var errs []error
	e.runs, err = tx.Runs(core.RunFilter{Project: project})
	errs = append(errs, err)
	e.rollouts, err = tx.Rollouts(project, false, 0)
	errs = append(errs, err)
	e.releases, err = tx.Releases(project, 0)
	errs = append(errs, err)
	for last := int64(0); ; {
		more, err := tx.Events("", last, 1000)
		if errs = append(errs, err); err != nil || len(more) == 0 {
			return errors.Join(errs...)
		}
		e.events = append(e.events, more...)
		last = more[len(more)-1].Seq
	}
}

// content reads a stored state through the API. What cannot be read any more is lost.
func (w *world) content(k *kept, again bool, what string, pull func(ctx ctx, project, environment, stack string, id int64) ([]byte, error)) {
	w.Helper()
	name := fmt.Sprint(what, k.id)
	if known, ok := w.cache[name]; ok && !again {
		k.content = known
		return
	}
	stack, environment, err := core.ParseInstance(k.instance)
	if err == nil {
		k.content, err = pull(w.Context(), project, environment, stack, k.id)
	}
	if err != nil {
		w.violates("I1", "the %s %d of %s cannot be read: %v", what, k.id, k.instance, err)
		return
	}
	w.cache[name] = k.content
}

// inClear lists where the canary is in clear although it must not be: in the database,
// in storage, in the server's log, in runs' logs and in answers.
func (w *world) inClear() []string {
	w.Helper()
	var found []string
	find := func(where string, data []byte) {
		text := string(data)
		if strings.Contains(text, canary) || strings.Contains(strings.ToLower(text), hex.EncodeToString([]byte(canary))) {
			found = append(found, where)
		}
	}
	files := []string{w.file("server.log"), filepath.Join(w.data, "terrace.db"), filepath.Join(w.data, "terrace.db-wal")}
	if err := filepath.WalkDir(filepath.Join(w.data, "blobs"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return err
	}); err != nil && !errors.Is(err, fs.ErrNotExist) { // with object storage there is none
		w.Error(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.Error(err)
		}
		find(file, data)
	}
	if w.database != "" {
		find("the database", dump(w, w.database))
	}
	w.askAbout(find)
	return found
}

// askAbout asks the server all about its newest runs.
func (w *world) askAbout(find func(where string, data []byte)) {
	w.Helper()
	ctx, cancel := w.context()
	defer cancel()
	check := func(what string, v any, err error) {
		text, jsonErr := json.Marshal(v)
		if err == nil {
			err = jsonErr
		}
		if err != nil && !notFound(err) {
			w.Errorf("%s: %v", what, err)
		}
		find("the answer to "+what, text)
	}
	board, err := w.api.Status(ctx, project, true)
	check("status", board, err)
	runs, err := w.api.Runs(ctx, project, newestRuns)
	check("run list", runs, err)
	for _, r := range runs {
		run, err := w.api.Run(ctx, r.ID)
		check("run show "+r.ID, run, err)
		plan, err := w.api.Plan(ctx, r.ID)
		check("run plan "+r.ID, plan, err)
		log, err := w.cli("run", "logs", r.ID)
		check("run logs "+r.ID, log, err)
	}
	for _, environment := range environments {
		for _, stack := range stacks {
			state, err := w.api.State(ctx, project, environment, stack)
			check("state show "+core.InstanceName(stack, environment), state, err)
		}
	}
}

var newestRuns = client.RunFilter{Limit: 20}

type ctx = context.Context

func notFound(err error) bool {
	var refused *client.Error
	return errors.As(err, &refused) && refused.Status == http.StatusNotFound
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0 // which is less than any
	}
	return n
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
