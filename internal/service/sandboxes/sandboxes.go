// Package sandboxes makes, extends and ends sandboxes (rule 26): copies of an environment
// for one person and one branch. A sandbox is a project with one environment, so that what
// carries a release through an environment carries it through a sandbox, and what belongs to
// it is kept apart from everything else by the key that it is stored under.
package sandboxes

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/service/guardrails"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/source"
)

// DefaultLife is how long a sandbox lasts when nobody says: a day's work.
const DefaultLife = 8 * time.Hour

// Service is safe for concurrent use.
type Service struct {
	Store      core.Store
	Source     *source.Source
	Wanted     *wanted.Evaluator
	Guardrails *guardrails.Service
	Projects   *projects.Service
	Runs       *runs.Service
	Bus        *bus.Bus
	Log        *slog.Logger
}

// Ask is a sandbox that somebody wants. What is empty is the default.
type Ask struct {
	Project, Name, Base string
	Branch              string // the project's own
	Stacks              []string
	Variables           map[string]string
	For                 time.Duration
}

// Create makes a sandbox and lets the newest commit of its branch in. Errors: Invalid for
// names, a base, a branch or stacks that are not there, and for a configuration that does not
// hold; Conflict when the name is taken or there are as many as the guardrails allow.
func (s *Service) Create(ctx context.Context, by string, ask Ask) (core.Project, error) {
	of, err := s.Projects.Get(ctx, ask.Project)
	if err != nil {
		return core.Project{}, err
	}
	if of.Sandbox != nil {
		return core.Project{}, core.Errorf(core.Invalid, "%s is itself a sandbox; make another one of %s", of.Sandbox.Name, of.Sandbox.Of)
	}
	box := core.Sandbox{Of: of.Name, Name: ask.Name, Base: ask.Base, Owner: by, Stacks: slices.Compact(slices.Sorted(slices.Values(ask.Stacks))), Variables: ask.Variables}
	if err := checkName(box); err != nil {
		return core.Project{}, err
	}
	if err := checkVariables(box.Variables); err != nil {
		return core.Project{}, err
	}
	p := core.Project{Name: core.SandboxProject(of.Name, ask.Name), Repo: of.Repo, Path: of.Path, Sandbox: &box}
	if p.Branch, err = s.Source.Check(ctx, of.Repo, cmp.Or(ask.Branch, of.Branch)); err != nil {
		return core.Project{}, err
	}
	if err := s.fits(ctx, of, p); err != nil {
		return core.Project{}, err
	}
	lifetime := cmp.Or(ask.For, DefaultLife)
	if err := s.Store.Update(ctx, func(tx core.Tx) error {
		rule, err := s.rule(tx, of.Name, lifetime)
		if err != nil {
			return err
		}
		all, err := projects.SandboxesOf(tx, of.Name)
		if err != nil {
			return err
		}
		mine := 0
		for _, other := range all {
			if other.Sandbox.Owner == by {
				mine++
			}
			if other.Name == p.Name {
				return core.Errorf(core.Conflict, "%s has a sandbox %s already, of %s; choose another name, or end it first: terrace sandbox destroy %[2]s", of.Name, box.Name, other.Sandbox.Owner)
			}
		}
		switch {
		case mine >= rule.PerPerson:
			return core.Errorf(core.Conflict, "you have %d sandboxes of %s, and may have %d at a time (sandboxes { per_person } of the guardrails); end one: terrace sandbox list --mine", mine, of.Name, rule.PerPerson)
		case len(all) >= rule.PerProject:
			return core.Errorf(core.Conflict, "%s has %d sandboxes, and may have %d at a time (sandboxes { per_project } of the guardrails); the next to end: terrace sandbox list", of.Name, len(all), rule.PerProject)
		}
		p.Created = tx.Now()
		box.Expires = p.Created.Add(lifetime)
		if err := tx.AddProject(p); err != nil {
			return err
		}
		return event(tx, by, "sandbox.created", p, map[string]string{"base": box.Base, "branch": p.Branch, "expires": box.Expires.Format(time.RFC3339), "stacks": strings.Join(box.Stacks, " "), "variables": strings.Join(slices.Sorted(maps.Keys(box.Variables)), " ")})
	}); err != nil {
		return core.Project{}, err
	}
	if err := s.Projects.Refresh(ctx, p.Name, by); err != nil {
		s.Log.Warn("reading the branch of a new sandbox failed", "project", p.Name, "error", err)
	}
	s.Bus.Changed(of.Name)
	return s.Projects.Get(ctx, p.Name)
}

// checkName refuses names that are no environment's, or could be mistaken for something else.
func checkName(box core.Sandbox) error {
	if err := core.CheckName("sandbox", box.Name); err != nil {
		return err
	}
	if box.Name == core.SandboxSecrets {
		return core.Errorf(core.Invalid, "%q is where the secrets of all sandboxes are kept; choose another name", box.Name)
	}
	const most = 63
	if n := len(core.SandboxProject(box.Of, box.Name)); n > most {
		return core.Errorf(core.Invalid, "the names of the project and the sandbox have %d characters together, and %d fit; choose a shorter name than %q", n-1, most-1, box.Name)
	}
	return nil
}

// fits reads the newest commit of the branch: its configuration holds, and has what the
// sandbox is to be made of.
func (s *Service) fits(ctx context.Context, of, p core.Project) error {
	head, err := s.Source.Fetch(ctx, p.Repo, p.Branch)
	if err != nil {
		return err
	}
	cfg, err := s.Wanted.Config(ctx, of, head)
	if err != nil {
		return err
	}
	for _, e := range cfg.Environments {
		if e.Name == p.Sandbox.Name {
			return core.Errorf(core.Conflict, "%s has an environment %s; a sandbox needs a name of its own", of.Name, e.Name)
		}
	}
	if err := cfg.CheckSandboxVariables(*p.Sandbox); err != nil {
		return err
	}
	boxed, err := cfg.InSandbox(*p.Sandbox)
	if err != nil {
		return err
	}
	return boxed.SandboxProblems()
}

// rule is what the guardrails say of a project's sandboxes; a lifetime has to keep to it.
func (s *Service) rule(tx core.Tx, project string, lifetime time.Duration) (core.SandboxRule, error) {
	rails, err := s.Guardrails.In(tx)
	if err != nil {
		return core.SandboxRule{}, err
	}
	rule := rails.SandboxRule(project)
	if lifetime < core.LeastSandbox || lifetime > rule.Longest {
		return rule, core.Errorf(core.Invalid, "a sandbox of %s lasts from %s to %s (sandboxes { longest } of the guardrails), and %s is neither: --for %[3]s", project, core.LeastSandbox, rule.Longest, lifetime)
	}
	return rule, nil
}

// Extend moves the end of a sandbox to lifetime from now.
func (s *Service) Extend(ctx context.Context, by, project, name string, lifetime time.Duration) (core.Project, error) {
	return s.change(ctx, by, project, name, "sandbox.extended", func(tx core.Tx, p *core.Project) (map[string]string, error) {
		if !p.Sandbox.Ending.IsZero() {
			return nil, core.Errorf(core.Conflict, "%s is being destroyed since %s", name, p.Sandbox.Ending.Format(time.RFC3339))
		}
		if _, err := s.rule(tx, project, lifetime); err != nil {
			return nil, err
		}
		p.Sandbox.Expires, p.Sandbox.Warned = tx.Now().Add(lifetime), false
		return map[string]string{"expires": p.Sandbox.Expires.Format(time.RFC3339)}, nil
	})
}

// Destroy asks for the end of a sandbox, and what is under way there to stop. Everything in
// its states is destroyed, and then it is gone; why is for those who look. Asking again has
// a destruction that failed tried again at once.
func (s *Service) Destroy(ctx context.Context, by, project, name, why string) (core.Project, error) {
	return s.change(ctx, by, project, name, "sandbox.ending", func(tx core.Tx, p *core.Project) (map[string]string, error) {
		return map[string]string{"why": why}, end(tx, p, by, why)
	})
}

// end is the beginning of the end.
func end(tx core.Tx, p *core.Project, by, why string) error {
	p.Sandbox.Retry = time.Time{}
	if !p.Sandbox.Ending.IsZero() {
		return nil
	}
	p.Sandbox.Ending, p.Sandbox.EndedBy, p.Sandbox.Why = tx.Now(), by, why
	open, err := tx.Rollouts(p.Name, true, 0)
	if err != nil {
		return err
	}
	for _, ro := range open {
		if err := tx.SetRolloutCancel(ro.ID); err != nil {
			return err
		}
	}
	return nil
}

// change changes one sandbox, with an event.
func (s *Service) change(ctx context.Context, by, project, name, kind string, f func(core.Tx, *core.Project) (map[string]string, error)) (p core.Project, err error) {
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		if p, err = tx.Project(core.SandboxProject(project, name)); err != nil {
			return unknown(tx, project, name, err)
		}
		data, err := f(tx, &p)
		if err != nil {
			return err
		}
		if err := tx.UpdateProject(p); err != nil {
			return err
		}
		return event(tx, by, kind, p, data)
	})
	s.Bus.Changed(p.Name)
	s.Bus.Changed(project)
	return p, err
}

// unknown says which sandboxes there are.
func unknown(tx core.Tx, project, name string, err error) error {
	if core.CodeOf(err) != core.NotFound {
		return err
	}
	all, listErr := projects.SandboxesOf(tx, project)
	if listErr != nil {
		return listErr
	}
	var names []string
	for _, p := range all {
		names = append(names, p.Sandbox.Name)
	}
	if len(names) == 0 {
		return core.Errorf(core.NotFound, "%s has no sandbox %q, nor any other; make one: terrace sandbox create %[2]s --base ENVIRONMENT", project, name)
	}
	return core.Errorf(core.NotFound, "%s has no sandbox %q; it has %s", project, name, strings.Join(names, ", "))
}

// event is under the project that the sandbox is of, where people look for it.
func event(tx core.Tx, by, kind string, p core.Project, data map[string]string) error {
	return tx.AddEvent(core.Event{By: by, Kind: kind, Project: p.Sandbox.Of, On: p.Sandbox.Name, Data: data})
}

// Get returns one sandbox.
func (s *Service) Get(ctx context.Context, project, name string) (p core.Project, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		if p, err = tx.Project(core.SandboxProject(project, name)); err != nil {
			return unknown(tx, project, name, err)
		}
		return nil
	})
	return p, err
}

// left says what of a sandbox is still there: "" when nothing is.
func left(tx core.Tx, p core.Project) (string, error) {
	instances, err := tx.Instances(p.Name)
	if err != nil {
		return "", err
	}
	for _, i := range instances {
		return core.InstanceName(i.Stack, i.Environment), nil
	}
	states, err := tx.CurrentStates(p.Name)
	if err != nil {
		return "", err
	}
	for _, v := range states {
		if v.Resources > 0 {
			return fmt.Sprintf("the state of %s, which no release was applied to", core.InstanceName(v.Stack, v.Environment)), nil
		}
	}
	return "", nil
}
