package parity

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/statefile"
)

// outcome is what is decided of one thing that is in both environments, or in one.
type outcome struct {
	skipped  bool // not compared
	alike    bool
	declared bool
	// written: the code says something of it.
	written bool
	// roots are what a declared difference follows from in the end.
	roots   []string
	because string
}

func (o outcome) good() int {
	if o.alike || o.declared {
		return 1
	}
	return 0
}

var isAlike = outcome{alike: true}

func declaredBy(roots ...string) outcome {
	return outcome{declared: true, roots: roots, because: strings.Join(roots, ", ")}
}

func undeclared(format string, args ...any) outcome {
	return outcome{because: fmt.Sprintf(format, args...)}
}

func releases(p *pair) string {
	if p.a.Release.Number == p.b.Release.Number {
		return "the code differs"
	}
	return fmt.Sprintf("releases %d and %d differ here", p.a.Release.Number, p.b.Release.Number)
}

// attribute decides on a part of a resource. What is being decided on further up counts as
// alike: references that go in a circle explain nothing.
func (c *comparison) attribute(p *pair, standing string, l leaf) outcome {
	key := [2]string{standing, l.path()}
	if o, ok := p.outcomes[key]; ok {
		return o
	}
	if p.open[key] {
		return isAlike
	}
	p.open[key] = true
	o := c.decide(p, standing, l)
	x, y := p.a.items[standing], p.b.items[standing]
	o.written = faces{c.face(p.a, x, l.pathA), c.face(p.b, y, l.pathB)}.written()
	delete(p.open, key)
	p.outcomes[key] = o
	return o
}

func (c *comparison) decide(p *pair, standing string, l leaf) outcome {
	x, y := p.a.items[standing], p.b.items[standing]
	if anyMatches(c.rules.Ignore, x.address, x.kind, l.pathA) || anyMatches(c.rules.Ignore, y.address, y.kind, l.pathB) {
		return outcome{skipped: true}
	}
	nameA, _ := top(l.pathA)
	nameB, _ := top(l.pathB)
	written := p.a.writes(x, nameA) || p.b.writes(y, nameB)
	if c.rules.isIdentity(x.address, x.kind, l.pathA, written) || c.rules.isIdentity(y.address, y.kind, l.pathB, written) {
		if isEmpty(l.a) == isEmpty(l.b) {
			return outcome{skipped: true}
		}
	}
	if text(l.a) == text(l.b) {
		return isAlike
	}
	f := faces{c.face(p.a, x, l.pathA), c.face(p.b, y, l.pathB)}
	alike := c.same(x, y, l, standing, p.stack, asWritten)
	if o, ok := c.byHand(p, x, y, l, f, alike); ok {
		return o
	}
	switch {
	case alike:
		return isAlike
	case f.written():
		return c.follows(p, x, y, l, f, standing)
	}
	return c.chosen(p, x, y, l, standing)
}

// same compares what two values stand for.
func (c *comparison) same(x, y *item, l leaf, standing, stack string, d depth) bool {
	a := c.a.normal.value(l.a, d, place{stack, standing, l.pathA})
	b := c.b.normal.value(l.b, d, place{stack, standing, l.pathB})
	if d == asChosen {
		a, b = chosenNumber(l.pathA, a), chosenNumber(l.pathB, b)
		if secretIn(x, l.pathA, nil) || secretIn(y, l.pathB, nil) {
			a, b = secretShape(l.a), secretShape(l.b)
		} else {
			a, b = x.withoutSecrets(a), y.withoutSecrets(b)
		}
	}
	return sameOrSet(l.a, l.b, a, b)
}

// face is what one environment's code says of a part.
type face struct {
	judged
	expr Expression
	rest string // the path below the attribute
}

type faces struct{ a, b face }

// written reports whether the code of either says something of it.
func (f faces) written() bool { return f.a.said() || f.b.said() }

func (f face) said() bool { return f.verdict != unwritten && f.verdict != extra }

func (c *comparison) face(in *instance, it *item, path string) face {
	name, rest := top(path)
	if !in.writes(it, name) {
		return face{}
	}
	e := in.Code.Expression(it.address, name)
	v, ok := it.judged[name]
	if !ok {
		v = judge(e, it.attributes[name])
		it.judged[name] = v
	}
	return face{judged: v.of(rest), expr: e, rest: rest}
}

// byHand finds what is not what its code gives. Providers keep some things in another form than
// they are written in; they do so in both environments.
func (c *comparison) byHand(p *pair, x, y *item, l leaf, f faces, alike bool) (outcome, bool) {
	a, b := f.a.verdict, f.b.verdict
	// Where the other environment's code has something, one more in a map is somebody's.
	if a == extra && !isEmpty(l.a) && f.b.said() {
		a = departs
	}
	if b == extra && !isEmpty(l.b) && f.a.said() {
		b = departs
	}
	var who []string
	if a == departs {
		who = append(who, c.departure(c.a, x, l.pathA, l.a, f.a))
	}
	if b == departs {
		who = append(who, c.departure(c.b, y, l.pathB, l.b, f.b))
	}
	switch {
	case len(who) == 0,
		alike && !(a == departs && b == holds || a == holds && b == departs),
		len(who) == 2 && rewritten(f.a.judged, f.b.judged, l.a, l.b):
		return outcome{}, false
	}
	return undeclared("%s", strings.Join(who, "; ")), true
}

// departure says what an environment's code gives instead.
func (c *comparison) departure(s *side, it *item, path string, is any, f face) string {
	switch {
	case f.expr.Sensitive || secretIn(it, path, is) || c.secrets.In(is) || c.secrets.In(f.expected):
		return s.name + " has not what its code gives"
	case f.expected == nil:
		return s.name + " has it although its code does not"
	}
	return s.name + "'s code gives " + brief(f.expected)
}

// brief writes a value for a message.
func brief(v any) string {
	const longest = 120
	t := text(v)
	if r := []rune(t); len(r) > longest {
		t = string(r[:longest]) + "…"
	}
	return t
}

// follows is for what is written, and is what its code gives as far as that can be said.
func (c *comparison) follows(p *pair, x, y *item, l leaf, f faces, standing string) outcome {
	found := c.causes(p, f.a, f.b)
	switch {
	case found.blame != "":
		return undeclared("it follows from %s, which nobody declared", found.blame)
	case len(found.roots) > 0:
		return declaredBy(found.roots...)
	case f.a.expr.Text != f.b.expr.Text:
		return declaredBy(releases(p))
	case found.identity, c.given(f), c.same(x, y, l, standing, p.stack, asChosen):
		return isAlike
	}
	return undeclared("the code is the same, and nothing that it refers to differs")
}

// given reports whether both have what their code gives, and that stands for the same.
func (c *comparison) given(f faces) bool {
	return f.a.verdict == holds && f.b.verdict == holds &&
		text(c.a.normal.value(f.a.expected, asWritten, place{})) == text(c.b.normal.value(f.b.expected, asWritten, place{}))
}

// found is what a difference follows from.
type found struct {
	roots    []string // declared
	blame    string   // something undeclared
	identity bool     // something whose identity differs, and nothing else of it
}

func (f *found) add(o outcome, what string, differs bool) {
	switch {
	case o.skipped || o.alike:
		f.identity = f.identity || differs
	case o.declared:
		for _, r := range o.roots {
			if !slices.Contains(f.roots, r) {
				f.roots = append(f.roots, r)
			}
		}
	case f.blame == "":
		f.blame = what
	}
}

// causes looks at everything that two expressions refer to.
func (c *comparison) causes(p *pair, a, b face) (f found) {
	for _, r := range bothRoots(a, b) {
		c.root(p, r, &f)
	}
	slices.Sort(f.roots)
	return f
}

func bothRoots(a, b face) (all []Root) {
	for _, x := range []face{a, b} {
		roots := x.expr.Roots
		if x.expr.In != nil {
			roots = x.expr.In(x.rest)
		}
		for _, r := range roots {
			if !slices.Contains(all, r) {
				all = append(all, r)
			}
		}
	}
	return all
}

func (c *comparison) root(p *pair, r Root, f *found) {
	switch r.Kind {
	case RootVariable:
		o := c.variable(p, r.Name, r.Path)
		f.add(o, "variable "+r.Name, !o.skipped)
	case RootResource:
		c.resourceRoot(p, r, f)
	case RootOpaque:
	}
}

// variable decides on a variable of the root module, or a part of it. skipped: it does not differ.
func (c *comparison) variable(p *pair, name, path string) outcome {
	x, inA := p.a.Variables[name]
	y, inB := p.b.Variables[name]
	switch {
	case x.Secret || y.Secret:
		return declaredBy("secret of variable " + name)
	case inA != inB:
		return declaredBy("variable " + name)
	}
	u, v := part(x.Value, path), part(y.Value, path)
	if text(u) == text(v) {
		return outcome{skipped: true}
	}
	if len(x.From)+len(y.From) == 0 {
		return declaredBy("variable " + name)
	}
	if text(c.a.normal.value(u, asWritten, place{})) == text(c.b.normal.value(v, asWritten, place{})) {
		return isAlike
	}
	var f found
	for _, out := range slices.Concat(x.From, y.From) {
		c.output(out, &f)
	}
	slices.Sort(f.roots)
	switch {
	case f.blame != "":
		return undeclared("it follows from %s, which nobody declared", f.blame)
	case len(f.roots) > 0:
		return declaredBy(f.roots...)
	case f.identity:
		return isAlike
	}
	return declaredBy("variable " + name)
}

// output looks at what an output of another stack follows from.
func (c *comparison) output(out Output, f *found) {
	q := c.pair(out.Stack)
	if q == nil {
		f.add(undeclared(""), "output "+out.Name+" of "+out.Stack+", which is not compared", true)
		return
	}
	if q.a.Code == nil || q.b.Code == nil {
		return
	}
	key := [2]string{"output", out.Name}
	if q.open[key] {
		return
	}
	q.open[key] = true
	defer delete(q.open, key)
	a, b := q.a.Code.Output(out.Name), q.b.Code.Output(out.Name)
	for _, r := range bothRoots(face{expr: a}, face{expr: b}) {
		c.root(q, r, f)
	}
	if a.Text != b.Text && len(f.roots) == 0 {
		f.add(declaredBy(releases(q)), "", true)
	}
}

// resourceRoot looks at an attribute of another resource, or at all of one.
func (c *comparison) resourceRoot(p *pair, r Root, f *found) {
	for _, standing := range p.named(c, r.Name) {
		x, y := p.a.items[standing], p.b.items[standing]
		if x == nil || y == nil {
			o := c.presence(p, standing)
			f.add(o, standing, true)
			continue
		}
		for _, l := range p.split(c, standing) {
			if !below(l.pathA, r.Path) && !below(l.pathB, r.Path) || text(l.a) == text(l.b) {
				continue
			}
			o := c.attribute(p, standing, l)
			if !x.managed && !o.alike && !o.skipped {
				o = c.read(p, x, y, o)
			}
			f.add(o, x.address+"."+l.path(), true)
		}
	}
}

// read is for what a data source found: it follows from what it was asked.
func (c *comparison) read(p *pair, x, y *item, o outcome) outcome {
	if o.declared {
		return o
	}
	if roots := c.declaredOf(p, x, y); len(roots) > 0 {
		return declaredBy(roots...)
	}
	return o
}

// named finds the resources that a root's address means, by what they stand for.
func (p *pair) named(c *comparison, name string) (all []string) {
	block := statefile.WithoutKeys(name)
	wanted := []string{name, c.a.normal.environment(name), c.b.normal.environment(name)}
	for _, it := range slices.Concat(p.a.blocks[block], p.b.blocks[block]) {
		if it.deposed || slices.Contains(all, it.standing) {
			continue
		}
		if name == block || slices.ContainsFunc(wanted, func(s string) bool { return it.standing == s || strings.HasPrefix(it.standing, s+"[") }) {
			all = append(all, it.standing)
		}
	}
	slices.Sort(all)
	return all
}

// below reports whether a path is a part of another, or the other way round.
func below(path, of string) bool {
	return of == "" || path == of || inside(path, of) || inside(of, path)
}

func inside(path, of string) bool {
	return strings.HasPrefix(path, of) && len(path) > len(of) && (path[len(of)] == '.' || path[len(of)] == '[')
}

// part is a part of a value, by its path; nil when there is none.
func part(v any, path string) any {
	for path != "" {
		if path[0] == '[' {
			return v // an element: whoever refers to one refers to the list
		}
		var name string
		name, path = top(path)
		m, ok := v.(map[string]any)
		if !ok {
			return v
		}
		v, path = m[name], strings.TrimPrefix(path, ".")
	}
	return v
}

// declaredOf is what the declared differences of a resource's written attributes follow
// from.
func (c *comparison) declaredOf(p *pair, x, y *item) (roots []string) {
	for _, l := range p.split(c, x.standing) {
		f := faces{c.face(p.a, x, l.pathA), c.face(p.b, y, l.pathB)}
		if !f.written() {
			continue
		}
		if o := c.attribute(p, x.standing, l); o.declared {
			roots = append(roots, o.roots...)
		}
	}
	slices.Sort(roots)
	return slices.Compact(roots)
}

// chosen is for what the provider chose, or somebody by hand: the code says nothing of it.
func (c *comparison) chosen(p *pair, x, y *item, l leaf, standing string) outcome {
	if c.same(x, y, l, standing, p.stack, asChosen) {
		return isAlike
	}
	if o, ok := c.evidence(p, x, y, l); ok {
		return o
	}
	if anyMatches(c.rules.Derived, x.address, x.kind, l.pathA) || anyMatches(c.rules.Derived, y.address, y.kind, l.pathB) {
		if roots := c.declaredOf(p, x, y); len(roots) > 0 {
			return declaredBy(roots...)
		}
	}
	for _, in := range []*instance{p.a, p.b} {
		if in.Code == nil {
			return undeclared("the code cannot be read: %s", in.NoCode)
		}
	}
	if c.rebuilt(p, x, y) {
		return declaredBy(releases(p))
	}
	if _, here := p.a.Code.Block(x.block); !here {
		return undeclared("its code is not in the repository, and it follows from no argument of its module")
	}
	return undeclared("the code does not set it")
}

// rebuilt reports whether the two releases write the resource differently, or have another
// version of its provider: what the provider chooses may differ for that.
func (c *comparison) rebuilt(p *pair, x, y *item) bool {
	a, inA := p.a.Code.Block(x.block)
	b, inB := p.b.Code.Block(y.block)
	return inA != inB || a != b || p.a.Providers[x.provider].Pinned != p.b.Providers[y.provider].Pinned
}

// evidence looks for something that differs in the same way: the arguments of the
// resource's provider, those of a module whose code is elsewhere, and what is written of the
// resource itself.
func (c *comparison) evidence(p *pair, x, y *item, l leaf) (outcome, bool) {
	if p.a.Code == nil || p.b.Code == nil || x.deposed || y.deposed {
		return outcome{}, false
	}
	givenA, givenB := p.a.Code.Given(x.address), p.b.Code.Given(y.address)
	for _, name := range sortedKeys(givenA, givenB) {
		a, b := face{expr: givenA[name]}, face{expr: givenB[name]}
		if !moves(a.expr.Value, b.expr.Value, l) {
			continue
		}
		if f := c.causes(p, a, b); f.blame == "" && len(f.roots) > 0 {
			return outcome{declared: true, roots: f.roots, because: name + ": " + strings.Join(f.roots, ", ")}, true
		}
	}
	for _, other := range p.split(c, x.standing) {
		f := faces{c.face(p.a, x, other.pathA), c.face(p.b, y, other.pathB)}
		if !f.written() || !moves(other.a, other.b, l) {
			continue
		}
		o := c.attribute(p, x.standing, other)
		if o.declared {
			return outcome{declared: true, roots: o.roots, because: "it has " + other.path() + " in it: " + o.because}, true
		}
	}
	return outcome{}, false
}

// moves reports whether a leaf differs as two values do: it is equal to them, or has them in it
// and is the same around them.
func moves(a, b any, l leaf) bool {
	if text(a) == text(b) || isEmpty(a) || isEmpty(b) {
		return false
	}
	if sameMeaning(a, l.a) && sameMeaning(b, l.b) {
		return true
	}
	x, ok := around(a, l.a)
	if !ok {
		return false
	}
	y, ok := around(b, l.b)
	return ok && x == y
}

// presence decides on a resource that one environment has.
func (c *comparison) presence(p *pair, standing string) outcome {
	it, has, lacks, hasSide, lackSide := p.a.items[standing], p.a, p.b, c.a, c.b
	if it == nil {
		it, has, lacks, hasSide, lackSide = p.b.items[standing], p.b, p.a, c.b, c.a
	}
	if it.deposed {
		return undeclared("a replacement left it over in %s", hasSide.name)
	}
	for _, in := range []*instance{p.a, p.b} {
		if in.Code == nil {
			return undeclared("the code cannot be read: %s", in.NoCode)
		}
	}
	text, inCode := has.Code.Block(it.block)
	otherText, inOther := lacks.Code.Block(it.block)
	switch {
	case !inCode && !inOther:
		return c.elsewhere(p, it)
	case !inCode:
		return undeclared("%s has it although its code does not", hasSide.name)
	case !inOther:
		return declaredBy(releases(p))
	}
	a, b := has.Code.Keys(it.block), lacks.Code.Keys(it.block)
	switch {
	case a.Known && !a.Addresses[it.address]:
		return undeclared("%s has it although its code gives only %s", hasSide.name, listed(a.Addresses))
	case b.Known && lacksOne(lackSide, lacks, b, standing):
		return undeclared("%s has it not although its code gives it", lackSide.name)
	}
	found := c.causes(p, face{expr: a.Expression}, face{expr: b.Expression})
	switch {
	case found.blame != "":
		return undeclared("it follows from %s, which nobody declared", found.blame)
	case len(found.roots) > 0:
		return declaredBy(found.roots...)
	case a.Text != b.Text || text != otherText:
		return declaredBy(releases(p))
	}
	return undeclared("the code is the same, and nothing that its number follows from differs")
}

// lacksOne reports whether an address that stands for the same is among those that the code
// gives.
func lacksOne(s *side, in *instance, keys Keys, standing string) bool {
	for address := range keys.Addresses {
		if s.normal.environment(address) == standing {
			return in.items[standing] == nil
		}
	}
	return false
}

func listed(addresses map[string]bool) string {
	const most = 3
	all := sortedKeys(addresses, nil)
	switch {
	case len(all) == 0:
		return "none"
	case len(all) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
	}
	return strings.Join(all, ", ")
}

// elsewhere is for a resource of a module whose code is not in the repository: how many
// there are may be an argument's value.
func (c *comparison) elsewhere(p *pair, it *item) outcome {
	givenA, givenB := p.a.Code.Given(it.address), p.b.Code.Given(it.address)
	if len(givenA) == 0 && len(givenB) == 0 {
		return undeclared("it is in no code")
	}
	l := leaf{a: count(p.a.blocks[it.block]), b: count(p.b.blocks[it.block])}
	for _, name := range sortedKeys(givenA, givenB) {
		a, b := face{expr: givenA[name]}, face{expr: givenB[name]}
		if !moves(lengthOf(a.expr.Value), lengthOf(b.expr.Value), l) {
			continue
		}
		if f := c.causes(p, a, b); f.blame == "" && len(f.roots) > 0 {
			return outcome{declared: true, roots: f.roots, because: name + ": " + strings.Join(f.roots, ", ")}
		}
	}
	return undeclared("its module is not in the repository, and no argument of it accounts for it")
}

func count(items []*item) any { return json.Number(fmt.Sprint(len(items))) }

// lengthOf is a number as it is, and of a list or a map how many it has.
func lengthOf(v any) any {
	switch v := v.(type) {
	case []any:
		return json.Number(fmt.Sprint(len(v)))
	case map[string]any:
		return json.Number(fmt.Sprint(len(v)))
	}
	return v
}
