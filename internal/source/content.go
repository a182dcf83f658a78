package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/playbook"
)

// Warning is something that the digest cannot see, and where.
type Warning struct {
	Path    string
	Line    int
	Message string
}

// Content is what goes into an instance from its repository. It is shared: callers
// must not change it.
type Content struct {
	// Digest covers Parts and Provision.
	Digest string
	// Parts are digests by name: "stack PATH" and "module PATH" (see graph.module for
	// what of a folder counts), "file PATH", "folder PATH" and "files PATTERN" for what
	// is read elsewhere, "reads GLOB", "var file PATH", "lock file".
	Parts map[string]string
	// Provision are digests of what Ansible uses, nil without a playbook: "playbook
	// PATH", "folder PATH", "file PATH".
	Provision map[string]string
	// Together: a playbook, role or template mentions other hosts than the one that it is for,
	// so that a change of any host may change what is done to all.
	Together bool
	// Requirements are files that name roles and collections for the playbook to install,
	// sorted. They are in Provision as well.
	Requirements []string
	// Plays tells apart which hosts what of Provision concerns.
	Plays    playbook.Plays
	Warnings []Warning
}

// Content digests what goes into one instance. Invalid when a symbolic link leads out
// of the repository.
func (s *Source) Content(ctx context.Context, repo, commit, root string, in config.Instance) (Content, error) {
	t, err := s.Tree(ctx, repo, commit)
	if err != nil {
		return Content{}, err
	}
	cfg, err := s.soundConfig(ctx, repo, commit, root)
	if err != nil {
		return Content{}, err
	}
	m := s.pin(repo)
	defer s.unpin(m)
	defer s.parses.flush()
	return newGraph(t, m, cfg.Project.Engine).content(root, in)
}

// AllContents digests what goes into every instance of an environment, by stack.
// Invalid when the configuration has errors, or a symbolic link that counts leads out
// of the repository.
func (s *Source) AllContents(ctx context.Context, repo, commit, root, env string) (map[string]Content, error) {
	t, err := s.Tree(ctx, repo, commit)
	if err != nil {
		return nil, err
	}
	key := strings.Join([]string{repo, t.hash, path.Clean(root), env}, "\x00")
	if all, ok := s.content.get(key); ok {
		return all, nil
	}
	cfg, err := s.soundConfig(ctx, repo, commit, root)
	if err != nil {
		return nil, err
	}
	all, err := s.contents(ctx, t, cfg, root, env)
	if err != nil {
		return nil, err
	}
	s.content.put(key, all, weightOf(all))
	return all, nil
}

func (s *Source) contents(ctx context.Context, t *Tree, cfg *config.Config, root, env string) (map[string]Content, error) {
	m := s.pin(t.repo)
	defer s.unpin(m)
	defer s.parses.flush()
	instances := cfg.Instances(env)
	dirs := make([]string, len(instances))
	for i, in := range instances {
		dirs[i] = in.Path
	}
	if err := t.prefetch(ctx, m, cfg.Project.Engine, dirs); err != nil {
		return nil, core.Errorf(core.Internal, "cannot read the files of %s: %w", t.repo, err)
	}
	// A graph belongs to one goroutine; what two of them find out twice (the modules'
	// digests) is little beside the stacks.
	const share = 200
	workers := max(1, min(runtime.GOMAXPROCS(0), len(instances)/share))
	results, errs := make([]Content, len(instances)), make([]error, workers)
	var working sync.WaitGroup
	for w := range workers {
		working.Go(func() {
			g := newGraph(t, m, cfg.Project.Engine)
			for i := w; i < len(instances) && errs[w] == nil; i += workers {
				if errs[w] = ctx.Err(); errs[w] == nil {
					results[i], errs[w] = g.content(root, instances[i])
				}
			}
		})
	}
	working.Wait()
	all := make(map[string]Content, len(instances))
	for i, in := range instances {
		all[in.Stack] = results[i]
	}
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func weightOf(all map[string]Content) int {
	weight := 0
	for stack, c := range all {
		weight += 300 + len(stack) + 120*(len(c.Parts)+len(c.Provision)+c.Plays.Size()) + 250*len(c.Warnings)
	}
	return weight
}

// collector gathers the content of one instance.
type collector struct {
	*graph
	in      config.Instance
	parts   map[string]string
	modules []string
	// defaults are those of the stack's own variables, sets its readings by fileset.
	defaults map[string][]string
	sets     []readingAt
	warned   map[Warning]bool
	out      Content
}

func (g *graph) content(root string, in config.Instance) (Content, error) {
	in.Path = path.Clean(in.Path)
	c := &collector{graph: g, in: in, parts: make(map[string]string, 4)}
	if err := c.collect(); err != nil {
		if onlyLeaves(err) != nil {
			return Content{}, core.Errorf(core.Invalid, "the stack %s cannot be used: %w; copy what it needs into the repository", in.Stack, err)
		}
		return Content{}, core.Errorf(core.Internal, "cannot read the files of the stack %s: %w", in.Stack, err)
	}
	c.out.Parts = c.parts
	if in.HasAnsible && in.Playbook != "" {
		p := g.provision(path.Clean(root), in.Playbook)
		if p.err != nil {
			return Content{}, core.Errorf(core.Invalid, "the playbook of the stack %s cannot be used: %w; copy what it needs into the repository", in.Stack, p.err)
		}
		c.out.Provision, c.out.Together, c.out.Requirements, c.out.Plays = p.parts, p.together, p.requirements, p.plays
		c.out.Warnings = append(c.out.Warnings, p.warnings...)
	}
	c.out.Digest = digest(c.out.Parts, c.out.Provision)
	return c.out, nil
}

func (c *collector) collect() error {
	s, err := c.summarise(c.in.Path)
	if err != nil {
		return err
	}
	c.modules = s.modules
	if err := c.part("stack ", c.in.Path, c.module); err != nil {
		return err
	}
	for _, dir := range s.modules {
		if dir == c.in.Path {
			continue
		}
		if err := c.part("module ", dir, c.module); err != nil {
			return err
		}
	}
	if e := c.tree.regular(path.Join(c.in.Path, lockFile)); e != nil {
		c.parts["lock file"] = c.tree.oid(e)
	}
	for _, name := range c.in.VarFiles {
		if e := c.tree.regular(name); e != nil {
			c.parts[c.name("var file ", name)] = c.tree.oid(e)
		} else {
			c.parts[c.name("var file ", name)] = missing
		}
	}
	for _, pattern := range c.in.Reads {
		c.parts[c.name("reads ", pattern)] = c.glob(path.Clean(pattern)).sum
	}
	for _, w := range s.warnings {
		c.warn(w)
	}
	c.defaults = s.defaults
	for _, r := range s.reads {
		if r.how == readSet {
			c.sets = append(c.sets, r)
		}
	}
	for _, r := range s.reads {
		if err := c.read(r, 0); err != nil {
			return err
		}
	}
	slices.SortFunc(c.out.Warnings, func(a, b Warning) int {
		if a.Path != b.Path {
			return strings.Compare(a.Path, b.Path)
		}
		return a.Line - b.Line
	})
	return nil
}

// name makes a part's name once for all stacks that have it.
func (c *collector) name(kind, what string) string {
	name, ok := c.names[kind+what]
	if !ok {
		name = kind + what
		c.names[name] = name
	}
	return name
}

func (c *collector) part(kind, dir string, of func(string) (string, error)) error {
	s, err := of(dir)
	if err != nil {
		return err
	}
	c.parts[c.name(kind, dir)] = s
	return nil
}

func (c *collector) warn(w Warning) {
	if c.warned[w] {
		return
	}
	if c.warned == nil {
		c.warned = map[Warning]bool{}
	}
	c.warned[w] = true
	c.out.Warnings = append(c.out.Warnings, w)
}

// digest covers parts and provision: lengths keep ("ab", "c") apart from ("a", "bc").
func digest(sets ...map[string]string) string {
	b := make([]byte, 0, 1<<10)
	for _, set := range sets {
		for _, name := range slices.Sorted(maps.Keys(set)) {
			for _, text := range []string{name, set[name]} {
				b = append(append(strconv.AppendInt(b, int64(len(text)), 10), ':'), text...)
			}
		}
		b = append(b, '\n')
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
