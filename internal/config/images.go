package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/core"
)

// Image is an image block: something that is built once, and is the same in every
// environment. All paths are relative to the root of the repository.
type Image struct {
	Name    string
	Command []string
	// Program is the command's program where that is a file of the repository.
	Program   string
	Reads     []string // globs
	Variables map[string]string
	// Environment is whose secrets the command gets, those in Secrets.
	Environment string
	Secrets     []string
	Within      time.Duration
}

// image is an image block with its places in the file.
type image struct {
	Image
	body    body
	secrets []item
	usedBy  []*stack
}

// imageBlocks reads the image blocks. What they say is known before anything is evaluated:
// an image is the same wherever it is used.
func (l *load) imageBlocks(top body) {
	l.images = map[string]*image{}
	for _, block := range top.blocks["image"] {
		if !l.name("image", block) {
			continue
		}
		name := block.Labels[0]
		b := l.read(block.Body, imageSchema, block.DefRange())
		if first := l.images[name]; first != nil {
			l.error(block.LabelRanges[0], fmt.Sprintf("Two images %q", name), fmt.Sprintf("The first is at %s:%d. Rename one of them.", l.file, first.body.header.Start.Line))
			continue
		}
		im := &image{body: b}
		im.Image = Image{Name: name, Within: l.duration(b, "within", 30*time.Minute, l.ctx), Environment: l.text(b, "environment", "", l.ctx)}
		if b.has("within") && im.Within == 0 {
			l.error(b.rangeOf("within"), "An image that may take no time", "Its command would be ended before it began. Write for example \"30m\".")
		}
		l.imageCommand(im)
		l.imageReads(im)
		l.imageVariables(im)
		l.imageSecrets(im)
		l.images[name] = im
	}
}

func (l *load) imageCommand(im *image) {
	v, ok := l.plain(im.body, "command", cty.List(cty.String), l.ctx)
	if !ok {
		return
	}
	items := itemsOf(v, im.body.expr("command"))
	if len(items) == 0 || items[0].text == "" {
		l.error(im.body.rangeOf("command"), "An empty command", "Name a program and its arguments, for example [\"scripts/image.sh\", \"web\"].")
		return
	}
	for i, it := range items {
		if v.AsValueSlice()[i].IsNull() || strings.ContainsRune(it.text, 0) {
			l.error(it.rng, "Not an argument of a command", "It is null, or has a zero byte in it.")
			return
		}
	}
	im.Command = texts(items)
	if name := items[0].text; strings.Contains(name, "/") && !strings.HasPrefix(name, "/") {
		im.Program, _ = l.existing(im.where(), items[0], "command", "program")
	}
}

// imageReads finds the files that go into an image. A pattern without any is an error: what
// decides about the image would be missing from its digest.
func (l *load) imageReads(im *image) {
	for _, it := range l.list(im.body, "reads", l.ctx) {
		pattern, summary, detail := glob(l.root, it.text, "reads")
		if summary != "" {
			l.error(it.rng, summary, detail)
			continue
		}
		fits := func(file string) bool {
			ok, _ := doublestar.Match(pattern, file)
			return ok
		}
		if !l.index.hasDir(pattern) && !slices.ContainsFunc(l.index.files, fits) {
			l.error(it.rng, fmt.Sprintf("%q matches no file", it.text), "The files that go into an image decide whether it is built anew; are they committed?"+near(pattern, l.index.files))
			continue
		}
		im.Reads = append(im.Reads, pattern)
	}
}

func (l *load) imageVariables(im *image) {
	expr := im.body.expr("variables")
	v, ok := l.plain(im.body, "variables", cty.Map(cty.String), l.ctx)
	if !ok {
		return
	}
	im.Variables = map[string]string{}
	values := l.textsOf(v, expr)
	for _, name := range sortedKeys(values) {
		it := values[name]
		switch {
		case !secretRE.MatchString(name):
			l.error(it.rng, fmt.Sprintf("%q cannot be an environment variable", name), "Use letters, digits and _, not starting with a digit, for example BASE. The command sees the name as it is written here.")
		case reservedRE.MatchString(name):
			l.error(it.rng, fmt.Sprintf("Reserved environment variable %q", name), secretIsReserved)
		case strings.ContainsRune(it.text, 0):
			l.error(it.rng, "A zero byte in an environment variable", "Environment variables cannot contain it.")
		default:
			im.Variables[name] = it.text
		}
	}
}

func (l *load) imageSecrets(im *image) {
	b := im.body
	im.secrets = l.secrets(b)
	im.Secrets = texts(im.secrets)
	for _, it := range im.secrets {
		if _, twice := im.Variables[it.text]; twice {
			l.error(it.rng, fmt.Sprintf("%s is a variable and a secret", it.text), "Both are environment variables of the command. Remove one of them.")
		}
	}
	e := l.environmentCalled(im.Environment)
	switch {
	case im.Environment == "" && len(im.Secrets) > 0:
		l.error(b.rangeOf("secrets"), "Secrets of no environment", "Secrets are kept per environment. Say whose the image gets, for example environment = \"dev\".")
		return
	case im.Environment != "" && e == nil:
		var names []string
		for _, e := range l.envs {
			names = append(names, e.Name)
		}
		l.error(b.rangeOf("environment"), fmt.Sprintf("Unknown environment %q", im.Environment), fmt.Sprintf("There are %s.%s", listed(names, 12), didYouMean(im.Environment, names)))
		return
	case e == nil:
		return
	}
	for _, it := range im.secrets {
		if !slices.Contains(e.Secrets, it.text) {
			l.error(it.rng, fmt.Sprintf("Runs in %s do not get the secret %s", e.Name, it.text), fmt.Sprintf("An image has none that the environment's own runs do not have. Add it to secrets in environment %q.", e.Name))
		}
	}
}

func (l *load) environmentCalled(name string) *environment {
	for _, e := range l.envs {
		if e.Name == name {
			return e
		}
	}
	return nil
}

// imageUses finds which stacks use which images.
func (l *load) imageUses(st *stack, expr hclsyntax.Expression) {
	for _, it := range imageNames(expr) {
		im := l.images[it.text]
		if im == nil {
			l.bad[expr] = true
			names := sortedKeys(l.images)
			detail := didYouMean(it.text, names)
			if detail == "" && len(names) > 0 {
				detail = fmt.Sprintf(" There are %s.", listed(names, 8))
			}
			l.error(it.rng, fmt.Sprintf("Unknown image %q", it.text), strings.TrimSpace("No image block has that name."+detail))
			continue
		}
		if !slices.Contains(st.images, it.text) {
			st.images = append(st.images, it.text)
			im.usedBy = append(im.usedBy, st)
		}
	}
	slices.Sort(st.images)
}

// imageOrder looks at where images are built: with the first release that needs one, in the
// first environment on its way, so before the gates of those that come later.
func (l *load) imageOrder() {
	for _, name := range sortedKeys(l.images) {
		im := l.images[name]
		if len(im.usedBy) == 0 {
			l.warning(im.body.header, fmt.Sprintf("Nothing uses the image %q", name), fmt.Sprintf("It is never built. Use it, for example inputs = { image = image.%s.id } in a stack block, or remove it.", name))
		}
		if len(im.Secrets) == 0 || l.environmentCalled(im.Environment) == nil {
			continue
		}
		for _, st := range im.usedBy {
			for _, e := range st.environments {
				if e.Name != im.Environment && !l.comesAfter(e.Name, im.Environment, map[string]bool{}) {
					l.at(instance(st, e), hcl.DiagError, im.body.rangeOf("environment"), fmt.Sprintf("The image %q would get the secrets of %s too early", name, im.Environment),
						fmt.Sprintf("It is built in the first environment that needs it, and a release comes there without having passed the gates of %s.", im.Environment),
						"Give it secrets of an environment that comes first.")
				}
			}
		}
	}
}

// comesAfter reports whether a release reaches an environment only through another one.
func (l *load) comesAfter(name, first string, seen map[string]bool) bool {
	e := l.environmentCalled(name)
	if e == nil || seen[name] {
		return false
	}
	seen[name] = true
	return slices.ContainsFunc(e.After, func(up string) bool { return up == first || l.comesAfter(up, first, seen) })
}

func (im *image) where() string { return "image " + im.Name }

// imageNames returns the names in image.NAME in an expression, with their places.
func imageNames(expr hclsyntax.Expression) []item {
	var out []item
	for _, t := range expr.Variables() {
		if t.RootName() == "image" && nameAt(t, 1) != "" {
			out = append(out, item{nameAt(t, 1), t.SourceRange()})
		}
	}
	return out
}

// imageUse checks image.NAME.id as far as it can be known without the images.
func (p *problems) imageUse(t hcl.Traversal) {
	switch attr := nameAt(t, 2); {
	case nameAt(t, 1) == "":
		p.error(t.SourceRange(), "An image has to be named literally",
			"Write image.NAME.id (or image[\"NAME\"].id), so that it is known what has to be built before anything is evaluated.")
	case attr != "id":
		p.error(t.SourceRange(), fmt.Sprintf("An image has an id, and no %s", quotedOr(attr, "value of its own")), fmt.Sprintf("Write image.%s.id.", nameAt(t, 1)))
	}
}

func quotedOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return fmt.Sprintf("%q", s)
}

// Image returns an image block, nil when there is none.
func (c *Config) Image(name string) *Image {
	if i := slices.IndexFunc(c.Images, func(im Image) bool { return im.Name == name }); i >= 0 {
		return &c.Images[i]
	}
	return nil
}

// imagesAt names the images that the stacks of an environment use, sorted.
func (c *Config) imagesAt(env string) []string {
	used := map[string]bool{}
	for _, in := range c.Instances(env) {
		for _, name := range in.Images {
			used[name] = true
		}
	}
	return slices.Sorted(maps.Keys(used))
}

// ImagesOf returns the images that the stacks of an environment use, sorted by name.
func (c *Config) ImagesOf(env string) []Image {
	var out []Image
	for _, name := range c.imagesAt(env) {
		if im := c.Image(name); im != nil {
			out = append(out, *im)
		}
	}
	return out
}

// built refuses to evaluate a stack while an image that it uses is not there.
func (st *stack) built(e *environment, s Scope) error {
	for _, name := range st.images {
		if s.Image != nil {
			if _, ok := s.Image(name); ok {
				continue
			}
		}
		return core.Errorf(core.Conflict, "%s needs the image %s, which is not built yet; it goes on when it is", instance(st, e), name)
	}
	return nil
}

// imageValues are what expressions see of the images that a stack uses.
func (st *stack) imageValues(id func(name string) cty.Value) cty.Value {
	attrs := make(map[string]cty.Value, len(st.images))
	for _, name := range st.images {
		attrs[name] = cty.ObjectVal(map[string]cty.Value{"id": id(name)})
	}
	return cty.ObjectVal(attrs)
}

func unknownImage(string) cty.Value { return cty.UnknownVal(cty.String) }
