package state

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/blob"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/store"
)

// killedStore is the real store of blobs in a process that dies with kill -9 before
// or after the blob is there.
type killedStore struct {
	*blob.Folder
	when string
}

func (k killedStore) Put(ctx context.Context, key string, data []byte) error {
	if k.when == "before the blob" {
		die()
	}
	err := k.Folder.Put(ctx, key, data)
	if k.when == "between blob and row" {
		die()
	}
	return err
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// TestKill kills a server around a state write (fault 2): afterwards there is one
// version, whole, and the client's repeated write is accepted.
func TestKill(t *testing.T) {
	first, second := body("lin", 1, "a"), body("lin", 2, "a", "b")
	if dir := os.Getenv("TERRACE_TEST_STATE_KILL_DIR"); dir != "" {
		b := &bench{T: t, dir: dir}
		b.open()
		b.Service = New(b.db, killedStore{b.blobs, os.Getenv("TERRACE_TEST_STATE_KILL")}, b.ring)
		b.mustWrite(ana, "l1", second)
		die() // before the reply
	}
	for _, c := range []struct {
		when   string
		stored bool
		orphan int
	}{{"before the blob", false, 0}, {"between blob and row", false, 1}, {"before the reply", true, 0}} {
		t.Run(c.when, func(t *testing.T) {
			b := newBench(t)
			b.lock(ana, "l1")
			b.mustWrite(ana, "l1", first)
			if err := b.db.Close(); err != nil {
				t.Fatal(err)
			}
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestKill$")
			child.Env = append(os.Environ(), "TERRACE_TEST_STATE_KILL_DIR="+b.dir, "TERRACE_TEST_STATE_KILL="+c.when)
			output, err := child.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("the child was to be killed: %v\n%s", err, output)
			}

			b.open()
			if c.stored {
				b.current(second)
			} else {
				b.current(first)
			}
			b.mustWrite(ana, "l1", second) // the client tries again
			b.current(second)
			versions, err := b.Versions(t.Context(), "shop", "web", "dev", 0)
			if err != nil || len(versions) != 2 {
				t.Errorf("versions %+v, %v", versions, err)
			}
			keys, err := b.blobs.List(t.Context())
			if err != nil || len(keys) != 2+c.orphan {
				t.Errorf("blobs %v, %v; want %d", keys, err, 2+c.orphan)
			}
			if _, _, err := b.db.VerifyEvents(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFullDisk: when the blob cannot be stored nothing is acknowledged and nothing
// is changed; when there is room again, it goes on.
func TestFullDisk(t *testing.T) {
	b := newBench(t)
	b.lock(ana, "l1")
	b.mustWrite(ana, "l1", body("lin", 1))
	b.Service = New(b.db, fullStore{b.blobs}, b.ring)
	_, err := b.write(ana, "l1", body("lin", 2))
	wantCode(t, err, core.Unavailable, "no space left")
	b.current(body("lin", 1))
	b.slot()
	b.Service = New(b.db, b.blobs, b.ring)
	b.mustWrite(ana, "l1", body("lin", 2))
}

// fullStore is a disk without room.
type fullStore struct{ *blob.Folder }

func (fullStore) Put(context.Context, string, []byte) error {
	return core.Errorf(core.Unavailable, "storing it failed: %w", syscall.ENOSPC)
}

// slowStore is a storage that takes its time, by the database's clock.
type slowStore struct {
	*blob.Folder
	pass func()
}

func (s slowStore) Put(ctx context.Context, key string, data []byte) error {
	err := s.Folder.Put(ctx, key, data)
	s.pass()
	return err
}

// TestSuspended: a machine that slept between the blob and its row does not write the
// row: the blob may have been collected meanwhile.
func TestSuspended(t *testing.T) {
	b := newBench(t)
	b.lock(ana, "l1")
	b.mustWrite(ana, "l1", body("lin", 1))
	var asleep atomic.Int64
	db, err := store.Open(t.Context(), filepath.Join(b.dir, "terrace.db"),
		store.WithClock(func() time.Time { return time.Now().Add(time.Duration(asleep.Load())) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	sleeps := WriteWithin + time.Minute
	b.Service = New(db, slowStore{b.blobs, func() { asleep.Add(int64(sleeps)) }}, b.ring)
	_, err = b.write(ana, "l1", body("lin", 2))
	wantCode(t, err, core.Unavailable, "try again")
	b.current(body("lin", 1))
	// This one would be kept aside, which is a row, too.
	_, err = b.write(ana, "l1", body("other", 2))
	wantCode(t, err, core.Unavailable, "try again")
	b.slot()
	sleeps = WriteWithin / 2
	b.mustWrite(ana, "l1", body("lin", 2))
	b.current(body("lin", 2))
}
