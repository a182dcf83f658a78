package app_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/app"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/testkit"
)

// TestCheck: what is missing, damaged or swapped in the storage is found beside a running
// server, and named.
func TestCheck(t *testing.T) {
	for name, place := range map[string]func(t *testing.T, o *app.Options) (blobs string){
		"SQLite and a folder": func(_ *testing.T, o *app.Options) string { return filepath.Join(o.Data, "blobs") },
		"PostgreSQL and S3": func(t *testing.T, o *app.Options) string {
			bucket := testkit.S3(t)
			o.Database, o.Storage = testkit.Postgres(t), bucket.URL
			return bucket.Folder
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := app.Options{Data: t.TempDir()}
			folder := place(t, &o)
			_, c := settled(t, o)
			for _, content := range []string{stateTwo, strings.Replace(stateTwo, `"serial":2`, `"serial":3`, 1)} {
				if _, err := c.PushState(t.Context(), "p", "dev", "web", []byte(content)); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.SetSecret(t.Context(), "p", "dev", "PASSWORD", "x"); err != nil {
				t.Fatal(err)
			}
			check := func() app.CheckReport {
				t.Helper()
				report, err := app.Check(t.Context(), o, nil)
				if err != nil {
					t.Fatal(err)
				}
				return report
			}
			if r := check(); len(r.Problems) != 0 || r.States != 3 || r.Secrets < 2 || r.Events == 0 || r.Blobs < 3 {
				t.Fatalf("when all is well: %+v", r)
			}
			var states []string // a folder storage writes states/x as HH/states~x
			err := filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
				if err == nil && e.Type().IsRegular() && strings.Contains(path, "states") {
					states = append(states, path)
				}
				return err
			})
			key := func(path string) string { return strings.TrimPrefix(filepath.Base(path), "states~") }
			slices.SortFunc(states, func(a, b string) int { return strings.Compare(key(a), key(b)) })
			if err != nil || len(states) != 3 {
				t.Fatalf("%v, %v", states, err)
			}
			// The keys are in the order of the versions.
			if err := os.Remove(states[0]); err != nil {
				t.Fatal(err)
			}
			third := contentOf(t, states[2])
			if err := os.WriteFile(states[1], third, 0o600); err != nil {
				t.Fatal(err)
			}
			third[len(third)-1] ^= 1
			if err := os.WriteFile(states[2], third, 0o600); err != nil {
				t.Fatal(err)
			}
			r := check()
			if len(r.Problems) != 3 {
				t.Fatalf("problems %+v", r.Problems)
			}
			for i, p := range r.Problems {
				if p.What != "state" || p.Instance != "web@dev" || p.Project != "p" || p.Serial != int64(i+1) || p.Current != (i == 2) ||
					p.Blob != "states/"+key(states[i]) || p.Why == "" || p.Do == "" {
					t.Errorf("problem %d: %+v", i, p)
				}
			}
			if v, err := c.VerifyEvents(t.Context()); err != nil || !v.Intact || v.Seq != r.Events || v.Hash != r.EventsHash {
				t.Errorf("the audit log: %+v, %v; check says %d %s", v, err, r.Events, r.EventsHash)
			}
		})
	}
}

func contentOf(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestCheckLooksOnly: where there is nothing, nothing is made.
func TestCheckLooksOnly(t *testing.T) {
	data := filepath.Join(t.TempDir(), "none")
	if _, err := app.Check(t.Context(), app.Options{Data: data}, nil); core.CodeOf(err) != core.NotFound {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("the folder was made")
	}
}
