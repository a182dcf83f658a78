package config

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"

	"github.com/terrace-cd/terrace/internal/core"
)

// index answers questions about the files of a tree.
type index struct {
	files   []string            // sorted
	modules map[string][]string // folder → names of the files that the engine reads there, sorted
	dirs    []string            // keys of modules, sorted
	auto    map[string][]string // folder → var files that the engine reads by itself, the last one wins
}

func newIndex(tree Tree, engine string) (*index, error) {
	files, err := tree.Files()
	if err != nil {
		return nil, err
	}
	if !slices.IsSorted(files) {
		files = slices.Sorted(slices.Values(files))
	}
	ix := &index{files: files, modules: map[string][]string{}, auto: map[string][]string{}}
	for _, f := range files {
		dir, name := path.Split(f)
		if isAutomatic(name) {
			ix.auto[path.Clean(dir)] = append(ix.auto[path.Clean(dir)], name)
			continue
		}
		if _, ok := moduleStem(name, engine); !ok || strings.Contains(dir, ".terraform/") {
			continue
		}
		dir = path.Clean(dir)
		if ix.modules[dir] == nil {
			ix.dirs = append(ix.dirs, dir)
		}
		ix.modules[dir] = append(ix.modules[dir], name)
	}
	slices.Sort(ix.dirs)
	for dir, names := range ix.modules {
		ix.modules[dir] = effective(names, engine)
	}
	for _, names := range ix.auto {
		// terraform.tfvars comes before the others, whatever they are called.
		slices.SortStableFunc(names, func(a, b string) int {
			return compareBool(!strings.HasPrefix(a, "terraform.tfvars"), !strings.HasPrefix(b, "terraform.tfvars"))
		})
	}
	return ix, nil
}

func isAutomatic(name string) bool {
	return name == "terraform.tfvars" || name == "terraform.tfvars.json" || strings.HasSuffix(name, ".auto.tfvars") || strings.HasSuffix(name, ".auto.tfvars.json")
}

func (ix *index) hasFile(name string) bool {
	_, ok := slices.BinarySearch(ix.files, name)
	return ok
}

func (ix *index) hasDir(name string) bool {
	if name == "." {
		return true
	}
	i, _ := slices.BinarySearch(ix.files, name+"/")
	return i < len(ix.files) && strings.HasPrefix(ix.files[i], name+"/")
}

// near suggests a file or folder like name: the one in the same folder whose name is
// close, or the same name elsewhere.
func near(name string, candidates []string) string {
	dir, base := path.Split(name)
	var siblings []string
	for _, c := range candidates {
		if strings.HasPrefix(c, dir) && !strings.Contains(c[len(dir):], "/") {
			siblings = append(siblings, c[len(dir):])
		}
	}
	if s := Closest(base, siblings); s != "" {
		return fmt.Sprintf(" Did you mean %q?", dir+s)
	}
	for _, c := range candidates {
		if path.Base(c) == base && c != name {
			return fmt.Sprintf(" Did you mean %q?", c)
		}
	}
	return ""
}

// moduleStem returns the name without its extension when the engine reads the file.
func moduleStem(name, engine string) (stem string, ok bool) {
	for _, ext := range []string{".tf", ".tf.json", ".tofu", ".tofu.json"} {
		if stem, found := strings.CutSuffix(name, ext); found {
			if strings.HasPrefix(ext, ".tofu") && engine != "tofu" || strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") {
				return "", false
			}
			return stem, true
		}
	}
	return "", false
}

// effective drops files that a .tofu file of the same name stands in for.
func effective(names []string, engine string) []string {
	if engine != "tofu" || !slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, ".tofu") }) {
		return names
	}
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		if stem, ok := strings.CutSuffix(n, ".tf"); ok {
			return slices.Contains(names, stem+".tofu")
		}
		if stem, ok := strings.CutSuffix(n, ".tf.json"); ok {
			return slices.Contains(names, stem+".tofu.json")
		}
		return false
	})
}

// discover lists the files and finds the root modules that the project's globs match.
// Stacks are made of them in stackBlocks, which knows what has a block.
func (l *load) discover() bool {
	var err error
	if l.index, err = newIndex(l.tree, l.cfg.Project.Engine); err != nil {
		l.error(startOf(l.file), "The repository cannot be listed", err.Error())
		return false
	}
	patterns := []item{{text: "stacks/*", rng: startOf(l.file)}}
	for _, b := range l.projects {
		if b.has("stacks") {
			patterns = l.list(b, "stacks", l.ctx)
			l.cfg.Project.Stacks = texts(patterns)
		}
	}
	found := map[string]hcl.Range{}
	for _, it := range patterns {
		pattern, summary, detail := glob(l.root, it.text, "stacks")
		if summary != "" {
			l.error(it.rng, summary, detail)
			continue
		}
		matched := false
		for _, dir := range l.index.dirs {
			if ok, _ := doublestar.Match(pattern, dir); ok {
				matched = true
				if _, known := found[dir]; !known {
					found[dir] = it.rng
				}
			}
		}
		if !matched && len(l.projects) > 0 && l.projects[0].has("stacks") {
			l.warning(it.rng, fmt.Sprintf("%q matches no root module", it.text),
				fmt.Sprintf("A root module is a folder with .tf or .tofu files.%s", l.otherModules()))
		}
	}
	l.found = found
	return true
}

// otherModules names root modules for messages that say there is none.
func (l *load) otherModules() string {
	if len(l.index.dirs) == 0 {
		return " There is none in the repository."
	}
	return fmt.Sprintf(" There are some in %s.", listed(l.index.dirs, 4))
}

// glob checks a glob and makes it relative to the repository. summary is "" when it
// holds.
func glob(root, text, attr string) (glob, summary, detail string) {
	glob, ok := join(root, text)
	if !ok {
		summary, detail = escape(text, attr)
		return "", summary, detail
	}
	if !doublestar.ValidatePattern(glob) {
		return "", fmt.Sprintf("%q is not a glob", text), "* matches within one name, ** any number of folders, [ab] one of these characters, {a,b} one of these words. A bracket or brace is not closed here."
	}
	return glob, "", ""
}

// escape says what is wrong with a path that join refuses.
func escape(text, attr string) (summary, detail string) {
	what, hint := "leads out of the repository", "A release holds only what is in the repository."
	switch {
	case text == "":
		what, hint = "is empty", ""
	case strings.HasPrefix(text, "/"):
		what, hint = "is absolute", "Paths are relative to the folder of "+FileName+"."
	case strings.Contains(text, "\\"):
		what, hint = "has a backslash", "Separate folders with /."
	}
	return fmt.Sprintf("The path %q %s", text, what), strings.TrimSpace(fmt.Sprintf("%s names something inside the repository. %s", attr, hint))
}

// discovered adds the found root modules that no block speaks for.
func (l *load) discovered(claimed map[string]bool) {
	dirs := make([]string, 0, len(l.found))
	for dir := range l.found {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	byName := map[string]string{}
	for _, dir := range dirs {
		name := path.Base(dir)
		if dir == l.root {
			name = l.cfg.Project.Name
		}
		if st := l.stacks[name]; st != nil && !st.Discovered {
			if st.body.has("path") {
				continue // the block says where it is
			}
			if st.found == "" {
				st.found, byName[name] = dir, dir
				continue
			}
		}
		if claimed[dir] {
			continue
		}
		if !core.ValidName(name) {
			l.error(l.found[dir], fmt.Sprintf("The folder %s cannot name a stack", dir),
				fmt.Sprintf("Names have 1 to 63 letters, digits, - and _, starting with a letter or digit. Give it one: stack \"NAME\" { path = %q }", l.relative(dir)))
			continue
		}
		if first, twice := byName[name]; twice {
			l.error(l.found[dir], fmt.Sprintf("Two stacks would be named %q", name),
				fmt.Sprintf("%s and %s are both folders of that name. Give one of them another: stack \"NAME\" { path = %q }", first, dir, l.relative(dir)))
			continue
		}
		byName[name] = dir
		l.stacks[name] = &stack{Stack: Stack{Name: name, Discovered: true}, found: dir, environments: l.envs}
		l.names = append(l.names, name)
	}
}

// relative is a path as it would be written in terrace.hcl.
func (l *load) relative(p string) string {
	if l.root == "." {
		return p
	}
	if rest, ok := strings.CutPrefix(p, l.root+"/"); ok {
		return rest
	}
	return strings.Repeat("../", strings.Count(l.root, "/")+1) + p
}
