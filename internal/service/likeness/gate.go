package likeness

import (
	"context"
	"fmt"
	"slices"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/parity"
	"github.com/terrace-cd/terrace/internal/promotion"
	"github.com/terrace-cd/terrace/internal/service/law"
)

// question is a comparison that a gate waits for.
type question struct {
	key   string
	facts facts
}

// Look is one look at a project: what it reads, it reads once.
type Look struct {
	service *Service
	project string
	facts   map[string]facts // by the two environments
}

// Look begins a look.
func (s *Service) Look(project string) *Look {
	return &Look{service: s, project: project, facts: map[string]facts{}}
}

// Gate answers the demands of an environment with what is known now. What is not is found out by
// Tend, which then says that the project changed: nobody who decides waits for it.
func (l *Look) Gate(ctx context.Context, environment string, demands []law.Parity) ([]promotion.Parity, error) {
	var out []promotion.Parity
	s := l.service
	for _, d := range demands {
		f, ok := l.facts[environment+"\x00"+d.With]
		if !ok {
			var err error
			if f, err = s.read(ctx, l.project, environment, d.With); err != nil {
				return nil, err
			}
			l.facts[environment+"\x00"+d.With] = f
		}
		f.Rules = d.Rules
		p := promotion.Parity{From: d.From, With: d.With, AtLeast: d.AtLeast, Empty: f.A.empty() || f.B.empty()}
		if !p.Empty {
			if err := s.answer(f, &p); err != nil {
				return nil, err
			}
		}
		out = append(out, p)
	}
	return out, nil
}

func (s *Service) answer(f facts, p *promotion.Parity) error {
	for _, at := range []place{f.A, f.B} {
		for _, h := range at.Instances {
			if why := h.notCompared(); why != "" {
				p.Trouble = core.InstanceName(h.Stack, at.Name) + " " + why
				return nil
			}
		}
	}
	key, err := f.key()
	if err != nil {
		return err
	}
	r, ok := s.remembered(key)
	if !ok {
		p.Trouble = s.ask(question{key, f})
		return nil
	}
	p.Known, p.Undeclared = true, r.Undeclared
	if p.Number, ok = r.Number(); !ok {
		p.Trouble = "there is nothing to compare"
	}
	for _, in := range r.Instances {
		if in.NotCompared != "" {
			p.Trouble = in.NotCompared
		}
	}
	p.First = first(r)
	return nil
}

// first is one difference that nobody declared.
func first(r parity.Report) string {
	for _, in := range r.Instances {
		for _, d := range in.Differences {
			if d.Declared || d.Kind == parity.KindVariable {
				continue
			}
			what := d.Address
			if d.Path != "" {
				what += "." + d.Path
			}
			if d.Kind == parity.KindStack {
				return fmt.Sprintf("stack %s differs: %s", in.Stack, d.Because)
			}
			if what == "" {
				what = string(d.Kind)
			}
			return fmt.Sprintf("%s: %s differs: %s", in.Stack, what, d.Because)
		}
	}
	return ""
}

// ask notes a question, and says what went wrong when it was asked before.
func (s *Service) ask(q question) (trouble string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.ContainsFunc(s.asked, func(o question) bool { return o.key == q.key }) {
		s.asked = append(s.asked, q)
		select {
		case s.wakeUp() <- struct{}{}:
		default: // it is awake
		}
	}
	return s.failed[q.key]
}

// wakeUp is the channel that wakes Tend. s.mu is held.
func (s *Service) wakeUp() chan struct{} {
	if s.wake == nil {
		s.wake = make(chan struct{}, 1)
	}
	return s.wake
}

// next takes a question.
func (s *Service) next() (q question, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) == 0 {
		return q, false
	}
	q, s.asked = s.asked[0], s.asked[1:]
	return q, true
}

// Tend answers what gates ask, until ctx ends.
func (s *Service) Tend(ctx context.Context) {
	s.mu.Lock()
	wake := s.wakeUp()
	s.mu.Unlock()
	for ctx.Err() == nil {
		q, ok := s.next()
		if !ok {
			select {
			case <-ctx.Done():
			case <-wake:
			}
			continue
		}
		_, err := s.compare(ctx, q.facts)
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		if err == nil {
			s.failed = nil
		} else {
			// The next sweep asks again.
			s.failed = map[string]string{q.key: core.MessageOf(err)}
		}
		s.mu.Unlock()
		if err != nil {
			s.Log.Error("comparing environments", "project", q.facts.Project.Name, "environments", []string{q.facts.A.Name, q.facts.B.Name}, "error", err)
			continue
		}
		s.Bus.Changed(q.facts.Project.Name)
	}
}
