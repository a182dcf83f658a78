// Package likeness compares environments for those who ask: people, and the parity gates of
// environments. What is compared how is in package parity; here it is loaded, and a report is
// kept as long as nothing that it was made from has changed.
package likeness

import (
	"container/list"
	"context"
	"log/slog"
	"sync"

	"github.com/terrace-cd/terrace/internal/code"
	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/parity"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/source"
)

// kept is how many reports are remembered.
const kept = 32

// Service is safe for concurrent use.
type Service struct {
	Store  core.Store
	State  *state.Service
	Runs   *runs.Service
	Wanted *wanted.Evaluator
	Source *source.Source
	Bus    *bus.Bus
	Log    *slog.Logger

	// working: states are large, and one comparison at a time holds some.
	working sync.Mutex

	mu      sync.Mutex
	order   list.List // of *report, newest first
	reports map[string]*list.Element
	asked   []question // by gates, in order
	wake    chan struct{}
	failed  map[string]string // why the last comparison could not be made, by key
}

// report is a remembered comparison.
type report struct {
	key   string
	value parity.Report
}

// Compare compares two environments by the rules of the newest release whose configuration
// holds. Errors: NotFound for what is not there, Invalid for an environment with itself.
func (s *Service) Compare(ctx context.Context, project, a, b string) (parity.Report, error) {
	for _, name := range []string{a, b} {
		if err := core.CheckName("environment", name); err != nil {
			return parity.Report{}, err
		}
	}
	if a == b {
		return parity.Report{}, core.Errorf(core.Invalid, "%s is like itself; name two environments", a)
	}
	cfg, err := s.newest(ctx, project)
	if err != nil {
		return parity.Report{}, err
	}
	f, err := s.read(ctx, project, a, b)
	if err != nil {
		return parity.Report{}, err
	}
	for _, at := range []place{f.A, f.B} {
		known := len(at.Instances) > 0
		for _, e := range cfg.Environments {
			known = known || e.Name == at.Name
		}
		if !known {
			return parity.Report{}, core.Errorf(core.NotFound, "project %s has no environment %s", project, at.Name)
		}
	}
	f.Rules = cfg.Project.Parity
	return s.compare(ctx, f)
}

// newest is the configuration of the newest release whose configuration holds.
func (s *Service) newest(ctx context.Context, project string) (*config.Config, error) {
	var p core.Project
	var newest core.Release
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		if p, err = tx.Project(project); err != nil {
			return err
		}
		releases, err := tx.Releases(project, 50)
		for _, r := range releases {
			if r.Invalid == "" {
				newest = r
				break
			}
		}
		return err
	}); err != nil {
		return nil, err
	}
	if newest.Commit == "" {
		return nil, core.Errorf(core.NotFound, "%s has no release whose configuration holds yet: terrace rollout list", project)
	}
	return s.Wanted.Config(ctx, p, newest.Commit)
}

// compare makes the report of facts, or finds it again.
func (s *Service) compare(ctx context.Context, f facts) (parity.Report, error) {
	key, err := f.key()
	if err != nil {
		return parity.Report{}, err
	}
	s.working.Lock()
	defer s.working.Unlock()
	if r, ok := s.remembered(key); ok {
		return r, nil
	}
	rules, err := rulesOf(f.Rules)
	if err != nil {
		return parity.Report{}, err
	}
	readers := map[string]*code.Reader{}
	a, err := s.side(ctx, f.Project, f.A, readers)
	if err != nil {
		return parity.Report{}, err
	}
	b, err := s.side(ctx, f.Project, f.B, readers)
	if err != nil {
		return parity.Report{}, err
	}
	r := parity.Compare(a, b, rules)
	s.remember(key, r)
	return r, nil
}

func rulesOf(r config.ParityRules) (out parity.Rules, err error) {
	out.Names = r.Names
	for _, x := range []struct {
		texts []string
		to    *[]parity.Pattern
	}{{r.Ignore, &out.Ignore}, {r.Identity, &out.Identity}, {r.Derived, &out.Derived}} {
		for _, text := range x.texts {
			p, err := parity.ParsePattern(text)
			if err != nil {
				return out, err
			}
			*x.to = append(*x.to, p)
		}
	}
	return out, nil
}

func (s *Service) remembered(key string) (parity.Report, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.reports[key]
	if !ok {
		return parity.Report{}, false
	}
	s.order.MoveToFront(e)
	return e.Value.(*report).value, true
}

func (s *Service) remember(key string, r parity.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reports == nil {
		s.reports = map[string]*list.Element{}
	}
	s.reports[key] = s.order.PushFront(&report{key, r})
	for s.order.Len() > kept {
		last := s.order.Remove(s.order.Back()).(*report)
		delete(s.reports, last.key)
	}
}
