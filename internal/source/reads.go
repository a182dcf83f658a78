package source

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// counted reports whether a file counts as part of the stack's folder or of one of its
// modules' already.
func (c *collector) counted(p string) bool { return !aside(p) && c.owned(path.Dir(p)) }

// owned reports whether files in a folder belong to the stack or to one of its modules.
func (c *collector) owned(dir string) bool {
	configs := c.tree.folders().configs
	for {
		if dir == c.in.Path {
			return true
		}
		if _, ok := slices.BinarySearch(c.modules, dir); ok {
			return true
		}
		if len(configs[dir]) > 0 || dir == "." || dir == "/" {
			return false
		}
		dir = path.Dir(dir)
	}
}

// read adds what a reading leads to.
func (c *collector) read(r readingAt, depth int) error {
	if strings.ContainsRune(r.path+r.pattern, markVariable) {
		// A variable of the stack: it may have its default, and it may not.
		if err := c.readDefaults(r, depth); err != nil {
			return err
		}
		unknowns := func(template string) string {
			return substitute(template, markVariable, func(string) []string { return nil })[0]
		}
		r.path, r.pattern = unknowns(r.path), unknowns(r.pattern)
	}
	template := r.path
	if r.how == readSet {
		pattern := r.pattern
		if strings.ContainsAny(pattern, allMarks) {
			pattern = "**"
		}
		template += "/" + pattern
	}
	p := locate(template, c.in.Path)
	switch {
	case p.outside:
		if r.certain() {
			c.warn(Warning{Path: r.file, Line: r.line, Message: fmt.Sprintf("%s reads %q, outside of the repository; a change in it starts no run", r.name, p.path)})
		}
		return nil
	case !p.known:
		if r.certain() && len(c.in.Reads) == 0 {
			c.warn(Warning{Path: r.file, Line: r.line, Message: "which file " + r.name + " reads is not known before the plan; name the files it may be" + withReads})
		}
		return nil
	case !p.exact:
		c.readAround(r, p)
		return nil
	case r.how == readSet:
		c.readGlob(p.path, c.glob(p.path))
		return nil
	}
	return c.readExact(r, p.path, depth)
}

func (c *collector) readDefaults(r readingAt, depth int) error {
	lookup := func(name string) []string { return c.defaults[name] }
	for _, p := range substitute(r.path, markVariable, lookup) {
		for _, pattern := range substitute(r.pattern, markVariable, lookup) {
			p, pattern := strings.ReplaceAll(p, string(markVariable), unknown), strings.ReplaceAll(pattern, string(markVariable), unknown)
			if strings.ContainsAny(p+pattern, unknown) {
				continue
			}
			guess := readingAt{reading{r.how, p, pattern, r.name, r.line}, r.file, true}
			if err := c.read(guess, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// fromSet reports whether a reading goes through what a fileset beside it lists.
func (c *collector) fromSet(r readingAt, p place) bool {
	return strings.Contains(r.path, markElement) && !strings.Contains(r.path, unknown) && p.prefix == "" &&
		slices.ContainsFunc(c.sets, func(set readingAt) bool {
			if set.file != r.file {
				return false
			}
			base := locate(set.path, c.in.Path)
			return base.exact && base.path == p.path
		})
}

// readExact adds a file or folder by its path.
func (c *collector) readExact(r readingAt, name string, depth int) error {
	real, err := c.tree.resolve(name)
	if err != nil {
		return onlyLeaves(err)
	}
	if e := c.tree.find(real); e != nil {
		if !c.counted(real) || real != name {
			c.parts[c.name("file ", name)] = c.tree.oid(e)
		}
		if r.how == readTemplate && depth < 3 && e.kind != submodule {
			return c.readTemplate(e, depth)
		}
		return nil
	}
	if len(c.tree.under(real)) == 0 || c.owned(real) {
		return nil // nothing there, or counted
	}
	if within(c.in.Path, real) {
		if r.guess {
			return nil
		}
		c.warn(Warning{Path: r.file, Line: r.line, Message: fmt.Sprintf("this uses %q, a folder around the stack; if it reads files there, name them%s", real, withReads)})
		return nil
	}
	return c.part("folder ", name, c.everything)
}

// readTemplate adds what the file of a templatefile reads in turn.
func (c *collector) readTemplate(e *entry, depth int) error {
	p, err := c.tree.parsed(c.mirror, templateForm, e)
	if err != nil {
		return err
	}
	for _, r := range p.reads {
		if r.how == readHint {
			continue
		}
		if err := c.read(readingAt{reading: r, file: e.path}, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (c *collector) readGlob(pattern string, found globbed) {
	for _, e := range found.matches {
		if !c.counted(e.path) {
			c.parts[c.name("files ", pattern)] = found.sum
			return
		}
	}
}

// readAround adds everything that a partly known path may mean. When that is in no
// folder that counts anyway, it is a guess, and worth a warning.
func (c *collector) readAround(r readingAt, p place) {
	if c.fromSet(r, p) {
		return
	}
	owned := c.owned(p.path)
	if p.prefix == "" && (within(c.in.Path, p.path) || slices.Contains(c.modules, p.path)) {
		// Everything around the stack would be too much, everything in it is counted.
		if !owned && r.certain() && !c.declared(p.path) {
			c.warn(Warning{Path: r.file, Line: r.line, Message: fmt.Sprintf("which file below %q %s reads is not known before the plan; name the files it may be%s", p.path, r.name, withReads)})
		}
		return
	}
	pattern := path.Join(p.path, p.prefix+"…"+p.suffix)
	c.readGlob(pattern, c.around(p))
	if !owned && r.certain() && !c.declared(p.path) {
		c.warn(Warning{Path: r.file, Line: r.line, Message: fmt.Sprintf("which file %s reads is not known before the plan; every change in %s starts a run. Name the files it may be with reads = [\"…\"] in the stack's block", r.name, pattern)})
	}
}

// declared reports whether the stack's reads say something about a folder.
func (c *collector) declared(dir string) bool {
	return slices.ContainsFunc(c.in.Reads, func(pattern string) bool {
		base, _ := doublestar.SplitPattern(path.Clean(pattern))
		return within(base, dir) || within(dir, base)
	})
}
