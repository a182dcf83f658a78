package keys

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/blob"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/seal"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/store"
	"github.com/terrace-cd/terrace/internal/testkit"
)

// world is an installation on a real database and real files.
type world struct {
	*testing.T
	database string
	blobs    *blob.Folder
	store    *store.DB
	file     string // of the master key
}

func databases(t *testing.T, f func(w *world)) {
	for name, database := range map[string]func(t *testing.T) string{
		"SQLite":     func(t *testing.T) string { return filepath.Join(t.TempDir(), "terrace.db") },
		"PostgreSQL": func(t *testing.T) string { return testkit.Postgres(t) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := &world{T: t, database: database(t), file: filepath.Join(dir, "master.key")}
			var err error
			if w.blobs, err = blob.Open(filepath.Join(dir, "blobs")); err != nil {
				t.Fatal(err)
			}
			if w.store, err = store.Open(t.Context(), w.database); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = w.store.Close() })
			f(w)
		})
	}
}

func (w *world) open(blobs core.BlobStore, masters ...string) *Service {
	w.Helper()
	s, err := w.try(blobs, masters...)
	if err != nil {
		w.Fatal(err)
	}
	return s
}

func (w *world) try(blobs core.BlobStore, names ...string) (*Service, error) {
	w.Helper()
	m, err := seal.OpenMasters(w.Context(), names, w.file, true)
	if err != nil {
		w.Fatal(err)
	}
	return Open(w.Context(), Options{Store: w.store, Blobs: blobs, Masters: m, Bus: bus.New(), Log: slog.New(slog.DiscardHandler), Settle: time.Nanosecond})
}

func (w *world) update(f func(tx core.Tx) error) {
	w.Helper()
	if err := w.store.Update(w.Context(), f); err != nil {
		w.Fatal(err)
	}
}

// populate stores n states, n kept ones, n documents, and n secrets: those of a project among
// them.
func (w *world) populate(ring core.Sealer, n int) {
	w.Helper()
	sealed := func(purpose string) []byte {
		out, err := ring.Seal(purpose, []byte("content of "+purpose))
		if err != nil {
			w.Fatal(err)
		}
		return out
	}
	w.update(func(tx core.Tx) error {
		if err := errors.Join(
			tx.AddToken(core.Token{ID: "t", Kind: core.TokenPerson, Hash: "h", Name: "ann"}),
			tx.AddProject(core.Project{Name: "p", Repo: "r", Branch: "main", WebhookToken: hex.EncodeToString(sealed(projects.WebhookPurpose("p"))),
				Forge: &core.Forge{Kind: "gitea", Login: hex.EncodeToString(sealed(projects.ForgePurpose("p")))}}),
			tx.AddRelease(core.Release{Project: "p", Number: 1, Commit: "abc"}),
			tx.AddRun(core.Run{ID: "r", Project: "p", Environment: "dev", Stack: "web", Release: core.Release{Number: 1, Commit: "abc"}, Kind: core.KindDeploy, Status: core.RunQueued})); err != nil {
			return err
		}
		for i := range n {
			blob := fmt.Sprintf("states/v%d.x", i)
			kept := fmt.Sprintf("states/k%d.x", i)
			if err := errors.Join(w.blobs.Put(w.Context(), blob, sealed(blob)), w.blobs.Put(w.Context(), kept, sealed(kept))); err != nil {
				return err
			}
			_, err1 := tx.AddStateVersion(core.StateVersion{Project: "p", Environment: "dev", Stack: "web", Serial: int64(i + 1), Lineage: "l", Blob: blob})
			_, err2 := tx.AddRecovered(core.Recovered{Project: "p", Environment: "dev", Stack: "web", Serial: int64(i + 1), Lineage: "l", Blob: kept, Reason: "late"})
			kind, name := fmt.Sprintf("k%d", i), fmt.Sprintf("N%d", i)
			err3 := tx.PutRunDoc("r", kind, sealed(state.DocPurpose("r", kind)))
			if i > 1 {
				err3 = errors.Join(err3, tx.PutSecret("p", "dev", name, sealed(runs.SecretPurpose("p", "dev", name))))
			}
			if err := errors.Join(err1, err2, err3); err != nil {
				return err
			}
		}
		return nil
	})
}

// sealedWith counts what is sealed, by key, and opens all of it with a ring.
func (w *world) sealedWith(ring core.Sealer) map[string]int {
	w.Helper()
	counts := map[string]int{}
	look := func(purpose string, sealed []byte) {
		if _, err := ring.Open(purpose, sealed); err != nil {
			w.Errorf("%s: %v", purpose, err)
		}
		counts[seal.KeyID(sealed)]++
	}
	if err := w.store.View(w.Context(), func(tx core.Tx) error {
		versions, err1 := tx.AllStateVersions(0, 0)
		kept, err2 := tx.AllRecovereds(0, 0)
		docs, err3 := tx.RunDocs(core.RunDoc{}, 0)
		secrets, err4 := tx.AllSecrets()
		all, err5 := tx.Projects()
		for _, v := range versions {
			look(v.Blob, w.get(v.Blob))
		}
		for _, v := range kept {
			look(v.Blob, w.get(v.Blob))
		}
		for _, d := range docs {
			look(state.DocPurpose(d.Run, d.Kind), d.Sealed)
		}
		for _, v := range secrets {
			look(runs.SecretPurpose(v.Project, v.Environment, v.Name), v.Sealed)
		}
		for _, p := range all {
			token, _ := hex.DecodeString(p.WebhookToken)
			look(projects.WebhookPurpose(p.Name), token)
			login, _ := hex.DecodeString(p.Forge.Login)
			look(projects.ForgePurpose(p.Name), login)
		}
		return errors.Join(err1, err2, err3, err4, err5)
	}); err != nil {
		w.Fatal(err)
	}
	return counts
}

func (w *world) get(key string) []byte {
	w.Helper()
	content, err := w.blobs.Get(w.Context(), key)
	if err != nil {
		w.Fatal(err)
	}
	return content
}

// failing lets so many blobs be replaced, and then is full.
type failing struct {
	*blob.Folder
	left int
}

func (f *failing) Replace(ctx context.Context, key string, data []byte) error {
	if strings.HasPrefix(key, "states/") {
		if f.left--; f.left < 0 {
			return core.Errorf(core.Unavailable, "full")
		}
	}
	return f.Folder.Replace(ctx, key, data)
}

// TestRotation: everything that is sealed is sealed anew, in the end, although the storage
// fails and the server ends in the middle; then the key before can be deleted, not earlier.
// An installation from before keys were stored is one, too, and digests stay what they are.
func TestRotation(t *testing.T) {
	databases(t, func(w *world) {
		former, err := seal.Open(w.file)
		if err != nil {
			t.Fatal(err)
		}
		const n = 130 // more than a page
		w.populate(former, n)
		digest := former.Digest([]byte("x"))
		total := 4 * n // no secret 0, and a webhook

		s := w.open(w.blobs)
		if got := w.sealedWith(s.Ring()); got[former.Keys()[0].ID] != total || s.Ring().Digest([]byte("x")) != digest {
			t.Fatalf("as before: %v", got)
		}
		old := former.Keys()[0].ID
		if err := s.Retire(t.Context(), "ann", old); core.CodeOf(err) != core.Conflict || !strings.Contains(err.Error(), "rotate") {
			t.Errorf("the key that seals was retired: %v", err)
		}
		st, err := s.Rotate(t.Context(), "ann")
		if err != nil || len(st.Keys) != 2 || !st.Keys[0].Seals || st.Keys[1].ID != old {
			t.Fatalf("%+v, %v", st, err)
		}
		if err := s.Retire(t.Context(), "ann", old); core.CodeOf(err) != core.Conflict {
			t.Errorf("retired before anything is sealed anew: %v", err)
		}
		// It stops in the middle, twice, and goes on.
		for _, left := range []int{50, 120} {
			s = w.open(&failing{w.blobs, left})
			if _, err := s.pass(t.Context()); core.CodeOf(err) != core.Unavailable {
				t.Fatalf("a storage that is full: %v", err)
			}
		}
		s = w.open(w.blobs)
		st, err = s.Status(t.Context())
		if err != nil || st.Passage.Step == 0 && st.Passage.After == "" {
			t.Errorf("where it was is not known: %+v, %v", st.Passage, err)
		}
		if _, err := s.pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := w.sealedWith(s.Ring()); len(got) != 1 || got[st.Keys[0].ID] != total {
			t.Errorf("after it: %v", got)
		}
		if err := s.Retire(t.Context(), "ann", old); core.CodeOf(err) != core.Conflict {
			t.Errorf("retired before it was proved: %v", err)
		}
		// What another server sealed with the key before, meanwhile, is found.
		late, err := former.Seal(runs.SecretPurpose("p", "dev", "LATE"), []byte("late"))
		if err != nil {
			t.Fatal(err)
		}
		w.update(func(tx core.Tx) error { return tx.PutSecret("p", "dev", "LATE", late) })
		for range 2 { // finds it; finds nothing
			if _, err := s.pass(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Retire(t.Context(), "ann", old); err != nil {
			t.Fatal(err)
		}
		s = w.open(w.blobs)
		if got := w.sealedWith(s.Ring()); len(got) != 1 || s.Ring().Digest([]byte("x")) != digest || len(s.Ring().Keys()) != 1 {
			t.Errorf("at the end: %v, %d keys", got, len(s.Ring().Keys()))
		}
		if _, err := s.Ring().Open(runs.SecretPurpose("p", "dev", "LATE"), late); core.CodeOf(err) != core.Unavailable || !strings.Contains(err.Error(), old) {
			t.Errorf("what is sealed with a deleted key: %v", err)
		}
	})
}

// TestSecondServer: a server uses a key that another one made, before it was told.
func TestSecondServer(t *testing.T) {
	databases(t, func(w *world) {
		a, b := w.open(w.blobs), w.open(w.blobs)
		if _, err := a.Rotate(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		sealed, err := a.Ring().Seal("x", []byte("y"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.Ring().Open("x", sealed); err != nil || string(got) != "y" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestOlderDatabase: a database that was restored from a time before a rotation finds the
// newer key in the storage, and keeps it.
func TestOlderDatabase(t *testing.T) {
	databases(t, func(w *world) {
		s := w.open(w.blobs)
		st, err := s.Rotate(t.Context(), "ann")
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := s.Ring().Seal("x", []byte("y"))
		if err != nil {
			t.Fatal(err)
		}
		w.update(func(tx core.Tx) error { return tx.DeleteKey(st.Keys[0].ID) })
		s = w.open(w.blobs)
		if len(s.Ring().Keys()) != 1 {
			t.Fatal("the row is there still")
		}
		if got, err := s.Ring().Open("x", sealed); err != nil || string(got) != "y" {
			t.Errorf("%q, %v", got, err)
		}
		if err := s.tend(t.Context()); err != nil {
			t.Fatal(err)
		}
		if now, err := s.Status(t.Context()); err != nil || len(now.Keys) != 2 {
			t.Errorf("%+v, %v", now, err)
		}
	})
}

// TestMasterKeyIsReplaced: with the new one and the old one once, and then without the
// old one. The wrong one is refused, with what to do.
func TestMasterKeyIsReplaced(t *testing.T) {
	databases(t, func(w *world) {
		s := w.open(w.blobs)
		sealed, err := s.Ring().Seal("x", []byte("y"))
		if err != nil {
			t.Fatal(err)
		}
		anew := filepath.Join(t.TempDir(), "new.key")
		if _, err := seal.Open(anew); err != nil {
			t.Fatal(err)
		}
		if _, err := w.try(w.blobs, "file:"+anew); core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), "--master-key NEW --master-key OLD") {
			t.Errorf("the new one alone: %v", err)
		}
		w.open(w.blobs, "file:"+anew, "file:"+w.file)
		if err := os.Remove(w.file); err != nil {
			t.Fatal(err)
		}
		s = w.open(w.blobs, "file:"+anew)
		if got, err := s.Ring().Open("x", sealed); err != nil || string(got) != "y" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestWrongKeyInTheRow: a wrapped key that was changed, or belongs to another row, stops
// the start.
func TestWrongKeyInTheRow(t *testing.T) {
	databases(t, func(w *world) {
		s := w.open(w.blobs)
		if _, err := s.Rotate(t.Context(), "ann"); err != nil {
			t.Fatal(err)
		}
		rows, err := s.rows(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.update(func(tx core.Tx) error { return tx.WrapKey(rows[0].ID, rows[0].Master, rows[1].Wrapped) })
		if _, err := w.try(w.blobs); core.CodeOf(err) != core.Internal {
			t.Errorf("%v", err)
		}
	})
}
