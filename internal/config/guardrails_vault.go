package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/terrace-cd/terrace/internal/core"
)

// Vault is where the server reads secrets of environments from, and which.
type Vault struct {
	Name string
	core.Reach
	Address, Namespace, CA string
	AppRole                bool // else a token
	Mount                  string

	paths hclsyntax.Expression
	ctx   *hcl.EvalContext
}

// VaultOf returns the vault of that name, for an environment of a project. NotFound when the
// guardrails have none, or not for it.
func (g *Guardrails) VaultOf(name, project, environment string) (Vault, error) {
	for _, v := range g.Vaults {
		if v.Name != name {
			continue
		}
		if !v.Covers(project, environment) {
			return Vault{}, core.Errorf(core.NotFound, "the guardrails do not let %s of %s read the vault %q: an administrator adds it to projects and environments there", environment, project, name)
		}
		return v, nil
	}
	return Vault{}, core.Errorf(core.NotFound, "the guardrails have no vault %q: an administrator adds a vault block (terrace guardrails set FILE)", name)
}

// Allows reports whether a path may be read for an environment of a project.
func (v Vault) Allows(path, project, environment string) bool {
	patterns, diags := v.patterns(project, environment)
	return !diags.HasErrors() && slices.ContainsFunc(patterns, func(p string) bool { return core.Matches(p, path) })
}

// patterns evaluates what may be read, for one place.
func (v Vault) patterns(project, environment string) ([]string, hcl.Diagnostics) {
	ctx := v.ctx.NewChild()
	named := func(name string) cty.Value { return cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(name)}) }
	ctx.Variables = map[string]cty.Value{"project": named(project), "environment": named(environment)}
	list, diags := evaluate(v.paths, ctx)
	if diags.HasErrors() {
		return nil, explain(diags, v.paths, ctx)
	}
	list, err := convert.Convert(list, cty.List(cty.String))
	if err != nil || list.IsNull() || !list.IsWhollyKnown() {
		return nil, hcl.Diagnostics{diagnostic(hcl.DiagError, v.paths.Range(), `"paths" has the wrong type`, "A list of patterns is needed.")}
	}
	return texts(itemsOf(list, v.paths)), nil
}

func (l *guardLoad) vaults(top body) {
	seen := map[string]*hclsyntax.Block{}
	for _, block := range top.blocks["vault"] {
		b := l.read(block.Body, guardedVaultSchema, block.DefRange())
		v := Vault{Reach: l.reach(b), Address: l.text(b, "address", "", l.ctx), Namespace: l.text(b, "namespace", "", l.ctx), CA: l.text(b, "ca", "", l.ctx),
			AppRole: l.text(b, "auth", "token", l.ctx) == "approle", Mount: l.text(b, "mount", "approle", l.ctx), paths: b.expr("paths"), ctx: l.ctx}
		if !l.name("vault", block) || !l.unique("vault", "vaults", block, seen) {
			continue
		}
		v.Name = block.Labels[0]
		for _, other := range l.g.Vaults {
			if core.VaultCredential(other.Name, "") == core.VaultCredential(v.Name, "") {
				l.error(block.LabelRanges[0], fmt.Sprintf("%q and %q are too much alike", v.Name, other.Name), "Their credentials would be stored under one name, and go to both. Rename one of them.")
			}
		}
		if err := checkVaultAddress(v.Address); v.Address != "" && err != nil {
			l.error(b.rangeOf("address"), fmt.Sprintf("%q cannot be the address of a vault", v.Address), err.Error()+".")
		}
		if core.CheckVaultPath("mount/"+v.Mount) != nil {
			l.error(b.rangeOf("mount"), fmt.Sprintf("%q is not the path of an auth method", v.Mount), "Write it without auth/, for example \"approle\".")
		}
		if strings.ContainsAny(v.Namespace, "\r\n") {
			l.error(b.rangeOf("namespace"), "A namespace is one line", "Write it as the vault shows it, for example \"team-a\".")
		}
		l.vaultPaths(b, v)
		l.g.Vaults = append(l.g.Vaults, v)
	}
}

// vaultPaths tries what may be read with names that could be anybody's.
func (l *guardLoad) vaultPaths(b body, v Vault) {
	if v.paths == nil {
		return
	}
	before := len(l.diags)
	l.references(v.paths, "paths", seesPlace)
	if len(l.diags) > before {
		return
	}
	patterns, diags := v.patterns("project", "environment")
	l.diags = append(l.diags, diags...)
	if len(patterns) == 0 && !diags.HasErrors() {
		l.error(b.rangeOf("paths"), `"paths" is empty`, "Nothing could be read. Name a path, or remove the vault.")
	}
	for i, p := range patterns {
		if first, rest, _ := strings.Cut(p, "/"); strings.Contains(first, "*") || rest == "" {
			l.error(element(v.paths, i).Range(), fmt.Sprintf("%q reaches too far", p), "Begin with a mount, without *: \"kv/data/${project.name}/${environment.name}/*\".")
		}
	}
}

// checkVaultAddress refuses an address that would send tokens where others can read them.
func checkVaultAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return errors.New("an address is https://HOST or https://HOST:PORT, and nothing else")
	}
	loopback := u.Hostname() == "127.0.0.1" || u.Hostname() == "::1" || u.Hostname() == "localhost"
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return errors.New("tokens go there, so it has to be https:// (http:// on this machine alone)")
	}
	return nil
}
