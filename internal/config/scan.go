package config

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// survey is what terrace init learns of a repository by looking at it.
type survey struct {
	index        *index
	roots        []rootModule
	environments []string            // named by folders or var files, in promotion order
	varFiles     map[string][]string // pattern with {env} → environments that have it
	terraform    bool                // lock files name providers of Terraform's registry only
}

// rootModule is a folder that is applied by itself.
type rootModule struct {
	dir         string
	module      *module
	backend     string // type of its own backend, "" when it has none
	remoteState hcl.Range
}

// knownEnvironments are names that mean an environment, in the order in which changes
// usually go through them.
var knownEnvironments = []string{"dev", "develop", "development", "test", "testing", "int", "integration", "qa", "uat", "stage", "staging", "stg", "preprod", "pre-production", "prod", "production", "prd"}

var surveySchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "terraform"}, {Type: "module", LabelNames: []string{"name"}}, {Type: "data", LabelNames: []string{"type", "name"}}}}
var settingsSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "backend", LabelNames: []string{"type"}}, {Type: "cloud"}}}
var callSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "source"}}}

// look surveys a tree.
func look(tree Tree) (*survey, error) {
	ix, err := newIndex(tree, "tofu")
	if err != nil {
		return nil, err
	}
	s := &survey{index: ix, varFiles: map[string][]string{}}
	called := map[string]bool{}
	var all []rootModule
	for _, dir := range ix.dirs {
		m, calls, err := lookAt(tree, dir, ix.modules[dir])
		if err != nil {
			return nil, err
		}
		for _, c := range calls {
			called[c] = true
		}
		all = append(all, m)
	}
	for _, m := range all {
		if m.backend != "" || !called[m.dir] && !isLibrary(m.dir) {
			s.roots = append(s.roots, m)
		}
	}
	s.findEnvironments()
	s.readLocks(tree)
	return s, nil
}

// isLibrary recognises folders that hold modules for others, examples and tests.
func isLibrary(dir string) bool {
	for part := range strings.SplitSeq(dir, "/") {
		if slices.Contains([]string{"modules", "module", "examples", "example", "tests", "test", "fixtures", "testdata"}, part) {
			return true
		}
	}
	return false
}

func lookAt(tree Tree, dir string, names []string) (m rootModule, calls []string, err error) {
	m.dir = dir
	sources := make([]source, 0, len(names))
	for _, name := range names {
		src, err := tree.ReadFile(path.Join(dir, name))
		if err != nil {
			return m, nil, err
		}
		sources = append(sources, source{name, src})
		file, _ := parse(path.Join(dir, name), src)
		if file == nil {
			continue
		}
		content, _, _ := file.Body.PartialContent(surveySchema)
		for _, block := range content.Blocks {
			switch block.Type {
			case "terraform":
				inner, _, _ := block.Body.PartialContent(settingsSchema)
				for _, b := range inner.Blocks {
					m.backend = b.Type
					if len(b.Labels) > 0 {
						m.backend = b.Labels[0]
					}
				}
			case "module":
				inner, _, _ := block.Body.PartialContent(callSchema)
				if a := inner.Attributes["source"]; a != nil {
					if v, diags := evaluate(a.Expr, nil); !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() && strings.HasPrefix(v.AsString(), ".") {
						calls = append(calls, path.Join(dir, v.AsString()))
					}
				}
			case "data":
				if block.Labels[0] == "terraform_remote_state" && m.remoteState.Filename == "" {
					m.remoteState = block.DefRange
				}
			}
		}
	}
	m.module = parseModule(sources)
	return m, calls, nil
}

// findEnvironments looks for environments in the names of folders of root modules and
// of var files.
func (s *survey) findEnvironments() {
	found := map[string]bool{}
	for _, r := range s.roots {
		if _, env := splitEnvironment(r.dir); env != "" {
			found[env] = true
		}
	}
	for _, f := range s.index.files {
		stem, ext := f, ""
		for _, e := range []string{".tfvars", ".tfvars.json"} {
			if rest, ok := strings.CutSuffix(f, e); ok {
				stem, ext = rest, e
			}
		}
		if ext == "" || strings.HasPrefix(path.Base(f), ".") {
			continue
		}
		pattern, env := splitEnvironment(stem)
		if env == "" {
			continue
		}
		found[env] = true
		s.varFiles[pattern+ext] = append(s.varFiles[pattern+ext], env)
	}
	for _, name := range knownEnvironments {
		if found[name] {
			s.environments = append(s.environments, name)
		}
	}
}

const environmentHole = "{env}"

// splitEnvironment finds the last part of a path that is the name of an environment
// and returns the path with a hole in its place.
func splitEnvironment(p string) (pattern, env string) {
	parts := strings.Split(p, "/")
	for i, part := range slices.Backward(parts) {
		if slices.Contains(knownEnvironments, part) {
			parts[i] = environmentHole
			return strings.Join(parts, "/"), part
		}
		// web.dev.tfvars, web-dev.tfvars
		for _, sep := range []string{".", "-", "_"} {
			if j := strings.LastIndex(part, sep); j > 0 && i == len(parts)-1 && slices.Contains(knownEnvironments, part[j+1:]) {
				parts[i] = part[:j+1] + environmentHole
				return strings.Join(parts, "/"), part[j+1:]
			}
		}
	}
	return p, ""
}

func (s *survey) readLocks(tree Tree) {
	terraform, opentofu := false, false
	for _, f := range s.index.files {
		switch {
		case path.Base(f) == ".terraform.lock.hcl":
			if src, err := tree.ReadFile(f); err == nil {
				terraform = terraform || strings.Contains(string(src), `"registry.terraform.io/`)
				opentofu = opentofu || strings.Contains(string(src), `"registry.opentofu.org/`)
			}
		case strings.HasSuffix(f, ".tofu"), strings.HasSuffix(f, ".tofu.json"):
			opentofu = true
		}
	}
	s.terraform = terraform && !opentofu
}

// globs describes the root modules with as few globs as can be, and lists those that
// no glob can tell apart from modules that others use.
func (s *survey) globs(dirs []string) []string {
	byParent := map[string][]string{}
	for _, d := range dirs {
		byParent[path.Dir(d)] = append(byParent[path.Dir(d)], d)
	}
	var out []string
	for _, parent := range sortedKeys(byParent) {
		mine := byParent[parent]
		siblings := 0
		for _, d := range s.index.dirs {
			if path.Dir(d) == parent && d != "." {
				siblings++
			}
		}
		if siblings == len(mine) && parent != "." {
			out = append(out, parent+"/*")
			continue
		}
		out = append(out, mine...)
	}
	return out
}

// needs lists the variables of a root module that have no default.
func (m rootModule) needs() []string {
	var out []string
	for _, name := range m.module.names {
		if m.module.variables[name].required {
			out = append(out, name)
		}
	}
	return out
}

func (m rootModule) remoteStateAt() string {
	return fmt.Sprintf("%s:%d", m.remoteState.Filename, m.remoteState.Start.Line)
}
