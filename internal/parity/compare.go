package parity

import (
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/statefile"
)

// Compare compares two environments.
func Compare(a, b Side, rules Rules) Report {
	c := &comparison{rules: rules, a: newSide(a, rules), b: newSide(b, rules), pairs: map[string]*pair{}}
	for _, s := range []*side{c.a, c.b} {
		for _, in := range s.instances {
			c.secrets.Learn(in.State)
			for _, v := range in.Variables {
				if v.Sensitive {
					c.secrets.Keep(v.Value)
				}
			}
		}
	}
	report := Report{A: a.Environment, B: b.Environment}
	for _, stack := range sortedKeys(c.a.instances, c.b.instances) {
		p := c.compare(stack)
		report.Instances = append(report.Instances, p)
		report.add(p.Total)
	}
	return report
}

// comparison is one call of Compare.
type comparison struct {
	rules   Rules
	a, b    *side
	pairs   map[string]*pair
	secrets statefile.Secrets
}

// side is an environment, prepared.
type side struct {
	name      string
	normal    *normaliser
	instances map[string]*instance
}

// instance is a stack in it.
type instance struct {
	Instance
	items  map[string]*item   // by what the address stands for
	blocks map[string][]*item // by the address of the block
}

// item is a resource instance.
type item struct {
	address    string // as in the state
	standing   string // with the environment's name replaced
	block      string
	kind       string // its type
	provider   string // as in Instance.Providers
	managed    bool
	deposed    bool
	tainted    bool
	marked     func(path string) bool
	attributes map[string]any
	judged     map[string]verdicts // by name of the attribute
}

func newSide(s Side, rules Rules) *side {
	out := &side{name: s.Environment, normal: newNormaliser(s.Environment, rules.Names[s.Environment]), instances: map[string]*instance{}}
	for _, in := range s.Instances {
		i := &instance{Instance: in, items: map[string]*item{}, blocks: map[string][]*item{}}
		out.instances[in.Stack] = i
		if in.NotCompared == "" {
			i.read(out.normal)
		}
	}
	// A whole environment's identities have to be known before the first is replaced:
	// stacks refer to each other's.
	for _, in := range out.instances {
		for _, it := range in.items {
			out.normal.refs.learn(in, it)
		}
	}
	return out
}

// read takes the resources out of the state, as they were seen last.
func (in *instance) read(n *normaliser) {
	var all []*item
	for _, r := range in.State.Resources {
		for _, i := range r.Instances {
			it := &item{address: r.Address(i), block: r.Block(), kind: r.Type, provider: ProviderOf(r.Provider), managed: r.Managed(), deposed: i.Deposed != "", tainted: i.Status == "tainted",
				marked: i.Marked, attributes: i.Attributes, judged: map[string]verdicts{}}
			if seen, ok := in.Seen[it.address]; ok {
				if seen == nil {
					continue // it is gone
				}
				it.attributes = seen
			}
			it.standing = n.environment(it.address)
			all = append(all, it)
		}
	}
	slices.SortFunc(all, func(a, b *item) int { return strings.Compare(a.address, b.address) })
	for _, it := range all {
		if _, taken := in.items[it.standing]; taken {
			it.standing = it.address
		}
		in.items[it.standing] = it
		in.blocks[it.block] = append(in.blocks[it.block], it)
	}
}

// ProviderOf is the address of a provider as Instance.Providers has it: without what a state
// writes around it, and without the registry's host, which depends on the engine.
func ProviderOf(s string) string {
	if _, inner, ok := strings.Cut(s, `["`); ok {
		s, _, _ = strings.Cut(inner, `"]`)
	}
	if parts := strings.Split(s, "/"); len(parts) == 3 {
		return parts[1] + "/" + parts[2]
	}
	return s
}

// writes reports whether the code writes an attribute.
func (in *instance) writes(it *item, name string) bool {
	return in.Code != nil && !it.deposed && in.Code.Writes(it.address, name)
}

// learn adds the identities of a resource.
func (r *references) learn(in *instance, it *item) {
	if it.deposed {
		return
	}
	for path, value := range statefile.Flat(it.attributes) {
		s, ok := value.(string)
		if !ok || it.marked(path) || statefile.NamedSecret(path) {
			continue
		}
		name, _ := top(path)
		rank := rankChosen
		switch written := in.writes(it, name); {
		case written:
			rank = rankWritten
		case path == "id":
			rank = rankID
		case identities[path]:
			rank = rankIdentity
		}
		if rank <= rankIdentity || isPlaceholder(chosen(s)) {
			r.add(s, place{in.Stack, it.standing, path}, rank)
		}
	}
}

// isPlaceholder reports whether a text is an identity and nothing else, with a word before
// it at most: srv-0a1b2c3d4e.
func isPlaceholder(s string) bool {
	at := placeholder.FindStringIndex(s)
	if at == nil || at[1] != len(s) {
		return false
	}
	return at[0] == 0 || !strings.ContainsAny(s[:at[0]], " ${}") && at[0] <= 20
}

// pair is a stack in both.
type pair struct {
	stack    string
	a, b     *instance
	leaves   map[string][]leaf     // by what the address stands for
	outcomes map[[2]string]outcome // by that and the path
	open     map[[2]string]bool    // being looked into
}

// pair finds a stack in both environments; nil when it cannot be compared.
func (c *comparison) pair(stack string) *pair {
	if p, ok := c.pairs[stack]; ok {
		return p
	}
	a, b := c.a.instances[stack], c.b.instances[stack]
	if a == nil || b == nil || a.NotCompared != "" || b.NotCompared != "" || !a.Applied || !b.Applied {
		c.pairs[stack] = nil
		return nil
	}
	p := &pair{stack: stack, a: a, b: b, leaves: map[string][]leaf{}, outcomes: map[[2]string]outcome{}, open: map[[2]string]bool{}}
	c.pairs[stack] = p
	return p
}

// compare compares one stack.
func (c *comparison) compare(stack string) Pair {
	a, b := c.a.instances[stack], c.b.instances[stack]
	out := Pair{Stack: stack, A: stateOf(a), B: stateOf(b)}
	for _, x := range []struct {
		in   *instance
		side *side
	}{{a, c.a}, {b, c.b}} {
		if x.in != nil && x.in.NotCompared != "" && out.NotCompared == "" {
			out.NotCompared = stack + "@" + x.side.name + " " + x.in.NotCompared
		}
	}
	if out.NotCompared != "" {
		return out
	}
	p := c.pair(stack)
	if p == nil {
		c.onlyOne(&out, a, b)
		return out
	}
	c.versions(&out, p)
	c.variables(&out, p)
	for _, standing := range sortedKeys(p.a.items, p.b.items) {
		c.resource(&out, p, standing)
	}
	slices.SortStableFunc(out.Differences, order)
	return out
}

func stateOf(in *instance) *State {
	if in == nil || !in.Applied && in.NotCompared == "" {
		return nil
	}
	return &State{Release: in.Release, Engine: in.Engine, Providers: in.Providers, SeenBy: in.SeenBy, NoCode: in.NoCode}
}

// onlyOne is for a stack that one environment has not, or none.
func (c *comparison) onlyOne(out *Pair, a, b *instance) {
	has, lacks, where := a, b, c.b.name
	if a == nil || !a.Applied {
		has, lacks, where = b, a, c.a.name
	}
	if has == nil || !has.Applied {
		return // nowhere yet
	}
	d := Difference{Kind: KindStack, Address: out.Stack, Because: "it was never applied in " + where}
	if lacks != nil && !lacks.Wanted {
		d.Declared, d.Because = true, lacks.Unwanted
	}
	if has == a {
		d.A = out.Stack
	} else {
		d.B = out.Stack
	}
	n := 0
	for _, it := range has.items {
		if it.managed {
			n++
		}
	}
	out.Resources = n
	for range max(n, 1) {
		if d.Declared {
			out.count(1, 1)
		} else {
			out.count(0, 1)
		}
	}
	out.tell(d)
}

// tell adds a difference.
func (p *Pair) tell(d Difference) {
	if d.Declared {
		p.Declared++
	} else {
		p.Undeclared++
	}
	p.Differences = append(p.Differences, d)
}

// versions compares what the stack was made from and with.
func (c *comparison) versions(out *Pair, p *pair) {
	if x, y := p.a.Release, p.b.Release; x != y {
		out.tell(Difference{Kind: KindRelease, A: x.Number, B: y.Number, Declared: true, Because: "promotion"})
	}
	good, parts := 0, 0
	version := func(kind Kind, name string, x, y Version) {
		if x.Number == "" || y.Number == "" {
			return // nobody noted it
		}
		parts++
		out.Attributes++
		if x.Name == y.Name && x.Number == y.Number {
			good++
			return
		}
		d := Difference{Kind: kind, Address: name, A: shown(x), B: shown(y)}
		switch {
		case x.Pinned != y.Pinned:
			d.Declared, d.Because = true, releases(p)
		case x.Pinned == "":
			d.Because = "nothing in the repository says which version"
		default:
			d.Because = "the repository allows both (" + x.Pinned + ")"
		}
		if d.Declared {
			good++
		}
		out.tell(d)
	}
	version(KindEngine, "", p.a.Engine, p.b.Engine)
	for _, name := range sortedKeys(p.a.Providers, p.b.Providers) {
		version(KindProvider, name, p.a.Providers[name], p.b.Providers[name])
	}
	if parts > 0 {
		out.count(good, parts)
	}
}

func shown(v Version) any {
	if v.Number == "" {
		return nil
	}
	return strings.TrimSpace(v.Name + " " + v.Number)
}

// resource compares a resource that is in either of the two.
func (c *comparison) resource(out *Pair, p *pair, standing string) {
	x, y := p.a.items[standing], p.b.items[standing]
	either := x
	if x == nil {
		either = y
	}
	if !either.managed {
		return // it is read, not there
	}
	out.Resources++
	if x == nil || y == nil {
		o := c.presence(p, standing)
		d := Difference{Kind: KindResource, Address: either.address, Declared: o.declared, Because: o.because}
		if x != nil {
			d.A = x.address
		} else {
			d.B = y.address
		}
		out.count(o.good(), 1)
		out.tell(d)
		return
	}
	good, parts, byHand := 0, 0, false
	if x.tainted != y.tainted {
		parts++
		d := Difference{Kind: KindAttribute, Address: x.address, Path: "(tainted)", A: x.tainted, B: y.tainted, Because: "a tainted resource is replaced by the next run"}
		out.tell(d)
	}
	for _, l := range p.split(c, standing) {
		o := c.attribute(p, standing, l)
		if o.skipped {
			continue
		}
		parts++
		good += o.good()
		byHand = byHand || o.written && o.good() == 0
		if o.alike {
			continue
		}
		out.tell(c.difference(p, x, y, l, o))
	}
	out.Attributes += parts
	if byHand {
		good = 0 // what the code writes decides about all of it
	}
	out.count(good, max(parts, 1))
	if parts == 0 {
		out.score++ // nothing of it has a value that could differ
	}
}

// split takes a resource apart.
func (p *pair) split(c *comparison, standing string) []leaf {
	if leaves, ok := p.leaves[standing]; ok {
		return leaves
	}
	w := walker{a: c.a.normal, b: c.b.normal}
	x, y := p.a.items[standing], p.b.items[standing]
	for _, name := range sortedKeys(x.attributes, y.attributes) {
		w.walk(name, name, x.attributes[name], y.attributes[name])
	}
	p.leaves[standing] = w.leaves
	return w.leaves
}

// difference is how a leaf that is not alike is told.
func (c *comparison) difference(p *pair, x, y *item, l leaf, o outcome) Difference {
	d := Difference{Kind: KindAttribute, Address: x.address, Path: l.path(), A: l.a, B: l.b, Declared: o.declared, Because: o.because}
	if c.secret(p, x, y, l) {
		d.Sensitive, d.A, d.B = true, nil, nil
	}
	return d
}

// secret reports whether a leaf must not be shown.
func (c *comparison) secret(p *pair, x, y *item, l leaf) bool {
	return secretIn(x, l.pathA, l.a) || secretIn(y, l.pathB, l.b) || x.marked(l.pathB) || y.marked(l.pathA) || c.secrets.In(l.a) || c.secrets.In(l.b) ||
		c.face(p.a, x, l.pathA).expr.Sensitive || c.face(p.b, y, l.pathB).expr.Sensitive
}

// secretIn reports whether a part of a resource is, or holds, something sensitive.
func secretIn(it *item, path string, value any) bool {
	if it.marked(path) || statefile.NamedSecret(path) {
		return true
	}
	for inner := range statefile.Flat(value) {
		whole := path + inner
		if inner != "" && inner[0] != '[' {
			whole = statefile.Join(path, inner)
		}
		if it.marked(whole) || statefile.NamedSecret(whole) {
			return true
		}
	}
	return false
}

// variables tells which differ. They are written down, so none of them counts.
func (c *comparison) variables(out *Pair, p *pair) {
	for _, name := range sortedKeys(p.a.Variables, p.b.Variables) {
		x, inA := p.a.Variables[name]
		y, inB := p.b.Variables[name]
		if x.Secret && y.Secret || inA && inB && !x.Secret && !y.Secret && text(x.Value) == text(y.Value) {
			continue
		}
		o := c.variable(p, name, "")
		if o.alike || inA && inB && text(c.a.normal.value(x.Value, asWritten, place{})) == text(c.b.normal.value(y.Value, asWritten, place{})) {
			continue // the environment's own name
		}
		d := Difference{Kind: KindVariable, Address: name, A: x.Value, B: y.Value, Declared: o.declared, Because: where(p, x, y)}
		if len(x.From)+len(y.From) > 0 {
			d.Because = o.because
		}
		if x.Sensitive || y.Sensitive || x.Secret || y.Secret || statefile.NamedSecret(name) || c.secrets.In(x.Value) || c.secrets.In(y.Value) {
			d.Sensitive, d.A, d.B = true, nil, nil
		}
		if d.Declared {
			out.tell(d)
			continue
		}
		// What it follows from is counted where it is.
		out.Differences = append(out.Differences, d)
	}
}

// where says where the values of a variable are written.
func where(p *pair, x, y Variable) string {
	switch {
	case x.Where == "" && y.Where == "":
		return releases(p) // each has the default of its code
	case x.Where == y.Where || y.Where == "":
		return x.Where
	case x.Where == "":
		return y.Where
	}
	return x.Where + ", " + y.Where
}
