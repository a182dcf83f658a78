package config

import (
	"maps"
	"slices"
	"time"

	"github.com/zclconf/go-cty/cty"
)

type beforeChangeBlock struct {
	body   body
	within time.Duration
}

// BeforeChange evaluates the before_change block of an instance with the outputs that it
// has; nil when it has no such block. Errors are those of Inputs.
func (c *Config) BeforeChange(stack, env string, s Scope, own map[string]cty.Value) (*Hook, error) {
	st, e, p, err := c.find(stack, env)
	if err != nil || st.Discovered || st.beforeChange == nil {
		return nil, err
	}
	outputs, err := c.upstream(st, e, s, st.uses)
	if err != nil {
		return nil, err
	}
	var ps problems
	mine := withNulls(own, p)
	ev := &evaluation{problems: &ps, where: instance(st, e), ctx: c.context(st, e, s, outputs, mine)}
	hook := &Hook{Command: ev.command(st.beforeChange.body), Within: st.beforeChange.within}
	seen := append(slices.Collect(maps.Values(outputs)), mine)
	return hook, c.failed(&ps, instance(st, e)+": its before_change cannot be evaluated", seen)
}
