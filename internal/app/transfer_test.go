package app_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/app"
	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/testkit"
	"github.com/terrace-cd/terrace/internal/wire"
)

const (
	stateOne = `{"version":4,"terraform_version":"1.12.0","serial":1,"lineage":"lin","outputs":{},"resources":[]}`
	stateTwo = `{"version":4,"terraform_version":"1.12.0","serial":2,"lineage":"lin","outputs":{},"resources":[]}`
)

func stop(t *testing.T, a *app.App) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := a.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// settled starts a server with a project that has been through its environments.
func settled(t *testing.T, o app.Options) (*app.App, *client.Client) {
	t.Helper()
	a, c := start(t, o)
	repo := repository(t, map[string]string{"terrace.hcl": twoEnvironments})
	if _, err := c.AddProject(t.Context(), wire.AddProject{Name: "p", Repo: repo, Branch: "main"}); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 20*time.Second, "a rollout that succeeds", func() bool {
		all, err := c.Rollouts(t.Context(), "p", 0)
		return err == nil && len(all) == 1 && all[0].Status == "succeeded"
	})
	if _, err := c.PushState(t.Context(), "p", "dev", "web", []byte(stateOne)); err != nil {
		t.Fatal(err)
	}
	return a, c
}

func quiet(string, ...any) {}

func pulled(t *testing.T, c *client.Client, want string) {
	t.Helper()
	if got, err := c.PullState(t.Context(), "p", "dev", "web", 0); err != nil || string(got) != want {
		t.Errorf("the state is %s, %v; want %s", got, err, want)
	}
}

// TestMoveToPostgreSQL moves an installation while its server runs, and starts it again
// on the new database.
func TestMoveToPostgreSQL(t *testing.T) {
	data := t.TempDir()
	a, c := settled(t, app.Options{Data: data})
	database, blobs := testkit.Postgres(t), t.TempDir()
	done, err := app.Copy(t.Context(), app.Place{Database: filepath.Join(data, "terrace.db"), Storage: filepath.Join(data, "blobs")},
		app.Place{Database: database, Storage: blobs}, true, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if done.Rows["state_versions"] != 1 || done.Event == 0 || done.Blobs == 0 {
		t.Errorf("copied %+v", done)
	}
	// The server that still runs on the old one cannot store anything any more.
	if _, err := c.PushState(t.Context(), "p", "dev", "web", []byte(stateTwo)); err == nil || !strings.Contains(err.Error(), "moved to postgres://") {
		t.Errorf("a write to the old database: %v", err)
	}
	stop(t, a)
	if _, err := app.Start(t.Context(), app.Options{Data: data, Listen: "127.0.0.1:0"}); core.CodeOf(err) != core.Conflict || !strings.Contains(err.Error(), "was moved to") {
		t.Errorf("a server on the old database: %v", err)
	}
	_, c = start(t, app.Options{Data: data, Database: database, Storage: blobs})
	pulled(t, c, stateOne)
	if _, err := c.PushState(t.Context(), "p", "dev", "web", []byte(stateTwo)); err != nil {
		t.Error(err)
	}
	all, err := c.Rollouts(t.Context(), "p", 0)
	if err != nil || len(all) != 1 || all[0].Status != "succeeded" {
		t.Errorf("rollouts %+v, %v", all, err)
	}
}

// TestBackupAndRestore makes a backup beside a running server, goes on, loses everything
// but the storage, and restores: the environments are held, and the state that is newer
// than the backup is found.
func TestBackupAndRestore(t *testing.T) {
	data := t.TempDir()
	a, c := settled(t, app.Options{Data: data})
	from := app.Place{Database: filepath.Join(data, "terrace.db"), Storage: filepath.Join(data, "blobs")}
	key := filepath.Join(data, "master.key")
	dir := filepath.Join(t.TempDir(), "backup")
	m, err := app.Backup(t.Context(), from, key, dir, "test", quiet)
	if err != nil {
		t.Fatal(err)
	}
	if m.Rows["state_versions"] != 1 || m.Blobs == 0 || !m.Key {
		t.Errorf("backup %+v", m)
	}
	if _, err := app.Backup(t.Context(), from, "", dir, "test", quiet); core.CodeOf(err) != core.Conflict {
		t.Errorf("over an older backup: %v", err)
	}
	if _, err := c.PushState(t.Context(), "p", "dev", "web", []byte(stateTwo)); err != nil {
		t.Fatal(err)
	}
	stop(t, a)

	// Everything is lost: a whole new place.
	fresh := t.TempDir()
	to := app.Place{Database: filepath.Join(fresh, "terrace.db"), Storage: filepath.Join(fresh, "blobs")}
	done, err := app.Restore(t.Context(), dir, to, filepath.Join(fresh, "master.key"), true, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Held) != 2 {
		t.Errorf("held %v", done.Held)
	}
	if _, err := app.Restore(t.Context(), dir, to, filepath.Join(fresh, "master.key"), true, quiet); core.CodeOf(err) != core.Conflict {
		t.Errorf("into what is in use: %v", err)
	}
	restored, _ := start(t, app.Options{Data: fresh})
	c = client.New(restored.URL(), a.Token())
	t.Cleanup(c.Close)
	pulled(t, c, stateOne)
	held(t, c, "restored from the backup of")

	// The database alone is lost: its storage knows more than the backup.
	if err := os.Remove(from.Database); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{from.Database + "-wal", from.Database + "-shm"} {
		_ = os.Remove(name) // gone with a clean stop
	}
	if _, err := app.Restore(t.Context(), dir, from, key, false, quiet); err != nil {
		t.Fatal(err)
	}
	beside, _ := start(t, app.Options{Data: data})
	c = client.New(beside.URL(), a.Token())
	t.Cleanup(c.Close)
	pulled(t, c, stateOne)
	held(t, c, "serial regression of web@dev")
}

// held wants dev to be held for a reason.
func held(t *testing.T, c *client.Client, reason string) {
	t.Helper()
	events, err := c.Events(t.Context(), "p", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Kind == "environment.held" && e.On == "dev" && strings.Contains(e.Data["reason"], reason) {
			return
		}
	}
	t.Errorf("dev is not held for %q: %+v", reason, events)
}

// TestIncompleteBackups: what a crash left, or a person changed, is not restored.
func TestIncompleteBackups(t *testing.T) {
	data := t.TempDir()
	a, _ := settled(t, app.Options{Data: data})
	stop(t, a)
	from := app.Place{Database: filepath.Join(data, "terrace.db"), Storage: filepath.Join(data, "blobs")}
	for name, damage := range map[string]func(dir string) error{
		"no manifest": func(dir string) error { return os.Remove(filepath.Join(dir, "backup.json")) },
		"no database": func(dir string) error { return os.Remove(filepath.Join(dir, "terrace.db")) },
		"no blobs":    func(dir string) error { return os.RemoveAll(filepath.Join(dir, "blobs")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "backup")
			if _, err := app.Backup(t.Context(), from, "", dir, "test", quiet); err != nil {
				t.Fatal(err)
			}
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			fresh := t.TempDir()
			if _, err := app.Restore(t.Context(), dir, app.Place{Database: filepath.Join(fresh, "terrace.db"), Storage: filepath.Join(fresh, "blobs")}, filepath.Join(fresh, "master.key"), true, quiet); err == nil {
				t.Error("it was restored")
			}
		})
	}
}
