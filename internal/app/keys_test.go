package app_test

import (
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/app"
	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/testkit"
	"github.com/terrace-cd/terrace/internal/wire"
)

// rotated rotates the keys and waits until the ones before can be retired.
func rotated(t *testing.T, c *client.Client) wire.Keys {
	t.Helper()
	st, err := c.RotateKeys(t.Context())
	if err != nil || len(st.Keys) != 2 || !st.Keys[0].Seals {
		t.Fatalf("%+v, %v", st, err)
	}
	testkit.Eventually(t, 20*time.Second, "the proof that nothing hangs on the key before", func() bool {
		st, err = c.Keys(t.Context())
		return err == nil && st.Retirable
	})
	return st
}

// TestKeysAreRotated: while a server works, on both databases and both storages. Nothing is
// out of date afterwards, nothing is lost, a restart and a check find everything, and so
// does a database from before the rotation.
func TestKeysAreRotated(t *testing.T) {
	for name, place := range map[string]func(t *testing.T, o *app.Options){
		"SQLite and a folder": func(*testing.T, *app.Options) {},
		"PostgreSQL and S3": func(t *testing.T, o *app.Options) {
			o.Database, o.Storage = testkit.Postgres(t), testkit.S3(t).URL
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := app.WithSettle(app.Options{Data: t.TempDir()}, time.Second)
			place(t, &o)
			a, c := settled(t, o)
			if err := c.SetSecret(t.Context(), "p", "dev", "PASSWORD", "x"); err != nil {
				t.Fatal(err)
			}
			backup := filepath.Join(t.TempDir(), "backup")
			from := app.Place{Database: o.Database, Storage: o.Storage}
			if o.Database == "" {
				from = app.Place{Database: filepath.Join(o.Data, "terrace.db"), Storage: filepath.Join(o.Data, "blobs")}
			}
			if _, err := app.Backup(t.Context(), from, "", backup, "test", quiet); err != nil {
				t.Fatal(err)
			}
			before, err := c.Status(t.Context(), "p", true)
			if err != nil {
				t.Fatal(err)
			}
			st := rotated(t, c)
			if st.Passage.Sealed < 3 || st.Passage.Lost != 0 {
				t.Errorf("passage %+v", st.Passage)
			}
			if err := c.RetireKey(t.Context(), st.Keys[1].ID); err != nil {
				t.Fatal(err)
			}
			after, err := c.Status(t.Context(), "p", true)
			if err != nil || cmp.Diff(before.Instances, after.Instances) != "" {
				t.Errorf("%+v, %v", after, err)
			}
			stop(t, a)
			a, c = start(t, o)
			pulled(t, c, stateOne)
			if rollouts, err := c.Rollouts(t.Context(), "p", 0); err != nil || len(rollouts) != 1 {
				t.Errorf("a rotation made %d rollouts of one, %v", len(rollouts), err)
			}
			if r, err := app.Check(t.Context(), o, nil); err != nil || len(r.Problems) != 0 {
				t.Errorf("%+v, %v", r.Problems, err)
			}
			if st, err := c.Keys(t.Context()); err != nil || len(st.Keys) != 1 || st.Passage != nil {
				t.Errorf("%+v, %v", st, err)
			}
			stop(t, a)
			// The database of before, on the storage of now.
			older := o
			older.Data = t.TempDir()
			if err := os.WriteFile(filepath.Join(older.Data, "admin-token"), contentOf(t, filepath.Join(o.Data, "admin-token")), 0o600); err != nil {
				t.Fatal(err)
			}
			older.Database, older.Storage = filepath.Join(backup, "terrace.db"), from.Storage
			older.MasterKeys = []string{"file:" + filepath.Join(o.Data, "master.key")}
			_, c = start(t, older)
			pulled(t, c, stateOne)
			if r, err := app.Check(t.Context(), older, nil); err != nil || len(r.Problems) != 0 {
				t.Errorf("%+v, %v", r.Problems, err)
			}
		})
	}
}

// TestDumpHasNoCanary: whoever has a dump of the database and the whole storage, but not
// the master key, does not have what is in states, plans and secrets, in no encoding.
func TestDumpHasNoCanary(t *testing.T) {
	const canary = "canary/of+a dump&4711"
	for name, place := range map[string]func(t *testing.T, o *app.Options) (dump func() string, storage string){
		"SQLite and a folder": func(_ *testing.T, o *app.Options) (func() string, string) {
			return func() string { return "" }, filepath.Join(o.Data, "blobs") // its files are looked at below
		},
		"PostgreSQL and S3": func(t *testing.T, o *app.Options) (func() string, string) {
			bucket := testkit.S3(t)
			o.Database, o.Storage = testkit.Postgres(t), bucket.URL
			return func() string {
				out, err := exec.CommandContext(t.Context(), testkit.PostgresTool(t, "pg_dump"), "--dbname", o.Database).Output()
				if err != nil {
					t.Fatal(err)
				}
				return string(out)
			}, bucket.Folder
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := app.WithSettle(app.Options{Data: t.TempDir()}, time.Second)
			dump, storage := place(t, &o)
			_, c := settled(t, o)
			secret := func(serial string) []byte {
				return []byte(strings.NewReplacer(`"serial":1`, `"serial":`+serial, `"outputs":{}`, `"outputs":{"o":{"value":"`+canary+`","type":"string","sensitive":true}}`).Replace(stateOne))
			}
			if _, err := c.PushState(t.Context(), "p", "dev", "web", secret("2")); err != nil {
				t.Fatal(err)
			}
			if err := c.SetSecret(t.Context(), "p", "dev", "PASSWORD", canary); err != nil {
				t.Fatal(err)
			}
			key, err := os.ReadFile(filepath.Join(o.Data, "master.key"))
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Fields(string(key))
			master, err := base64.StdEncoding.DecodeString(lines[len(lines)-1])
			if err != nil {
				t.Fatal(err)
			}
			look := func(when string) {
				t.Helper()
				content := map[string]string{"the dump": dump()}
				for _, folder := range []string{o.Data, storage} {
					err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
						if err == nil && e.Type().IsRegular() && filepath.Base(path) != "master.key" {
							content[path] = string(contentOf(t, path))
						}
						return err
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				seen := 0
				for where, text := range content {
					seen += len(text)
					for what, plain := range map[string]string{"the canary": canary, "the master key": string(master)} {
						for _, written := range spellings(plain) {
							if strings.Contains(text, written) || strings.Contains(strings.ToLower(text), strings.ToLower(written)) {
								t.Errorf("%s: %s is in %s as %q", when, what, where, written)
							}
						}
					}
				}
				if seen < 20_000 {
					t.Errorf("only %d bytes were looked at", seen)
				}
			}
			look("before a rotation")
			st := rotated(t, c)
			look("with two keys")
			if err := c.RetireKey(t.Context(), st.Keys[1].ID); err != nil {
				t.Fatal(err)
			}
			look("after it")
			if got, err := c.PullState(t.Context(), "p", "dev", "web", 0); err != nil || !strings.Contains(string(got), canary) {
				t.Errorf("the canary is not even in the state: %s, %v", got, err)
			}
		})
	}
}

// spellings are the ways in which text could be stored without being sealed.
func spellings(plain string) []string {
	all := []string{plain, hex.EncodeToString([]byte(plain)), url.QueryEscape(plain), url.PathEscape(plain)}
	for shift := range 3 { // base64 of a longer text has it in one of three phases
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + plain))
		all = append(all, text[4:len(text)-4])
	}
	return all
}

// TestWrongMasterKey: a server does not start with another key than the one before.
func TestWrongMasterKey(t *testing.T) {
	o := app.Options{Data: t.TempDir()}
	a, _ := settled(t, o)
	stop(t, a)
	if err := os.Rename(filepath.Join(o.Data, "master.key"), filepath.Join(o.Data, "old.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Start(t.Context(), o); core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("the file is gone: %v", err)
	}
	t.Setenv("OTHER", base64.StdEncoding.EncodeToString(make([]byte, 32)))
	other := o
	other.MasterKeys = []string{"env:OTHER"}
	if _, err := app.Start(t.Context(), other); core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), "bring that one back") {
		t.Errorf("another key: %v", err)
	}
	other.MasterKeys = []string{"env:OTHER", "file:" + filepath.Join(o.Data, "old.key")}
	a, _ = start(t, other)
	stop(t, a)
	other.MasterKeys = []string{"env:OTHER"}
	_, c := start(t, other)
	pulled(t, c, stateOne)
}
