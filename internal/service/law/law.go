// Package law collects what judges a change: the configuration of the release that
// enters, that of the release which is there now, and the guardrails. Each is a source; no
// source weakens another, the strictest wins (rule 28).
package law

import (
	"fmt"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/promotion"
)

// Source is what one configuration says of an environment.
type Source struct {
	// From is where it is written, for people: "terrace.hcl of release 12".
	From string
	// Environment is empty but for its name when the source does not know it.
	Environment config.Environment
	// Stacks is what it says of stacks, by name.
	Stacks map[string]config.Stack
}

// Law is every source that judges an environment. A later source decides where two can
// never both be met, so the one of the release that is there comes last.
type Law struct{ Sources []Source }

// Of reads what a configuration says of an environment.
func Of(cfg *config.Config, environment, from string) Source {
	s := Source{From: from, Environment: config.Environment{Name: environment}, Stacks: map[string]config.Stack{}}
	for _, e := range cfg.Environments {
		if e.Name == environment {
			s.Environment = e
		}
	}
	for _, stack := range cfg.Stacks {
		s.Stacks[stack.Name] = stack
	}
	return s
}

// Entering is how the source of a release that enters is called.
func Entering(r core.Release) string {
	return fmt.Sprintf("%s of release %d", config.FileName, r.Number)
}

// There is how the source of the release that is there now is called.
func There(r core.Release) string {
	return fmt.Sprintf("%s of release %d, which is there now", config.FileName, r.Number)
}

// Windows are those of every source, all of which have to be open (rule 24).
func (l Law) Windows() []promotion.Windows {
	var out []promotion.Windows
	for _, s := range l.Sources {
		var windows promotion.Windows
		for _, w := range s.Environment.Windows {
			windows = append(windows, promotion.Window{Days: w.Days, From: w.From, To: w.To, Zone: w.Zone})
		}
		out = append(out, windows)
	}
	return out
}

// Protection is what the sources say of a stack; one that does not know it says nothing
// (rules 13 and 14).
func (l Law) Protection(stack string) []guard.Rules {
	var out []guard.Rules
	for _, s := range l.Sources {
		if st, ok := s.Stacks[stack]; ok {
			out = append(out, guard.Rules{From: s.From, Immutable: st.Immutable, Stateful: st.Stateful, ZeroDowntime: st.ZeroDowntime})
		}
	}
	return out
}
