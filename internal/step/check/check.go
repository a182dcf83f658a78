// Package check is the phase in which policies judge a plan, where the plan is: with its
// sensitive values. What leaves the phase is masked.
package check

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/plan"
	"github.com/terrace-cd/terrace/internal/policy"
	"github.com/terrace-cd/terrace/internal/redact"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Options of a check.
type Options struct {
	Policies []wire.Policy
	// Plan is the engine's JSON, About what policies are told beside it.
	Plan  []byte
	About wire.About
	// Mask learns what of the plan is sensitive.
	Mask *redact.Redactor
}

// Result is what policies said, and of which there is an answer.
type Result struct {
	Checks []wire.Check
	Judged []wire.Judged
}

// Run has every policy judge the plan. A policy that cannot be compiled or evaluated
// denies; an error means that the plan is not what it should be, or that ctx is over.
func Run(ctx context.Context, o Options) (Result, error) {
	var r Result
	if len(o.Policies) == 0 {
		return r, nil
	}
	decoded, err := policy.Decode(o.Plan)
	if err != nil {
		return r, err
	}
	o.Mask.Add(plan.Secrets(decoded)...)
	document, err := policy.NewDocument(decoded, o.About)
	if err != nil {
		return r, err
	}
	for _, p := range o.Policies {
		checks := policy.Judge(ctx, p, document)
		if ctx.Err() != nil {
			return r, context.Cause(ctx)
		}
		for i := range checks {
			mask(&checks[i], o.Mask.String)
		}
		checks = slices.DeleteFunc(checks, func(c wire.Check) bool { return said(r.Checks, c) })
		r.Checks = append(r.Checks, policy.Bound(checks)...)
		r.Judged = append(r.Judged, wire.Judged{Name: p.Name, From: p.From, Digest: policy.Digest(p)})
	}
	return r, nil
}

// said reports whether another release's policy has said the same of the same resource,
// wherever its rule is now: two releases have most of their policies in common.
func said(before []wire.Check, c wire.Check) bool {
	if c.Rule == "" {
		return false
	}
	return slices.ContainsFunc(before, func(b wire.Check) bool {
		return b.Name == c.Name && b.Rule == c.Rule && b.Verdict == c.Verdict && text(b) == text(c)
	})
}

// text is a message without where its rule is.
func text(c wire.Check) string {
	if at := strings.LastIndex(c.Message, " ("+c.Rule+" in "); at >= 0 {
		return c.Message[:at]
	}
	return c.Message
}

// mask masks whatever a policy's author can put into a verdict.
func mask(c *wire.Check, mask func(string) string) {
	c.Message, c.Resource = mask(c.Message), mask(c.Resource)
	if c.Details != nil {
		c.Details, _ = masked(c.Details, mask).(map[string]any) // what goes in comes out
	}
}

func masked(v any, mask func(string) string) any {
	switch v := v.(type) {
	case string:
		return mask(v)
	case json.Number: // a secret can be one
		if text := mask(v.String()); text != v.String() {
			return text
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, value := range v {
			out[mask(name)] = masked(value, mask)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = masked(value, mask)
		}
		return out
	}
	return v
}
