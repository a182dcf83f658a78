package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/terrace-cd/terrace/internal/source"
	"github.com/terrace-cd/terrace/internal/testkit"
)

// digests is (d). It asks package source, which is what the server asks: the digests of
// all stacks of the newest commit, after a commit to one module (warm: the one before
// was asked for too) and with nothing remembered (cold: only the mirror is there).
func (w *world) digests(ctx context.Context, rounds, stacks int) ([]result, error) {
	dir := filepath.Join(w.dir, "d")
	repo := filepath.Join(dir, "big.git")
	if err := testkit.BigRepo(ctx, repo, stacks, 200); err != nil {
		return nil, err
	}
	ask := func(s *source.Source) (map[string]source.Content, time.Duration, error) {
		head, err := s.Fetch(ctx, repo, "main")
		if err != nil {
			return nil, 0, err
		}
		began := time.Now()
		contents, err := s.AllContents(ctx, repo, head, ".", "dev")
		took := time.Since(began)
		if err == nil && len(contents) != stacks {
			err = fmt.Errorf("%d digests of %d stacks", len(contents), stacks)
		}
		return contents, took, err
	}
	var cold, warm []float64
	for round := range rounds {
		s, err := source.New(filepath.Join(dir, fmt.Sprintf("cold-%d", round)), source.Options{})
		if err != nil {
			return nil, err
		}
		_, took, err := ask(s)
		if closeErr := s.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return nil, err
		}
		cold = append(cold, took.Seconds())
	}
	s, err := source.New(filepath.Join(dir, "warm"), source.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	before, _, err := ask(s)
	if err != nil {
		return nil, err
	}
	for round := range rounds {
		if err := testkit.CommitFile(ctx, repo, "modules/m007/main.tf", testkit.ModuleText(7, round+1)); err != nil {
			return nil, err
		}
		after, took, err := ask(s)
		if err != nil {
			return nil, err
		}
		changed := 0
		for name, c := range after {
			if c.Digest != before[name].Digest {
				changed++
			}
		}
		if changed == 0 || changed == stacks {
			return nil, fmt.Errorf("a commit to one module changed %d digests", changed)
		}
		before, warm = after, append(warm, took.Seconds())
	}
	return []result{
		absolute("d", fmt.Sprintf("digests of %d stacks, warm", stacks), "s", warm, 0.5),
		absolute("d", fmt.Sprintf("digests of %d stacks, cold", stacks), "s", cold, 5),
	}, nil
}

// settle is how long a server is left alone before its memory is read.
const settle = 10 * time.Second

// idle is (e): a server that has done the rollouts of (a), or one of them, and nothing since.
func (w *world) idle(ctx context.Context) ([]result, error) {
	if w.kept == nil {
		if _, err := w.threeEnvironments(ctx, 1); err != nil {
			return nil, err
		}
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(settle):
	}
	mb, err := w.kept.memory(ctx)
	if err != nil {
		return nil, err
	}
	return []result{absolute("e", "memory of the idle server", "MB", []float64{mb}, 60)}, nil
}
