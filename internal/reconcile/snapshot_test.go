package reconcile

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/guardrails"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/source"
	"github.com/terrace-cd/terrace/internal/store"
	"github.com/terrace-cd/terrace/internal/testkit"
)

// TestRule28_WhatIsThereIsReadOrNobodyEnters: the release that is there has windows for who
// comes next. Who cannot read them now does not take that for none.
func TestRule28_WhatIsThereIsReadOrNobodyEnters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := store.Open(t.Context(), filepath.Join(dir, "terrace.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	mirrors := filepath.Join(dir, "mirrors")
	sources, err := source.New(mirrors, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sources.Close() })
	repo := testkit.Git(t)
	const sound = `project "shop" {
  engine = "tofu"
  stacks = ["stacks/*"]
}

environment "dev" {}
`
	repo.Write("terrace.hcl", sound)
	repo.Write("stacks/web/main.tf", "")
	first := repo.Commit("There")
	repo.Write("terrace.hcl", sound+"environment \"dev\" {}\n")
	broken := repo.Commit("Two of one name, which an older Terrace may have taken")
	repo.Push()
	var log strings.Builder
	w := &worker{Reconciler: &Reconciler{Log: slog.New(slog.NewTextHandler(&log, nil)),
		Wanted: &wanted.Evaluator{Store: db, Source: sources, Rails: &guardrails.Service{Store: db}}}, project: "shop", gone: map[[2]string]bool{}}
	there := func(ctx context.Context, commit string) (*config.Config, error) {
		return w.there(ctx, &snapshot{project: core.Project{Name: "shop", Repo: repo.Remote, Path: "."}, configs: map[string]*config.Config{},
			verified: map[string]core.Release{"dev": {Number: 1, Commit: commit}}}, "dev")
	}
	if _, err := sources.Fetch(t.Context(), repo.Remote, "main"); err != nil {
		t.Fatal(err)
	}
	off, cancel := context.WithCancel(t.Context())
	cancel()
	if cfg, err := there(off, first); err == nil {
		t.Errorf("a server that is stopping takes what it cannot read for %v", cfg)
	}
	away := filepath.Join(dir, "away")
	if err := os.Rename(mirrors, away); err != nil {
		t.Fatal(err)
	}
	if cfg, err := there(t.Context(), first); err == nil {
		t.Errorf("a mirror that is away is taken for %v", cfg)
	}
	if err := os.Rename(away, mirrors); err != nil {
		t.Fatal(err)
	}
	if cfg, err := there(t.Context(), first); err != nil || cfg == nil {
		t.Errorf("what is there can be read again and is %v, %v", cfg, err)
	}
	for what, commit := range map[string]string{"a commit that is gone": "00000000000000000000000000000000000000aa", "a configuration that does not hold any more": broken} {
		for range 2 {
			if cfg, err := there(t.Context(), commit); cfg != nil || err != nil {
				t.Errorf("%s is %v, %v, and would keep everybody out for ever", what, cfg, err)
			}
		}
		if strings.Count(log.String(), commit) != 1 {
			t.Errorf("%s is not in the log once:\n%s", what, log.String())
		}
	}
}
