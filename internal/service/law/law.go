// Package law collects what judges a change: the configuration of the release that
// enters, that of the release which is there now, and the guardrails. Each is a source; no
// source weakens another, the strictest wins (rule 28).
package law

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/promotion"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Source is what one configuration says of an environment.
type Source struct {
	// From is where it is written, for people: "terrace.hcl of release 12".
	From string
	// Environment is empty but for its name when the source does not know it.
	Environment config.Environment
	// Stacks is what it says of stacks, by name.
	Stacks map[string]config.Stack
	// Guarded is what it says of every stack that a pattern means.
	Guarded []config.GuardedStack
	// Parity is how it says that environments are compared. The guardrails go by their own
	// gate's rules alone: a repository could ignore everything.
	Parity config.ParityRules
	// Firm is set for the guardrails, which never give way.
	Firm bool
	// Config is all that it says, and Commit where that is written; neither for guardrails.
	Config *config.Config
	Commit string
	// Policies judge the plans made there.
	Policies []wire.Policy
	// Allow is what plans there may use, nil when the source does not limit it.
	Allow *wire.Allow
}

// Law is every source that judges an environment: the guardrails, which never give way, the
// release that enters and the one that is there, which decides where those two can never
// both be met.
type Law struct {
	Sources []Source
	// Guardrails is the digest of the guardrails, "" when there are none. Approvals are
	// bound to it (rule 11).
	Guardrails string
	// Rails are the guardrails themselves; never nil in a law of Under.
	Rails *config.Guardrails
}

// Under begins the law of an environment with what the guardrails say of it.
func Under(g *config.Guardrails, project, environment string) Law {
	l := Law{Guardrails: g.Digest, Rails: g}
	for _, e := range g.Environments {
		if e.Covers(project, environment) {
			here := e.Environment
			here.Name = environment
			l.Sources = append(l.Sources, Source{From: fmt.Sprintf("the guardrails (environment %q)", e.Pattern), Environment: here, Firm: true})
		}
	}
	for _, s := range g.Stacks {
		if s.Covers(project, environment) {
			l.Sources = append(l.Sources, Source{From: fmt.Sprintf("the guardrails (stack %q)", s.Pattern), Environment: config.Environment{Name: environment},
				Guarded: []config.GuardedStack{s}, Firm: true})
		}
	}
	l.Sources = append(l.Sources, uses(g, project, environment)...)
	return l
}

// For is Under in a project that may be a sandbox. That is judged by the policies and by what
// may be used that mean its base; what keeps hands off an environment is not for it.
func For(g *config.Guardrails, p core.Project, environment string) Law {
	if p.Sandbox == nil {
		return Under(g, p.Name, environment)
	}
	l := Law{Guardrails: g.Digest, Rails: g, Sources: uses(g, p.Sandbox.Of, p.Sandbox.Base)}
	for i := range l.Sources {
		l.Sources[i].Environment.Name = environment
	}
	return l
}

// Of reads what a configuration says of an environment.
func Of(cfg *config.Config, environment, from string) Source {
	s := Source{From: from, Environment: config.Environment{Name: environment}, Stacks: map[string]config.Stack{}, Config: cfg}
	for _, e := range cfg.Environments {
		if e.Name == environment {
			s.Environment = e
		}
	}
	s.Parity = cfg.Project.Parity
	for _, stack := range cfg.Stacks {
		s.Stacks[stack.Name] = stack
	}
	return s
}

// Entering is how the source of a release that enters is called.
func Entering(r core.Release) string {
	if r.Number == 0 {
		return config.FileName + " of this branch"
	}
	return fmt.Sprintf("%s of release %d", config.FileName, r.Number)
}

// There is how the source of the release that is there now is called.
func There(r core.Release) string {
	return fmt.Sprintf("%s of release %d, which is there now", config.FileName, r.Number)
}

// Windows are those of every source that has some, all of which have to be open (rule 24).
func (l Law) Windows() []promotion.Windows {
	var out []promotion.Windows
	for _, s := range l.Sources {
		var windows promotion.Windows
		for _, w := range s.Environment.Windows {
			windows = append(windows, promotion.Window{Days: w.Days, From: w.From, To: w.To, Zone: w.Zone, Firm: s.Firm})
		}
		if len(windows) > 0 {
			out = append(out, windows)
		}
	}
	return out
}

// Approvals are what the sources ask for, each to be met on its own (rule 11). Two that ask
// for the same are one.
func (l Law) Approvals() []promotion.Requirement {
	var out []promotion.Requirement
	for _, s := range l.Sources {
		a := s.Environment.Approval
		if a == nil {
			continue
		}
		r := promotion.Requirement{Source: s.From, Count: a.Count, From: a.From, Others: a.Others, Expires: a.Expires}
		if !slices.ContainsFunc(out, func(o promotion.Requirement) bool { o.Source = r.Source; return reflect.DeepEqual(o, r) }) {
			out = append(out, r)
		}
	}
	return out
}

// Freezes are those of every source and those that people set, as far as they are not over
// (rule 24): each of them closes.
func (l Law) Freezes(environment string, set []core.Freeze, now time.Time) []promotion.Freeze {
	var out []promotion.Freeze
	for _, f := range set {
		if f.Of(environment) && !f.Over(now) {
			out = append(out, promotion.Freeze{ID: f.ID, Everywhere: f.Environment == "", From: f.From, Until: f.Until, Zone: time.UTC, Reason: f.Reason, By: f.By})
		}
	}
	for _, s := range l.Sources {
		for _, f := range s.Environment.Freezes {
			known := func(o promotion.Freeze) bool {
				return o.ID == "" && o.From.Equal(f.From) && o.Until.Equal(f.To) && o.Reason == f.Reason
			}
			if now.Before(f.To) && !slices.ContainsFunc(out, known) {
				out = append(out, promotion.Freeze{From: f.From, Until: f.To, Zone: f.Zone, Reason: f.Reason, By: s.From})
			}
		}
	}
	return out
}

// Limits are those of every source; the strictest counts (rule 15).
func (l Law) Limits() []guard.Limit {
	var out []guard.Limit
	for _, s := range l.Sources {
		out = append(out, guard.Limit{From: s.From, MaxDestroy: s.Environment.MaxDestroy, MaxReplace: s.Environment.MaxReplace})
	}
	return out
}

// Parity is one source's demand that an environment be like another.
type Parity struct {
	From, With string
	AtLeast    float64
	Rules      config.ParityRules
}

// Parity are the demands of every source, each by rules of its own.
func (l Law) Parity() (all []Parity) {
	for _, s := range l.Sources {
		if g := s.Environment.Parity; g != nil {
			all = append(all, Parity{From: s.From, With: g.With, AtLeast: g.AtLeast, Rules: s.Parity.With(g.ParityRules)})
		}
	}
	return all
}

// Protection is what the sources say of a stack, under any of the names that it has or had;
// one that does not know it says nothing (rules 13 and 14).
func (l Law) Protection(names ...string) []guard.Rules {
	var out []guard.Rules
	add := func(from string, p config.Protection) {
		out = append(out, guard.Rules{From: from, Immutable: p.Immutable, Stateful: p.Stateful, ZeroDowntime: p.ZeroDowntime})
	}
	for _, s := range l.Sources {
		for _, name := range names {
			if st, ok := s.Stacks[name]; ok {
				add(s.From, st.Protection)
			}
			for _, g := range s.Guarded {
				if name != "" && core.Matches(g.Pattern, name) {
					add(s.From, g.Protection)
				}
			}
		}
	}
	return out
}
