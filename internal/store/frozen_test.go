package store

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/testkit"
)

// TestFrozenSchema opens databases that the first released schema left, with rows in
// every table: today's program brings them up to date and reads all of it.
func TestFrozenSchema(t *testing.T) {
	lite := filepath.Join(t.TempDir(), "terrace.db")
	for _, c := range []struct{ name, driver, source, url string }{
		{"sqlite", "sqlite", "file:" + lite, lite},
		{"postgres", "pgx", "", testkit.Postgres(t)},
	} {
		t.Run(c.name, func(t *testing.T) {
			script, err := os.ReadFile(filepath.Join("testdata", c.name+"-0001.sql"))
			if err != nil {
				t.Fatal(err)
			}
			if c.source == "" {
				c.source = c.url
			}
			old, err := sql.Open(c.driver, c.source)
			if err != nil {
				t.Fatal(err)
			}
			for _, statement := range []string{string(script), "UPDATE stages SET status = 'succeeded', finished = 1000000"} {
				if _, err := old.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			db := openAt(t, c.url)
			readFrozen(t, db)
			if seq, _, err := db.VerifyEvents(t.Context()); seq != 5 || err != nil {
				t.Errorf("audit log: %d, %v", seq, err)
			}
			// A kind and a status that the first schema did not know are allowed, and no others.
			image := core.Run{ID: "r-image", Project: "shop", Stack: core.ImageStack("web"), Environment: "dev", Kind: core.KindImage, Status: core.RunBuilding, Release: core.Release{Number: 1, Commit: "c1"}}
			if err := db.Update(t.Context(), func(tx core.Tx) error { return tx.AddRun(image) }); err != nil {
				t.Errorf("a run that builds an image: %v", err)
			}
			image.ID, image.Kind = "r-other", "other"
			if err := db.Update(t.Context(), func(tx core.Tx) error { return tx.AddRun(image) }); err == nil {
				t.Error("a run of no kind is stored")
			}
			// What has no rows yet is there, and a copy reads every column of every table.
			if _, err := Copy(t.Context(), db, open(t), CopyOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
}

func readFrozen(t *testing.T, db *DB) {
	t.Helper()
	if err := db.View(t.Context(), func(tx core.Tx) error {
		check := func(what string, got, want any, err error) {
			if err != nil || got != want {
				t.Errorf("%s: %v, %v; want %v", what, got, err, want)
			}
		}
		p, err := tx.Project("shop")
		check("project", p.Repo, "/r", err)
		r, err := tx.FindRelease("shop", "1")
		check("release", r.Author, "Ana", err)
		rollout, err := tx.Rollout("ro-1")
		check("stages", len(rollout.Stages), 1, err)
		check("kind", rollout.Kind, core.RolloutPromotion, nil)
		verified, err := tx.VerifiedBefore("shop", "dev", 2)
		check("verified", verified.Rollout+" "+verified.Release.Author, "ro-1 Ana", err)
		e, err := tx.Environment("shop", "dev")
		check("present", e.Present, e.Entered, nil)
		check("hold", e.Hold != nil && e.Hold.Reason == "wait", true, err)
		run, err := tx.Run("r-1")
		check("run", run.Status, core.RunApplying, err)
		doc, err := tx.RunDoc("r-1", "plan")
		check("document", string(doc), "\x00\x01\xff", err)
		chunks, err := tx.LogChunks("r-1", 0, 0)
		check("log", len(chunks), 3, err)
		check("text", chunks[1].Text, "xé", err)
		i, err := tx.Instance("shop", "web", "dev")
		check("instance", i.Components["a"], "b", err)
		v, err := tx.CurrentState("shop", "web", "dev")
		check("state", v.Serial, int64(4), err)
		l, err := tx.Lock("shop", "web", "dev")
		check("lock", l.Fence, int64(3), err)
		recovered, err := tx.Recovereds("shop", "web", "dev")
		check("recovery slot", len(recovered), 1, err)
		token, err := tx.TokenByHash("h2")
		check("token", token.Run, "r-1", err)
		person, err := tx.TokenByHash("h1")
		check("role", person.Role, core.RoleAdmin, err)
		check("user", person.User, "ana", err)
		secret, err := tx.Secret("shop", "dev", "TOKEN")
		check("secret", len(secret), 300, err)
		_, err = tx.OwnStates("shop")
		check("own states", nil, nil, err)
		moves, err := tx.Moves("shop")
		check("moves", len(moves), 0, err)
		drifts, err := tx.Drifts("shop")
		check("drifts", len(drifts), 0, err)
		hosts, err := tx.Hosts("shop", "web", "dev")
		check("hosts", len(hosts), 0, err)
		modules, err := tx.Modules()
		check("modules", len(modules), 0, err)
		of, err := tx.ReleaseModules("shop", "abc")
		check("modules of a release", len(of), 0, err)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(t.Context(), func(tx core.Tx) error {
		id, err := tx.AddStateVersion(core.StateVersion{Project: "shop", Stack: "web", Environment: "dev", Serial: 5, Lineage: "x", Blob: "states/5"})
		if err == nil && id != 6 {
			t.Errorf("the next version has number %d", id)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}
