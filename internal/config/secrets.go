package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/sops"
)

// Names of secrets become environment variables of the engine; some of those decide
// what is executed, or belong to Terrace.
var (
	secretRE         = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	reservedRE       = regexp.MustCompile(`^(PATH|HOME|SHELL|IFS|ENV|BASH_ENV|PWD|TMPDIR|LD_.*|DYLD_.*|GIT_.*|PYTHON.*|ANSIBLE_CONFIG|TERRACE_.*|SOPS_.*|TF_(CLI_.*|DATA_DIR|WORKSPACE|REATTACH_PROVIDERS|HTTP_.*|LOG.*|PLUGIN_.*|IN_AUTOMATION|INPUT))$`)
	secretIsReserved = "This environment variable is set by Terrace or decides which programs run. Choose another name."
)

func (l *load) secrets(b body) []item {
	items := l.list(b, "secrets", l.ctx)
	for _, it := range items {
		l.secretName(it)
	}
	return items
}

func (l *load) secretName(it item) {
	switch {
	case !secretRE.MatchString(it.text):
		l.error(it.rng, fmt.Sprintf("Invalid name of a secret %q", it.text), "It becomes an environment variable: use letters, digits and _, not starting with a digit, for example CLOUD_TOKEN. The value is set with terrace secret set and never written here.")
	case core.IsServerSecret(it.text):
		l.error(it.rng, fmt.Sprintf("%q is for the server alone", it.text), "With it the server opens the secrets of the environment. No run gets it.")
	case reservedRE.MatchString(it.text):
		l.error(it.rng, fmt.Sprintf("Reserved name of a secret %q", it.text), secretIsReserved)
	}
}

// sopsBlock is a sops block, whose file is looked for when the files are known.
type sopsBlock struct {
	body body
	keys map[string]item // by secret
}

// secretsElsewhere reads the sops and vault blocks of an environment, beside the secrets that
// the server keeps.
func (l *load) secretsElsewhere(e *environment, kept []item) {
	places := map[string]hcl.Range{}
	for _, it := range kept {
		places[it.text] = it.rng
	}
	add := func(name string, rng hcl.Range) bool {
		l.secretName(item{name, rng})
		if first, twice := places[name]; twice {
			l.error(rng, fmt.Sprintf("Two places for the secret %s", name), fmt.Sprintf("The first is in line %d. A secret is kept in one place; remove one of them.", first.Start.Line))
			return false
		}
		places[name] = rng
		e.Secrets = append(e.Secrets, name)
		return true
	}
	for _, block := range e.body.blocks["sops"] {
		b := l.read(block.Body, sopsSchema, block.DefRange())
		s := sopsBlock{body: b, keys: map[string]item{}}
		for name, key := range l.keysOf(b) {
			if add(name, key.rng) {
				s.keys[name] = key
			}
		}
		e.sops = append(e.sops, s)
	}
	for _, block := range e.body.blocks["vault"] {
		if !l.name("vault", block) {
			continue
		}
		b := l.read(block.Body, vaultSchema, block.DefRange())
		for name, where := range l.wheres(b, e) {
			if !add(name, where.rng) {
				continue
			}
			path, key, ok := strings.Cut(where.text, "#")
			if err := core.CheckVaultPath(path); err != nil || !ok || key == "" {
				detail := "Write PATH#KEY, for example \"kv/data/shop/production#password\"."
				if err != nil {
					detail = fmt.Sprintf("%s. %s", core.MessageOf(err), detail)
				}
				l.error(where.rng, fmt.Sprintf("%q is no place in a vault", where.text), detail)
				continue
			}
			e.from(name, SecretFrom{Vault: block.Labels[0], Path: path, Key: key})
		}
	}
	slices.Sort(e.Secrets[len(kept):])
}

func (e *environment) from(name string, f SecretFrom) {
	if e.From == nil {
		e.From = map[string]SecretFrom{}
	}
	e.From[name] = f
}

// keysOf reads which secrets are in a file, and where in it.
func (l *load) keysOf(b body) map[string]item {
	expr := b.expr("secrets")
	if expr == nil {
		return nil
	}
	if _, ok := expr.(*hclsyntax.ObjectConsExpr); !ok {
		out := map[string]item{}
		for _, it := range l.list(b, "secrets", l.ctx) {
			out[it.text] = it
		}
		return out
	}
	v, ok := l.plain(b, "secrets", cty.Map(cty.String), l.ctx)
	if !ok {
		return nil
	}
	return l.textsOf(v, expr)
}

// wheres reads the places of secrets in a vault.
func (l *load) wheres(b body, e *environment) map[string]item {
	expr := b.expr("secrets")
	if expr == nil {
		return nil
	}
	before := len(l.diags)
	l.references(expr, "secrets", seesEnvironment)
	if len(l.diags) > before {
		return nil
	}
	ctx := l.ctx.NewChild()
	ctx.Variables = map[string]cty.Value{"environment": cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(e.Name), "variables": cty.EmptyObjectVal})}
	v, diags := evaluate(expr, ctx)
	if diags.HasErrors() {
		l.diags = append(l.diags, explain(diags, expr, ctx)...)
		return nil
	}
	if v, ok := l.convert(v, cty.Map(cty.String), expr.Range(), "secrets", b.schema.attr("secrets")); ok {
		return l.textsOf(v, expr)
	}
	return nil
}

// textsOf pairs the texts of a known object with their places.
func (l *load) textsOf(v cty.Value, expr hclsyntax.Expression) map[string]item {
	l.items(expr, map[string]hcl.Range{})
	out := map[string]item{}
	for name, e := range v.AsValueMap() {
		it := item{rng: attribute(expr, name).Range()}
		if !e.IsNull() {
			it.text = e.AsString()
		}
		out[name] = it
	}
	return out
}

// secretFiles looks for the encrypted files of every environment, and for the names of values
// in them, which are not encrypted.
func (l *load) secretFiles() {
	for _, e := range l.envs {
		ev := &evaluation{problems: &l.problems, where: "environment " + e.Name, ctx: l.context(e)}
		for _, s := range e.sops {
			if expr := s.body.expr("file"); expr != nil {
				l.references(expr, "file", seesEnvironment)
			}
			it, ok := ev.text(s.body, "file")
			if !ok {
				continue
			}
			name, ok := l.existing(ev.where, it, "file", "encrypted file")
			if !ok {
				continue
			}
			l.secretFile(e, s, it, name)
		}
	}
}

func (l *load) secretFile(e *environment, s sopsBlock, at item, name string) {
	where := "environment " + e.Name
	content, err := l.tree.ReadFile(name)
	if err != nil {
		l.at(where, hcl.DiagError, at.rng, fmt.Sprintf("%s cannot be read", name), err.Error(), "")
		return
	}
	file, err := sops.Parse(name, content)
	if err != nil {
		l.at(where, hcl.DiagError, at.rng, "An encrypted file that cannot be used", core.MessageOf(err)+".", "")
		return
	}
	sum := sha256.Sum256(content)
	if e.files == nil {
		e.files = map[string]string{}
	}
	e.files[name] = hex.EncodeToString(sum[:])
	keys := file.Keys()
	for _, secret := range sortedKeys(s.keys) {
		key := s.keys[secret]
		if _, found := slices.BinarySearch(keys, key.text); !found {
			l.at(where, hcl.DiagError, key.rng, fmt.Sprintf("%s has no value %q", name, key.text), fmt.Sprintf("It has %s.%s", orNone(listed(keys, 12)), didYouMean(key.text, keys)), "")
			continue
		}
		e.from(secret, SecretFrom{File: name, Key: key.text})
	}
}

// SecretFiles are the encrypted files of an environment's secrets, with digests of their
// contents.
func (c *Config) SecretFiles(env string) map[string]string {
	if e := c.envs[env]; e != nil {
		return maps.Clone(e.files)
	}
	return nil
}

// SecretFile reads an encrypted file of SecretFiles.
func (c *Config) SecretFile(name string) (*sops.File, error) {
	content, err := c.tree.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return sops.Parse(name, content)
}

// secretsFrom describes where secrets are that the server does not keep, for the digest of
// settings.
func (e *environment) secretsFrom() map[string]string {
	var out map[string]string
	for name, f := range e.From {
		if out == nil {
			out = map[string]string{}
		}
		out[name] = f.String()
	}
	return out
}

// String says where it is, for people.
func (f SecretFrom) String() string {
	if f.Vault != "" {
		return fmt.Sprintf("vault %s, %s#%s", f.Vault, f.Path, f.Key)
	}
	return fmt.Sprintf("%s, %s", f.File, f.Key)
}
