package faults

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func init() {
	register(row{number: 11, fault: "disk full on the server, on the runner", run: diskFull})
}

// In the middle of an apply the disk is full: the server's, with its database and its
// states, or the runner's, with its work tree and its spool. It is said clearly, nothing
// is stored by half, and when there is room again, everything goes on.
func diskFull(t *trial) {
	for _, whose := range []string{"server", "runner"} {
		w := newWorld(t, func(w *world) { w.ready = func(w *world) { w.smallDisks() } })
		for range t.times(1, 5) {
			environment := environments[t.rng.IntN(len(environments))]
			seq := w.watch.last()
			gate := w.gate(environment)
			commit := w.commit()
			run := w.watch.became(seq, "web@"+environment, "applying")
			w.reached(gate)
			disk := w.data
			if whose == "runner" {
				disk = filepath.Join(w.data, "runner")
			}
			free := w.fill(disk)
			t.injected("the disk of the %s was full in the apply of %s at web@%s", whose, run, environment)
			w.pass(gate)
			w.passes(3 * time.Second)
			free()
			did := w.settle(commit)
			if whose == "server" { // the runner waits for it
				t.wants(did == settled{}, "somebody had to help: %+v%s", did, tell(w.watch.since(seq)))
				w.says("disk is full")
			} else {
				t.wants(did.recovered+did.again <= 2, "it took %+v to go on", did)
			}
			w.check()
			// And between two: a push comes while nothing can be stored.
			free = w.fill(disk)
			commit = w.commit()
			w.passes(2 * time.Second)
			free()
			t.injected("the disk of the %s was full when a push came", whose)
			did = w.settle(commit)
			t.wants(did.recovered == 0 && did.again <= 1, "it took %+v to go on", did)
			w.check()
		}
		w.checkAll()
		w.end()
	}
}

// smallDisks puts the server's data, and the runners' folder in it, on small disks of
// their own.
func (w *world) smallDisks() {
	w.Helper()
	for _, disk := range []struct{ dir, size string }{{w.data, "64m"}, {filepath.Join(w.data, "runner"), "512m"}} {
		if err := os.MkdirAll(disk.dir, 0o700); err != nil {
			w.Fatal(err)
		}
		if err := syscall.Mount("terrace-faults", disk.dir, "tmpfs", 0, "size="+disk.size+",mode=0700"); err != nil {
			w.Fatalf("a small disk cannot be mounted (this row has to be run by root, or under: unshare --user --map-root-user --mount): %v", err)
		}
		w.Cleanup(func() {
			w.end() // before its disk is gone
			_ = syscall.Unmount(disk.dir, syscall.MNT_DETACH)
		})
	}
}

// fill writes to a disk until it is full. free takes that back.
func (w *world) fill(disk string) (free func()) {
	w.Helper()
	name := filepath.Join(disk, "ballast")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		w.Fatal(err)
	}
	for _, size := range []int{1 << 20, 4096, 1} {
		block := make([]byte, size)
		for err == nil {
			_, err = f.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			w.Fatal(err)
		}
		err = nil
	}
	if err := f.Close(); err != nil {
		w.Fatal(err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			w.Fatal(err)
		}
	}
}

// says wants words in the server's log.
func (w *world) says(words string) {
	w.Helper()
	log, err := os.ReadFile(w.file("server.log"))
	w.wants(err == nil && strings.Contains(string(log), words), "the server's log does not say %q (%v)", words, err)
}
