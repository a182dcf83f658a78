package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// settings are what terrace.hcl says of an instance beside its variables: how its
// state is kept, which secrets it gets, and what follows its apply. Rules that judge a
// plan (immutable, stateful, approvals) are left out: changing them is no reason to
// run.
type settings struct {
	State    string                     `json:"state"`
	Backend  map[string]json.RawMessage `json:"backend,omitempty"`
	Secrets  []string                   `json:"secrets,omitempty"`
	From     map[string]string          `json:"secrets_from,omitempty"`
	VarFiles []string                   `json:"var_files,omitempty"`
	Playbook string                     `json:"playbook,omitempty"`
	After    []string                   `json:"after,omitempty"`
	Values   map[string]string          `json:"values,omitempty"`
}

// InstanceDigest identifies the settings of an instance that are in no other part of
// its input digest. Comments and layout do not change it. It is "" for an instance
// that does not exist.
func (c *Config) InstanceDigest(stack, env string) string {
	st, e, p, err := c.find(stack, env)
	if err != nil {
		return ""
	}
	s := settings{State: c.Project.State, Backend: c.backend(st, e), Secrets: e.Secrets, From: e.secretsFrom(), VarFiles: p.instance.VarFiles, Playbook: p.instance.Playbook}
	if !st.Discovered {
		c.afterSettings(&s, st, e, p)
	}
	b, err := json.Marshal(s)
	if err != nil {
		return "" // strings always marshal
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// noReason are arguments of ansible that decide how it runs, or what is shown, and not what is
// to be done: changing them is no reason to run. check is among the others only because it
// always was.
var noReason = []string{"optional", "bastion", "mitogen", "twice"}

func (c *Config) afterSettings(s *settings, st *stack, e *environment, p *place) {
	if st.ansible == nil && len(st.verify) == 0 {
		return
	}
	s.Values = map[string]string{}
	fns := functions(c.tree, c.root, func(name string, content []byte) {
		sum := sha256.Sum256(content)
		s.Values["file "+name] = hex.EncodeToString(sum[:])
	})
	unknown := map[string]cty.Value{}
	for _, name := range st.dependsOn {
		unknown[name] = cty.DynamicVal
	}
	ctx := scoped(&hcl.EvalContext{Functions: fns}, e, unknownRelease, noSandbox, unknown, st.imageValues(unknownImage), cty.DynamicVal)
	ctx.Variables["self"], ctx.Variables["resource"] = cty.DynamicVal, cty.DynamicVal
	add := func(b body, labels ...string) {
		s.After = append(s.After, b.schema.Type+" "+strings.Join(labels, " "))
		for i := range b.schema.Attrs {
			name := b.schema.Attrs[i].Name
			expr := b.expr(name)
			if expr == nil || slices.Contains(noReason, name) {
				continue
			}
			s.After = append(s.After, name+" = "+tokens(b.source, expr.Range()))
			// For what it reads; its value depends on outputs.
			_, _ = evaluate(expr, ctx)
			for _, t := range expr.Variables() {
				if t.RootName() != "environment" {
					continue
				}
				if v, diags := t.TraverseAbs(ctx); !diags.HasErrors() {
					if b, err := marshal(v); err == nil {
						s.Values[traversalText(t)] = string(b)
					}
				}
			}
		}
	}
	if st.ansible != nil {
		add(st.ansible.body)
		for _, b := range st.ansible.blocks {
			add(b.body, b.selects)
		}
	}
	for _, v := range st.verify {
		add(v.body, v.known.Kind)
	}
}

func traversalText(t hcl.Traversal) string {
	var b strings.Builder
	b.WriteString(t.RootName())
	for i := 1; i < len(t); i++ {
		b.WriteString("." + nameAt(t, i))
	}
	return b.String()
}

// tokens is the source of an expression without comments and layout.
func tokens(src []byte, rng hcl.Range) string {
	if !rng.CanSliceBytes(src) {
		return ""
	}
	list, _ := hclsyntax.LexExpression(rng.SliceBytes(src), rng.Filename, hcl.InitialPos)
	var b strings.Builder
	for _, t := range list {
		if t.Type == hclsyntax.TokenComment || t.Type == hclsyntax.TokenNewline || t.Type == hclsyntax.TokenEOF {
			continue
		}
		b.Write(t.Bytes)
		b.WriteByte(' ')
	}
	return b.String()
}
