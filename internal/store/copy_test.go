package store

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/testkit"
)

// fillAll stores rows in every table.
func fillAll(t *testing.T, db *DB) {
	t.Helper()
	release := core.Release{Project: "shop", Number: 1, Commit: "abc", Author: "Ana", Message: "first\nline two ✓"}
	if err := db.Update(t.Context(), func(tx core.Tx) error {
		now := tx.Now()
		steps := []error{
			tx.AddProject(core.Project{Name: "shop", Repo: "/r", Branch: "main", Path: ".", Created: now}),
			tx.AddRelease(release),
			tx.AddRollout(core.Rollout{ID: "ro-1", Project: "shop", Release: release, Status: core.RolloutRunning, Created: now,
				Stages: []core.Stage{{ID: "st-1", Environment: "dev", Status: core.StageRunning, Fence: 1}}}),
			tx.PutEnvironment(core.EnvironmentState{Project: "shop", Name: "dev", Fence: 1, Hold: &core.Hold{Kind: core.HoldPerson, Reason: "wait", Since: now}}),
			tx.AddVerification(core.Verification{Project: "shop", Environment: "dev", Release: release, Rollout: "ro-1", At: now}),
			tx.AddRun(core.Run{ID: "r-1", Project: "shop", Stack: "web", Environment: "dev", Kind: core.KindDeploy, Status: core.RunApplying, Release: release, Fence: 2, Created: now}),
			tx.PutRunDoc("r-1", "plan", []byte{0, 1, 255}),
			tx.PutInstance(core.InstanceState{Project: "shop", Stack: "web", Environment: "dev", Components: map[string]string{"a": "b"}}),
			tx.PutLock(core.StateLock{Project: "shop", Stack: "web", Environment: "dev", ID: "l", Fence: 3, Created: now}),
			tx.AddToken(core.Token{ID: "tok-1", Hash: "h1", Kind: core.TokenPerson, Name: "ana", Created: now}),
			tx.AddToken(core.Token{ID: "tok-2", Hash: "h2", Kind: core.TokenRun, Run: "r-1", Created: now}),
			tx.PutSecret("shop", "dev", "TOKEN", make([]byte, 300)),
			tx.PutOwnState(core.OwnState{Project: "shop", Stack: "db", Environment: "dev", Backend: "s3", Lineage: "x", Serial: 4, Seen: now}),
			tx.AddException(core.Exception{ID: "x-1", Project: "shop", Stack: "db", Environment: "dev", Address: "a.b", Reason: "r", By: "user:ana", Created: now, Expires: now.Add(time.Hour)}),
			tx.AddFreeze(core.Freeze{ID: "fz-1", Project: "shop", From: now, Reason: "r", By: "user:ana", Created: now}),
			tx.AddReplacement(core.Replacement{ID: "rp-1", Project: "shop", Stack: "db", Environment: "dev", Address: "a.b", By: "user:ana", Created: now}),
			tx.PutPull(core.Pull{Project: "shop", Number: 7, Open: true, PullFacts: core.PullFacts{Title: "a"}}),
			tx.AddPreview(core.Preview{ID: "pv-1", Project: "shop", Status: core.PreviewRunning, Created: now}),
			tx.PutPost(core.Post{Project: "shop", Key: "comment/7"}),
			tx.AddGuardrails(core.Guardrails{Version: 1, Digest: "d", Files: map[string]string{"guardrails.hcl": "# é\x00"}, By: "user:ana", Created: now}),
			tx.AddVote(core.Vote{ID: "v-1", Project: "shop", Stage: "st-1", Run: "r-1", Stack: "web", Binding: core.Binding{Release: 1, Environment: "dev", Plan: "p"}, By: "user:ana", At: now, Approves: true}),
			tx.AddModule(core.Module{Address: "platform/vpc/aws", Repo: "/r", Path: ".", Tags: "*", By: "user:ana", Created: now}),
			tx.AddModuleVersion(core.ModuleVersion{Module: "platform/vpc/aws", Version: "1.0.0", Tag: "v1.0.0", Commit: "c", Seen: now}),
			tx.PutReleaseModules("shop", "c1", map[string][]core.ResolvedModule{"net": {{Module: "platform/vpc/aws", Version: "1.0.0"}}}),
			tx.AddImage(core.Image{Project: "shop", Name: "web", Digest: "d1", ID: "ami-1", Run: "r-1", Release: core.Release{Number: 1, Commit: "c1"}, Created: now}),
			tx.PutDrift(core.Drift{Project: "shop", Stack: "web", Environment: "dev", Run: "r-1", State: "v1", Changed: 1, Looked: now}),
			tx.PutHost(core.Host{Project: "shop", Stack: "web", Environment: "dev", Name: "web-1", Digest: "d", Run: "r-1", At: now, Keys: []string{"ssh-ed25519 AAAA"}}),
			tx.PutInstance(core.InstanceState{Project: "shop", Stack: "old", Environment: "dev"}),
			tx.MoveInstance(core.Move{Project: "shop", Environment: "dev", From: "old", To: "new", Release: 1, At: now}),
			tx.PutSetting("id", "one"),
			tx.AddKey(core.StoredKey{ID: "k-1", Kind: core.SealKey, Master: "m", Wrapped: []byte{0, 255}, Made: now}),
		}
		_, lease := tx.TakeLease("leader", "a", "http://a", time.Hour)
		_, recovered := tx.AddRecovered(core.Recovered{Project: "shop", Stack: "web", Environment: "dev", Serial: 9, Lineage: "x", MD5: "m", Blob: "states/r"})
		for _, err := range append(steps, lease, recovered) {
			if err != nil {
				return err
			}
		}
		for i := range 1200 { // several statements' worth
			if err := tx.AddLog(core.LogChunk{Run: "r-1", Seq: int64(i + 1), Offset: int64(i), Phase: "plan", Text: strings.Repeat("x", i) + "é", At: now}); err != nil {
				return err
			}
		}
		for i := range 5 {
			if _, err := tx.AddStateVersion(core.StateVersion{Project: "shop", Stack: "web", Environment: "dev", Serial: int64(i), Lineage: "x", MD5: "m", Blob: fmt.Sprint("states/", i)}); err != nil {
				return err
			}
			if err := tx.AddEvent(core.Event{By: "user:ana", Kind: "test", Project: "shop", Data: map[string]string{"n": fmt.Sprint(i)}}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestTablesAreAllCopied compares the list of tables with what the schemas have, and
// that every table gets rows in these tests.
func TestTablesAreAllCopied(t *testing.T) {
	var want []string
	for _, table := range tables {
		want = append(want, table.name)
	}
	slices.Sort(want)
	lite, post := open(t), openAt(t, testkit.Postgres(t))
	fillAll(t, lite)
	for _, c := range []struct {
		db    *DB
		query string
	}{
		{lite, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'goose_db_version' ORDER BY name"},
		{post, `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_name <> 'goose_db_version' ORDER BY table_name COLLATE "C"`},
	} {
		if err := c.db.View(t.Context(), func(ctx core.Tx) error {
			names, err := list(ctx.(*tx), scanString, c.query)
			if diff := cmp.Diff(want, names); diff != "" {
				t.Errorf("tables of %s (-copied +there):\n%s", c.db.name, diff)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range tables {
		var n int
		if err := lite.direct("SELECT count(*) FROM "+table.name, &n); err != nil || n == 0 {
			t.Errorf("no rows in %s: %v", table.name, err)
		}
	}
}

// TestCopy goes from SQLite to PostgreSQL and back.
func TestCopy(t *testing.T) {
	lite, post, back := open(t), openAt(t, testkit.Postgres(t)), open(t)
	fillAll(t, lite)
	var progress []string
	there, err := Copy(t.Context(), lite, post, CopyOptions{Progress: func(table string, rows int64) {
		if rows >= 0 {
			progress = append(progress, table)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if there.Rows["log_chunks"] != 1200 || there.Event != 5 || len(there.EventHash) != 64 || len(progress) != len(tables) {
		t.Errorf("copied %+v, progress %v", there, progress)
	}
	again, err := Copy(t.Context(), post, back, CopyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(there, again); diff != "" {
		t.Errorf("back (-there +back):\n%s", diff)
	}
	// Numbers go on where they were, fences too.
	for _, db := range []*DB{post, back} {
		if err := db.Update(t.Context(), func(tx core.Tx) error {
			id, err := tx.AddStateVersion(core.StateVersion{Project: "shop", Stack: "web", Environment: "dev", Serial: 5, Lineage: "x", Blob: "states/5"})
			if err != nil || id != 6 {
				t.Errorf("next version %d, %v", id, err)
			}
			fence, err := tx.NextFence()
			if fence != 2 {
				t.Errorf("next fence %d", fence)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	if _, err := Copy(t.Context(), lite, post, CopyOptions{}); core.CodeOf(err) != core.Conflict || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("into a database that is in use: %v", err)
	}
	if err := lite.Update(t.Context(), addProject("goes-on")); err != nil {
		t.Errorf("the source of a plain copy: %v", err)
	}
}

// TestMove: nobody writes to what was moved, not even who has it open.
func TestMove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "terrace.db")
	lite, post := openAt(t, path), openAt(t, testkit.Postgres(t))
	fillAll(t, lite)
	server := openAt(t, path) // as another process has it
	if _, err := Copy(t.Context(), lite, post, CopyOptions{Move: true, To: "postgres://db.example/it's"}); err != nil {
		t.Fatal(err)
	}
	for _, db := range []*DB{lite, server} {
		err := db.Update(t.Context(), addProject("late"))
		if core.CodeOf(err) != core.Unavailable || !strings.Contains(core.MessageOf(err), "moved to postgres://db.example/it's") {
			t.Errorf("a write to what was moved: %v (%s)", err, core.CodeOf(err))
		}
	}
	if _, err := Open(t.Context(), path); core.CodeOf(err) != core.Conflict || !strings.Contains(core.MessageOf(err), "moved to postgres://db.example/it's and") {
		t.Errorf("opening what was moved: %v", err)
	}
	if err := post.Update(t.Context(), addProject("late")); err != nil {
		t.Error(err)
	}
	if _, err := Copy(t.Context(), post, open(t), CopyOptions{Move: true}); core.CodeOf(err) != core.Invalid {
		t.Errorf("moving a PostgreSQL database: %v", err)
	}
}

// TestCopyGivesUp: a source whose audit log was changed is not copied, and a copy that
// is interrupted leaves nothing.
func TestCopyGivesUp(t *testing.T) {
	lite, post := open(t), openAt(t, testkit.Postgres(t))
	fillAll(t, lite)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Copy(ctx, lite, post, CopyOptions{Progress: func(table string, rows int64) {
		if table == "log_chunks" {
			cancel()
		}
	}}); err == nil {
		t.Error("a copy was finished after it was cancelled")
	}
	if _, err := Copy(t.Context(), lite, post, CopyOptions{}); err != nil {
		t.Errorf("after an interrupted copy: %v", err)
	}
	if err := lite.direct("UPDATE events SET actor = 'user:bob' WHERE seq = 2"); err != nil {
		t.Fatal(err)
	}
	if _, err := Copy(t.Context(), lite, open(t), CopyOptions{}); core.CodeOf(err) != core.Conflict || !strings.Contains(err.Error(), "event 2") {
		t.Errorf("a changed audit log: %v", err)
	}
}
