package likeness

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/parity"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Report is Compare for the API: of one stack when it is named.
func (s *Service) Report(ctx context.Context, project, a, b, stack string) (wire.Parity, error) {
	r, err := s.Compare(ctx, project, a, b)
	if err != nil {
		return wire.Parity{}, err
	}
	if stack == "" {
		return convert(project, r), nil
	}
	for _, p := range r.Instances {
		if p.Stack == stack {
			return convert(project, parity.Report{A: r.A, B: r.B, Instances: []parity.Pair{p}, Total: p.Total}), nil
		}
	}
	return wire.Parity{}, core.Errorf(core.NotFound, "neither %s nor %s has a stack %s", a, b, stack)
}

func convert(project string, r parity.Report) wire.Parity {
	out := wire.Parity{Project: project, A: r.A, B: r.B, Resources: r.Resources, Attributes: r.Attributes, Declared: r.Declared, Undeclared: r.Undeclared,
		Instances: []wire.ParityInstance{}}
	if n, ok := r.Number(); ok {
		out.Number = &n
	}
	for _, p := range r.Instances {
		in := wire.ParityInstance{Stack: p.Stack, A: stateOf(p.A), B: stateOf(p.B), NotCompared: p.NotCompared, Resources: p.Resources, Attributes: p.Attributes,
			Declared: p.Declared, Undeclared: p.Undeclared, Differences: []wire.ParityChange{}}
		for _, d := range p.Differences {
			in.Differences = append(in.Differences, wire.ParityChange{Kind: string(d.Kind), Address: d.Address, Path: d.Path, Declared: d.Declared, Because: d.Because,
				Sensitive: d.Sensitive, A: raw(d.A), B: raw(d.B)})
		}
		out.Instances = append(out.Instances, in)
	}
	return out
}

func stateOf(s *parity.State) *wire.ParityState {
	if s == nil {
		return nil
	}
	out := &wire.ParityState{Release: wire.Release{Number: s.Release.Number, Commit: s.Release.Commit}, SeenBy: s.SeenBy, NoCode: s.NoCode,
		Engine: strings.TrimSpace(s.Engine.Name + " " + s.Engine.Number), Providers: map[string]string{}}
	for name, v := range s.Providers {
		out.Providers[name] = v.Number
	}
	return out
}

// longest is the most of one value that is told, in bytes: scripts and policies are attributes too.
const longest = 4 << 10

// raw writes a value; nil is nothing.
func raw(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	if s, ok := v.(string); ok && len(s) > longest {
		v = strings.ToValidUTF8(s[:longest], "") + "…"
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return nil // what was read from JSON can be written
	}
	return bytes.TrimSpace(b.Bytes())
}
