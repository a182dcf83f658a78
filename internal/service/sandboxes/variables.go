package sandboxes

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/projects"
)

// Bounds of the variables that a sandbox has of its own.
const (
	mostVariables = 100
	maxVariable   = 16 << 10 // bytes of a value
)

var variableRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,127}$`)

// checkVariables refuses what is no variable.
func checkVariables(all map[string]string) error {
	if len(all) > mostVariables {
		return core.Errorf(core.Invalid, "a sandbox has at most %d variables of its own, and not %d", mostVariables, len(all))
	}
	for name, value := range all {
		if !variableRE.MatchString(name) {
			return core.Errorf(core.Invalid, "%q cannot name a variable: use letters, digits, _ and -, not starting with a digit", name)
		}
		hidden := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
		if len(value) > maxVariable || !utf8.ValidString(value) || strings.ContainsFunc(value, hidden) {
			return core.Errorf(core.Invalid, "the value of %s is no text of at most %d bytes", name, maxVariable)
		}
	}
	return nil
}

// Set gives variables of a sandbox values of its own, forgets those of others, and applies the
// newest commit with them. Errors: Invalid for a variable that no stack of the sandbox
// declares, or a value that it cannot have; Conflict while the sandbox ends.
func (s *Service) Set(ctx context.Context, by, project, name string, set map[string]string, forget []string) (core.Project, error) {
	p, err := s.Get(ctx, project, name)
	if err != nil {
		return core.Project{}, err
	}
	of, err := s.Projects.Get(ctx, project)
	if err != nil {
		return core.Project{}, err
	}
	change := func(p *core.Project) {
		p.Sandbox.Variables = maps.Clone(p.Sandbox.Variables)
		for _, name := range forget {
			delete(p.Sandbox.Variables, name)
		}
		if p.Sandbox.Variables == nil {
			p.Sandbox.Variables = map[string]string{}
		}
		maps.Copy(p.Sandbox.Variables, set)
	}
	for _, name := range forget {
		if _, ok := p.Sandbox.Variables[name]; !ok {
			return core.Project{}, core.Errorf(core.NotFound, "the sandbox %s has no value of its own for %q; it has %s", p.Sandbox.Name, name, orNone(slices.Sorted(maps.Keys(p.Sandbox.Variables))))
		}
	}
	after := p
	box := *p.Sandbox
	after.Sandbox = &box
	change(&after)
	if err := checkVariables(after.Sandbox.Variables); err != nil {
		return core.Project{}, err
	}
	if err := s.takes(ctx, of, after); err != nil {
		return core.Project{}, err
	}
	return s.change(ctx, by, project, name, "sandbox.set", func(tx core.Tx, p *core.Project) (map[string]string, error) {
		if !p.Sandbox.Ending.IsZero() {
			return nil, core.Errorf(core.Conflict, "%s is being destroyed", name)
		}
		change(p)
		release, err := tx.LatestRelease(p.Name)
		if err == nil && release.Invalid == "" {
			_, err = projects.AddOne(tx, release, core.Rollout{Kind: core.RolloutPromotion, By: by, Manual: true}, name)
		}
		if core.CodeOf(err) == core.NotFound {
			err = nil // no commit yet
		}
		return map[string]string{"set": strings.Join(slices.Sorted(maps.Keys(set)), " "), "unset": strings.Join(forget, " ")}, err
	})
}

// takes checks that the newest commit of a sandbox holds with its variables.
func (s *Service) takes(ctx context.Context, of, p core.Project) error {
	var release core.Release
	err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		release, err = tx.LatestRelease(p.Name)
		return err
	})
	if core.CodeOf(err) == core.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	cfg, err := s.Wanted.Config(ctx, of, release.Commit)
	if err != nil {
		return err
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

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
