package faults

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

func init() {
	register(row{number: 17, fault: "a byte flipped in a saved plan, a plan swapped for another", run: plansChanged})
}

// Between its plan and its apply, somebody changes the saved plan, or puts another one in
// its place. No engine starts with it: the run fails, nothing was changed, and a new start
// goes on.
func plansChanged(t *trial) {
	w := newWorld(t)
	var other []byte // a plan of another run
	for range t.times(1, 3) {
		for _, what := range []string{"a byte of it is another", "it is that of another run", "it is gone"} {
			environment := environments[t.rng.IntN(len(environments))]
			instance := "web@" + environment
			seq := w.watch.last()
			did := make(chan string, 1)
			var once sync.Once
			w.door.meddle(func(p *passing) {
				if !strings.HasSuffix(p.path, "/planned") || p.method != "POST" || w.watch.isAt(runOf(p.path), instance) == false {
					return
				}
				once.Do(func() { did <- w.change(runOf(p.path), what, &other) })
			}, nil)
			commit := w.commit()
			run := <-did
			t.injected("the saved plan of %s at %s: %s", run, instance, what)
			w.watch.became(seq, instance, "failed")
			w.door.meddle(nil, nil)
			shown, err := w.api.Run(w.Context(), run)
			t.wants(err == nil && shown.Error != nil && strings.Contains(shown.Error.Message, "saved plan") && strings.Contains(strings.ToLower(shown.Error.Message), "nothing was applied"),
				"the run does not say what is wrong with its plan: %+v, %v", shown.Error, err)
			for _, e := range w.journal() {
				t.wants(e.Run != run, "%s changed the cloud (%s %s) with a plan that is not its own", run, e.Operation, e.Resource.ID)
			}
			helped := w.settle(commit)
			t.wants(helped == settled{again: 1}, "it took %+v to go on, not one start", helped)
			w.check()
		}
	}
	w.checkAll()
}

// runOf is the run in the path of a report.
func runOf(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if p == "runs" && i+1 < len(parts) {
			return parts[i+1]
		}
	}
	return ""
}

// change changes the saved plan of a run, and remembers what it was. It returns the run.
func (w *world) change(run, what string, other *[]byte) string {
	w.Helper()
	var file string
	err := filepath.WalkDir(w.data, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && e.Name() == "plan" && strings.Contains(path, run) {
			file = path
		}
		return nil // folders come and go
	})
	content, readErr := os.ReadFile(file)
	if err != nil || readErr != nil {
		w.Errorf("the saved plan of %s is not to be found: %v, %v", run, err, readErr)
		return run
	}
	changed := append([]byte(nil), content...)
	if what == "it is that of another run" && *other != nil {
		changed = *other
	} else {
		changed[len(changed)/2] ^= 1
	}
	*other = content
	if what == "it is gone" {
		err = os.Remove(file)
	} else {
		err = os.WriteFile(file, changed, 0o600)
	}
	if err != nil {
		w.Error(err)
	}
	return run
}
