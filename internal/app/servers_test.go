package app_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/app"
	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/testkit"
	"github.com/terrace-cd/terrace/internal/wire"
)

// TestServersShareADatabase: of two servers on one PostgreSQL database one decides
// (fault 19). What is asked of the other one reaches it, and the other one takes over.
func TestServersShareADatabase(t *testing.T) {
	database, storage := testkit.Postgres(t), t.TempDir()
	first, second := t.TempDir(), t.TempDir()
	a, c := start(t, app.Options{Data: first, Database: database, Storage: storage, Poll: time.Hour})
	key, err := os.ReadFile(filepath.Join(first, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(second, "master.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	b, _ := start(t, app.Options{Data: second, Database: database, Storage: storage, Poll: time.Hour})
	if !a.Leads() || b.Leads() {
		t.Fatalf("the first decides: %t, the second: %t", a.Leads(), b.Leads())
	}

	other := client.New(b.URL(), a.Token())
	t.Cleanup(other.Close)
	repo := repository(t, map[string]string{"terrace.hcl": twoEnvironments})
	if _, err := other.AddProject(t.Context(), wire.AddProject{Name: "p", Repo: repo, Branch: "main"}); err != nil {
		t.Fatal(err)
	}
	verified := func(c *client.Client, releases int) {
		t.Helper()
		testkit.Eventually(t, 20*time.Second, "rollouts that succeed", func() bool {
			all, err := c.Rollouts(t.Context(), "p", 0)
			if err != nil || len(all) != releases {
				return false
			}
			for _, r := range all {
				if r.Status != "succeeded" {
					return false
				}
			}
			return true
		})
	}
	verified(c, 1)
	verified(other, 1)

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := a.Close(ctx); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 20*time.Second, "the second server to decide", b.Leads)
	commit(t, repo, "second", map[string]string{"README": "hello\n"})
	if _, err := other.StartRollout(t.Context(), "p", wire.StartRollout{}); err != nil {
		t.Fatal(err)
	}
	verified(other, 2)
}
