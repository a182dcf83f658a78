package engine

import (
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"golang.org/x/mod/sumdb/dirhash"
)

// platform is how engines call the machine.
const platform = runtime.GOOS + "_" + runtime.GOARCH

// address is a provider's full name: HOST/NAMESPACE/TYPE.
type address string

func (a address) kind() string { return string(a[strings.LastIndexByte(string(a), '/')+1:]) }

// path is its place in a folder of providers.
func (a address) path(version string) string {
	return filepath.Join(filepath.FromSlash(string(a)), version, platform)
}

// builtin providers are a part of the engine.
func (a address) builtin() bool { return strings.HasPrefix(string(a), "terraform.io/builtin/") }

// addressOf is the full name of a source as required_providers has it ("" for none), for
// a local name. ok is false for what no engine accepts, or is better left to it.
func addressOf(engine, name, source string) (a address, ok bool) {
	if source == "" {
		if name == "terraform" {
			return "terraform.io/builtin/terraform", true
		}
		source = "hashicorp/" + name
	}
	host := "registry.opentofu.org"
	if engine == Terraform {
		host = "registry.terraform.io"
	}
	parts := strings.Split(strings.ToLower(source), "/")
	switch len(parts) {
	case 1:
		parts = []string{host, "hashicorp", parts[0]}
	case 2:
		parts = []string{host, parts[0], parts[1]}
	}
	if len(parts) != 3 || slices.ContainsFunc(parts, func(p string) bool { return !plainName(p) }) {
		return "", false
	}
	return address(strings.Join(parts, "/")), true
}

// plainName keeps names from being paths.
func plainName(s string) bool {
	return s != "" && s[0] != '.' && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.' && r != ':'
	})
}

// locked is a provider in the lock file.
type locked struct {
	version string
	hashes  []string
}

// has reports whether the lock allows a package with this hash, and whether it can tell:
// a lock that knows archives only cannot.
func (l locked) has(h1 string) (allowed, known bool) {
	for _, h := range l.hashes {
		if h == h1 {
			return true, true
		}
		known = known || strings.HasPrefix(h, "h1:")
	}
	return false, known
}

// readLock reads a lock file. nil means that there is none, or none that makes sense.
func readLock(data []byte) map[address]locked {
	f, diags := hclsyntax.ParseConfig(data, lockFile, hcl.InitialPos)
	if len(data) == 0 || diags.HasErrors() {
		return nil
	}
	body, ok := f.Body.(*hclsyntax.Body)
	if !ok {
		return nil
	}
	out := map[address]locked{}
	for _, b := range body.Blocks {
		if b.Type != "provider" || len(b.Labels) != 1 {
			continue
		}
		var l locked
		if a, ok := b.Body.Attributes["version"]; ok {
			l.version, _ = literal(a.Expr)
		}
		if a, ok := b.Body.Attributes["hashes"]; ok {
			items, _ := hcl.ExprList(a.Expr)
			for _, item := range items {
				if h, ok := literal(item); ok {
					l.hashes = append(l.hashes, h)
				}
			}
		}
		a, ok := addressOf(Tofu, "", b.Labels[0])
		if _, err := version.NewVersion(l.version); err == nil && ok && strings.Count(b.Labels[0], "/") == 2 {
			out[a] = l
		}
	}
	return out
}

// hashPackage is the engines' own hash of an unpacked package.
func hashPackage(dir string) (string, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	return dirhash.HashDir(dir, "", dirhash.Hash1)
}

// program is the executable of an unpacked package; "" when it is not clear which.
func program(dir string, a address) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	prefix, found := "terraform-provider-"+a.kind(), ""
	for _, e := range entries {
		if name := e.Name(); name == prefix || strings.HasPrefix(name, prefix+"_") {
			if found != "" {
				return ""
			}
			found = filepath.Join(dir, name)
		}
	}
	if found == "" || !executable(found) {
		return ""
	}
	return found
}

// offered returns the newest version of a provider in a mirror, as a folder or an
// archive, that satisfies the constraints; "" when there is none.
func offered(mirror string, a address, constraints []string) string {
	dir := filepath.Join(mirror, filepath.FromSlash(string(a)))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	var wanted []version.Constraints
	for _, c := range constraints {
		parsed, err := version.NewConstraint(c)
		if err != nil {
			return ""
		}
		wanted = append(wanted, parsed)
	}
	found := map[string]*version.Version{}
	for _, e := range entries {
		name := e.Name()
		if zip, ok := strings.CutSuffix(name, "_"+platform+".zip"); ok {
			name = strings.TrimPrefix(zip, "terraform-provider-"+a.kind()+"_")
		} else if info, err := os.Stat(filepath.Join(dir, name, platform)); err != nil || !info.IsDir() {
			continue
		}
		v, err := version.NewVersion(name)
		if err == nil && !slices.ContainsFunc(wanted, func(c version.Constraints) bool { return !c.Check(v) }) {
			found[name] = v
		}
	}
	if len(found) == 0 {
		return ""
	}
	return slices.MaxFunc(slices.Collect(maps.Keys(found)), func(x, y string) int { return found[x].Compare(found[y]) })
}
