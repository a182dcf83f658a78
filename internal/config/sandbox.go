package config

import (
	"encoding/json"
	"slices"

	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/core"
)

// InSandbox returns the configuration as a sandbox has it: one environment, the base's under
// the sandbox's name, with the variables that the base has and the stacks that are in the
// sandbox. What the repository is read by, paths and var files, is the base's. What keeps
// people's hands off an environment is gone: approvals, windows, freezes, limits, bakes,
// stateful addresses and backups. The name of the environment is the sandbox's everywhere
// else. Errors: Invalid when the base or a stack is not there.
func (c *Config) InSandbox(s core.Sandbox) (*Config, error) {
	base := c.envs[s.Base]
	if base == nil {
		return nil, core.Errorf(core.Invalid, "the base of the sandbox %s, environment %q, is not in this commit; it has %s", s.Name, s.Base, listed(c.environmentNames(), 12))
	}
	e := *base
	e.Environment = Environment{Name: s.Name, Queue: "newest", Rollback: "manual", Secrets: base.Secrets, From: base.From}
	e.after = nil
	if err := c.rename(&e); err != nil {
		return nil, err
	}
	c.give(&e, base, s)
	if e.Variables = cty.EmptyObjectVal; len(e.values) > 0 {
		e.Variables = cty.ObjectVal(e.values)
	}
	out := &Config{Project: c.Project, Environments: []Environment{e.Environment}, Images: c.Images, loaded: c.loaded}
	// A backend of the stack's own would be the base's.
	out.Project.Parity, out.Project.State = ParityRules{}, "terrace"
	out.envs = map[string]*environment{s.Name: &e}
	out.sandbox = &s
	for _, st := range c.Stacks {
		if !s.Has(st.Name) || !slices.Contains(st.Environments, s.Base) {
			continue
		}
		st.Environments, st.BeforeChange, st.Stateful = []string{s.Name}, false, nil
		out.Stacks = append(out.Stacks, st)
	}
	for _, name := range s.Stacks {
		st := c.stacks[name]
		if st == nil || st.place(base) == nil {
			return nil, core.Errorf(core.Invalid, "the sandbox %s is to have the stack %q, which is not in %s in this commit; there: %s", s.Name, name, s.Base, orNone(listed(c.stacksOf(s.Base), 12)))
		}
	}
	return out, nil
}

// stacksOf names the stacks of an environment.
func (c *Config) stacksOf(environment string) []string {
	var names []string
	for _, in := range c.Instances(environment) {
		names = append(names, in.Stack)
	}
	return names
}

// backend is what is said of a stack's own backend, which a sandbox does not use.
func (c *Config) backend(st *stack, e *environment) map[string]json.RawMessage {
	if c.sandbox != nil {
		return nil
	}
	return st.backends[e.index]
}
