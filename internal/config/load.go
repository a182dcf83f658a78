package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/terrace-cd/terrace/internal/core"
)

// Loader loads configurations. Its cache makes loading the next commit quick: only
// root modules that changed are read and parsed. The zero value has no cache.
type Loader struct {
	Modules *ModuleCache
}

// Load reads terrace.hcl in the folder root of tree ("." for the repository itself)
// without a cache.
func Load(tree Tree, root string) (*Config, hcl.Diagnostics) {
	return (&Loader{}).Load(tree, root)
}

// load is one loading. Its passes run in the order of Loader.Load; each goes on after
// problems of the one before as far as that makes sense.
type load struct {
	problems
	tree  Tree
	root  string // folder of terrace.hcl
	file  string // terrace.hcl
	cache *ModuleCache
	ctx   *hcl.EvalContext // functions only

	index    *index
	found    map[string]hcl.Range // discovered folders → the glob that matched
	projects []body
	// shared are the variables of the project block.
	shared       hclsyntax.Expression
	sharedPlaces map[string]hcl.Range
	parity       body // of the project
	envs         []*environment
	images       map[string]*image
	stacks       map[string]*stack
	names        []string // of stacks, sorted
	cfg          *Config
}

// loaded is what a Config keeps of its loading.
type loaded struct {
	tree   Tree
	root   string
	ctx    *hcl.EvalContext // functions only
	envs   map[string]*environment
	stacks map[string]*stack
	order  []string             // all stacks, each after those it uses
	shared hclsyntax.Expression // variables of the project
	// sandbox is set in the configuration of one: see Config.InSandbox.
	sandbox *core.Sandbox
}

// Load reads terrace.hcl in the folder root of tree. The Config is nil when there are
// errors; warnings come with a Config.
func (l *Loader) Load(tree Tree, root string) (*Config, hcl.Diagnostics) {
	cache := l.Modules
	if cache == nil {
		cache = NewModuleCache()
	}
	root = path.Clean(root)
	ld := &load{tree: tree, root: root, file: path.Join(root, FileName), cache: cache, stacks: map[string]*stack{}, cfg: &Config{}}
	ld.bad = map[hclsyntax.Expression]bool{}
	ld.ctx = &hcl.EvalContext{Functions: functions(tree, root, nil)}
	raw, ok := ld.open()
	if !ok {
		return nil, ld.all(ld.file)
	}
	top := ld.read(raw, fileSchema, startOf(ld.file))
	ld.project(top)
	ld.environments(top)
	ld.promotionOrder()
	ld.parityNames()
	if !ld.discover() {
		return nil, ld.all(ld.file)
	}
	ld.policies()
	ld.secretFiles()
	ld.imageBlocks(top)
	ld.stackBlocks(top)
	ld.stackOrder()
	ld.imageOrder()
	ld.places()
	ld.modules()
	ld.backends()
	ld.expressions()
	ld.variables()
	ld.finish()
	diags := ld.all(ld.file)
	if diags.HasErrors() {
		return nil, diags
	}
	return ld.cfg, diags
}

func (l *load) open() (*hclsyntax.Body, bool) {
	src, err := l.tree.ReadFile(l.file)
	if errors.Is(err, fs.ErrNotExist) {
		l.error(startOf(l.file), "There is no "+FileName, fmt.Sprintf("%s does not exist. Run terrace init in that folder to write one.", l.file))
		return nil, false
	}
	return l.parsed(src, err)
}

// parsed parses what was read of l.file.
func (l *load) parsed(src []byte, err error) (*hclsyntax.Body, bool) {
	if err != nil {
		l.error(startOf(l.file), l.file+" cannot be read", err.Error())
		return nil, false
	}
	l.source = src
	file, diags := parse(l.file, src)
	l.diags = append(l.diags, diags...)
	if file == nil {
		return nil, false
	}
	return file.Body.(*hclsyntax.Body), true
}

// name checks the label of a block.
func (l *load) name(kind string, b *hclsyntax.Block) bool {
	if core.ValidName(b.Labels[0]) {
		return true
	}
	l.error(b.LabelRanges[0], fmt.Sprintf("Invalid name of %s", article(kind)),
		fmt.Sprintf("%q cannot name %s: use 1 to 63 letters, digits, - and _, starting with a letter or digit.", b.Labels[0], article(kind)))
	return false
}

func (l *load) finish() {
	l.cfg.loaded = loaded{tree: l.tree, root: l.root, ctx: l.ctx, envs: map[string]*environment{}, stacks: l.stacks, shared: l.shared}
	for _, e := range l.envs {
		l.cfg.envs[e.Name] = e
		l.cfg.Environments = append(l.cfg.Environments, e.Environment)
	}
	for _, name := range l.names {
		l.cfg.Stacks = append(l.cfg.Stacks, l.stacks[name].Stack)
	}
	for _, name := range sortedKeys(l.images) {
		l.cfg.Images = append(l.cfg.Images, l.images[name].Image)
	}
	l.cfg.order = dependencyOrder(l.names, func(name string) []string { return l.stacks[name].dependsOn })
}

// dependencyOrder returns names so that each comes after those it needs; among
// others, the given order is kept. The graph may have cycles, reported elsewhere.
func dependencyOrder(names []string, needs func(string) []string) []string {
	out := make([]string, 0, len(names))
	seen := make(map[string]bool, len(names))
	var visit func(string)
	visit = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		for _, n := range needs(name) {
			visit(n)
		}
		out = append(out, name)
	}
	for _, name := range names {
		visit(name)
	}
	return out
}

// cycles returns each cycle once, as a path that starts and ends with the same name.
func cycles(names []string, needs func(string) []string) [][]string {
	const open, done = 1, 2
	state := map[string]int{}
	var trail []string
	var found [][]string
	var visit func(string)
	visit = func(name string) {
		state[name] = open
		trail = append(trail, name)
		for _, n := range needs(name) {
			switch state[n] {
			case open:
				from := slices.Index(trail, n)
				found = append(found, append(slices.Clone(trail[from:]), n))
			case done:
			default:
				visit(n)
			}
		}
		trail = trail[:len(trail)-1]
		state[name] = done
	}
	for _, name := range names {
		if state[name] == 0 {
			visit(name)
		}
	}
	return found
}
