package code

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/terrace-cd/terrace/internal/parity"
	"github.com/terrace-cd/terrace/internal/statefile"
)

// Stack is the root module of an instance with its variables and its state. It is a
// parity.Code, and for one goroutine at a time.
type Stack struct {
	reader    *Reader
	root      *scope
	variables map[string]cty.Value
	held      map[string][]statefile.Instance // by module and block
	places    map[string]spot                 // by address
	work      int                             // bytes of values
	scopes    int                             // module instances
	fns       map[string]function.Function
	written   map[[2]string]parity.Expression
	given     map[string]map[string]parity.Expression
}

// spot is where a resource instance is.
type spot struct {
	module string // its address
	block  string // in the module
	key    string // as in the address
}

// Open reads the root module in dir, for an instance with these variables and this state.
// Invalid when it cannot be read.
func (r *Reader) Open(dir string, variables map[string]cty.Value, state statefile.File) (*Stack, error) {
	m, err := r.open(dir)
	if err != nil {
		return nil, err
	}
	s := &Stack{reader: r, variables: variables, held: map[string][]statefile.Instance{}, places: map[string]spot{}, written: map[[2]string]parity.Expression{}, given: map[string]map[string]parity.Expression{}}
	s.root = newScope(s, m, "")
	for _, res := range state.Resources {
		block := strings.TrimPrefix(strings.TrimPrefix(res.Block(), statefile.WithoutKeys(res.Module)), ".")
		for _, i := range res.Instances {
			if i.Deposed != "" {
				continue
			}
			key := ""
			if len(i.IndexKey) > 0 {
				key = "[" + string(i.IndexKey) + "]"
			}
			s.places[res.Address(i)] = spot{res.Module, block, key}
			held := res.Module + "\x00" + block
			s.held[held] = append(s.held[held], i)
		}
	}
	return s, nil
}

// Variables are all that the root module declares, with the values that they have.
func (s *Stack) Variables() map[string]parity.Variable {
	out := map[string]parity.Variable{}
	for name := range s.root.module.variables {
		v := s.root.variable(name)
		out[name] = parity.Variable{Value: plainOf(v), Sensitive: sensitive(v)}
	}
	return out
}

// moduleStep is a step of a module's address.
type moduleStep struct{ name, key string }

// moduleSteps reads the address of a module instance.
func moduleSteps(address string) []moduleStep {
	steps, _ := intoModules(address)
	return steps
}

// intoModules reads the modules that an address begins with, and what comes after them.
func intoModules(address string) (steps []moduleStep, rest string) {
	rest = address
	for strings.HasPrefix(rest, "module.") {
		rest = rest[len("module."):]
		end, quoted, depth := 0, false, 0
		for ; end < len(rest) && (quoted || depth > 0 || rest[end] != '.'); end++ {
			switch c := rest[end]; {
			case quoted && c == '\\':
				end++
			case c == '"':
				quoted = !quoted
			case c == '[' && !quoted:
				depth++
			case c == ']' && !quoted:
				depth--
			}
		}
		end = min(end, len(rest))
		name, key, _ := strings.Cut(rest[:end], "[")
		if key != "" {
			key = "[" + key
		}
		steps = append(steps, moduleStep{name, key})
		rest = strings.TrimPrefix(rest[end:], ".")
	}
	return steps, rest
}

// scope finds a module instance; nil when its code is not here.
func (s *Stack) scope(address string) *scope {
	sc := s.root
	for _, step := range moduleSteps(address) {
		if sc = sc.child(step.name, step.key); sc == nil {
			return nil
		}
	}
	return sc
}

// at finds the block of a resource instance.
func (s *Stack) at(address string) (*scope, *block, each) {
	p, ok := s.places[address]
	if !ok {
		return nil, nil, each{}
	}
	sc := s.scope(p.module)
	if sc == nil || sc.module.blocks[p.block] == nil {
		return nil, nil, each{}
	}
	b := sc.module.blocks[p.block]
	return sc, b, sc.within(&b.repeat, p.key)
}

// Block implements parity.Code.
func (s *Stack) Block(address string) (string, bool) {
	m, name := s.root.module, address
	for strings.HasPrefix(name, "module.") {
		parts := strings.SplitN(name, ".", 3)
		if len(parts) < 3 {
			return "", false
		}
		c := m.calls[parts[1]]
		if c == nil || c.dir == "" {
			return "", false
		}
		next, err := s.reader.open(c.dir)
		if err != nil {
			return "", false
		}
		m, name = next, parts[2]
	}
	b := m.blocks[name]
	if b == nil {
		return "", false
	}
	return b.text, true
}

// Writes implements parity.Code.
func (s *Stack) Writes(address, name string) bool {
	_, b, _ := s.at(address)
	return b != nil && (b.body.attributes[name] != nil || slices.ContainsFunc(b.body.nested, func(n *nested) bool { return n.kind == name }))
}

// Expression implements parity.Code.
func (s *Stack) Expression(address, name string) parity.Expression {
	key := [2]string{address, name}
	e, ok := s.written[key]
	if !ok {
		if sc, b, e := s.at(address); b != nil {
			s.written[key] = sc.expression(e, b.body, name)
		}
		e = s.written[key]
	}
	return e
}

// expression is what a body has under a name.
func (sc *scope) expression(e each, b *body, name string) parity.Expression {
	if a := b.attributes[name]; a != nil {
		return sc.attribute(e, a)
	}
	list, hidden := sc.blocks(e, b, name)
	t := newTrail()
	sc.followBlocks(t, e, b, name)
	return parity.Expression{Value: list, Sensitive: hidden, Blocks: true, Text: t.text(), Roots: t.list()}
}

func (sc *scope) attribute(e each, a *attribute) parity.Expression {
	v := sc.eval(e, a.expr)
	t := newTrail()
	sc.follow(t, e, a, "")
	return parity.Expression{Value: plainOf(v), Sensitive: sensitive(v), Text: t.text(), Roots: t.list(), In: func(path string) []parity.Root {
		part := newTrail()
		sc.follow(part, e, a, path)
		return part.list()
	}}
}

// blocks are the objects that nested blocks of a kind make.
func (sc *scope) blocks(e each, b *body, kind string) (list any, hidden bool) {
	all := []any{}
	for _, n := range b.nested {
		if n.kind != kind {
			continue
		}
		if n.forEach == nil {
			o, h := sc.nested(e, n.body)
			all, hidden = append(all, o), hidden || h
			continue
		}
		v := sc.eval(e, n.forEach.expr)
		hidden = hidden || sensitive(v)
		v, _ = v.Unmark()
		if !v.IsKnown() || v.IsNull() || !v.CanIterateElements() || v.LengthInt() > maxRepeats {
			return parity.Unknown{}, hidden
		}
		for it := v.ElementIterator(); it.Next(); {
			k, element := it.Element()
			if v.Type().IsSetType() {
				k = element
			}
			inner := e
			inner.iterators = maps.Clone(e.iterators)
			if inner.iterators == nil {
				inner.iterators = map[string]iteration{}
			}
			inner.iterators[n.iterator] = iteration{cty.ObjectVal(map[string]cty.Value{"key": k, "value": element}), n.forEach}
			o, h := sc.nested(inner, n.body)
			all, hidden = append(all, o), hidden || h
		}
	}
	return all, hidden
}

// nested is the object that a block makes.
func (sc *scope) nested(e each, b *body) (made map[string]any, hidden bool) {
	made = map[string]any{}
	for name, a := range b.attributes {
		v := sc.eval(e, a.expr)
		made[name], hidden = plainOf(v), hidden || sensitive(v)
	}
	for _, n := range b.nested {
		if _, ok := made[n.kind]; ok {
			continue
		}
		inner, h := sc.blocks(e, b, n.kind)
		made[n.kind], hidden = inner, hidden || h
	}
	return made, hidden
}

// followBlocks follows everything in the nested blocks of a kind, "" for all.
func (sc *scope) followBlocks(t *trail, e each, b *body, kind string) {
	for _, n := range b.nested {
		if kind != "" && n.kind != kind {
			continue
		}
		inner := e
		if n.forEach != nil {
			sc.follow(t, e, n.forEach, "")
			inner.iterators = maps.Clone(e.iterators)
			if inner.iterators == nil {
				inner.iterators = map[string]iteration{}
			}
			inner.iterators[n.iterator] = iteration{cty.DynamicVal, n.forEach}
		}
		for _, name := range sortedNames(n.body.attributes) {
			t.texts[name] = true
			sc.follow(t, inner, n.body.attributes[name], "")
		}
		sc.followBlocks(t, inner, n.body, "")
	}
}

// Keys implements parity.Code.
func (s *Stack) Keys(address string) parity.Keys {
	out := parity.Keys{Known: true, Addresses: map[string]bool{}}
	t := newTrail()
	scopes := []*scope{s.root}
	name := address
	for strings.HasPrefix(name, "module.") {
		parts := strings.SplitN(name, ".", 3)
		if len(parts) < 3 {
			return parity.Keys{}
		}
		var next []*scope
		for _, sc := range scopes {
			c := sc.module.calls[parts[1]]
			if c == nil {
				continue
			}
			for _, a := range c.attributes() {
				sc.follow(t, each{}, a, "")
			}
			keys, known := sc.keys(each{}, &c.repeat)
			if !known {
				out.Known, keys = false, s.moduleKeys(sc.at, parts[1])
			}
			for _, k := range keys {
				if len(next) == maxRepeats {
					return parity.Keys{}
				}
				if child := sc.child(parts[1], k); child != nil {
					next = append(next, child)
				}
			}
		}
		scopes, name = next, parts[2]
	}
	for _, sc := range scopes {
		b := sc.module.blocks[name]
		if b == nil {
			continue
		}
		for _, a := range b.attributes() {
			sc.follow(t, each{}, a, "")
		}
		keys, known := sc.keys(each{}, &b.repeat)
		out.Known = out.Known && known
		for _, k := range keys {
			if sc.at == "" {
				out.Addresses[name+k] = true
			} else {
				out.Addresses[sc.at+"."+name+k] = true
			}
		}
	}
	out.Text, out.Roots = t.text(), t.list()
	return out
}

// moduleKeys are the keys of a module that the state has.
func (s *Stack) moduleKeys(caller, name string) (keys []string) {
	steps := moduleSteps(caller)
	for _, p := range s.places {
		inside := moduleSteps(p.module)
		if len(inside) > len(steps) && slices.Equal(inside[:len(steps)], steps) && inside[len(steps)].name == name {
			keys = append(keys, inside[len(steps)].key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// Output implements parity.Code.
func (s *Stack) Output(name string) parity.Expression {
	a := s.root.module.outputs[name]
	if a == nil {
		return parity.Expression{}
	}
	return s.root.attribute(each{}, a)
}

// Given implements parity.Code.
func (s *Stack) Given(address string) map[string]parity.Expression {
	module, block := apart(address)
	key := module + "\x00" + block
	out, ok := s.given[key]
	if !ok {
		out = s.givenTo(module, block)
		s.given[key] = out
	}
	return out
}

func (s *Stack) givenTo(module, block string) map[string]parity.Expression {
	out := map[string]parity.Expression{}
	sc := s.root
	for _, step := range moduleSteps(module) {
		child := sc.child(step.name, step.key)
		if child != nil {
			sc = child
			continue
		}
		c := sc.module.calls[step.name]
		if c == nil {
			return out
		}
		e := sc.within(&c.repeat, step.key)
		for name, a := range c.arguments {
			out["argument "+name+" of module."+step.name] = sc.attribute(e, a)
		}
		break
	}
	owner, written, name := sc.providerOf(block)
	if written != nil {
		for attribute, a := range written.attributes {
			if attribute != "alias" && attribute != "version" {
				out["provider "+name+": "+attribute] = owner.attribute(each{}, a)
			}
		}
	}
	return out
}

// apart cuts an address into that of the module and the block in it.
func apart(address string) (module, block string) {
	_, rest := intoModules(address)
	return strings.TrimSuffix(strings.TrimSuffix(address, rest), "."), statefile.WithoutKeys(rest)
}

// providerOf finds the provider configuration of a block.
func (sc *scope) providerOf(name string) (*scope, *body, string) {
	kind, _, _ := strings.Cut(strings.TrimPrefix(name, "data."), ".")
	provider, _, _ := strings.Cut(kind, "_")
	if b := sc.module.blocks[name]; b != nil && b.provider != "" {
		provider = b.provider
	}
	for ; sc != nil; sc = sc.caller {
		if b := sc.module.providers[provider]; b != nil {
			return sc, b, provider
		}
		if sc.call != nil {
			if outer := sc.call.providers[provider]; outer != "" {
				provider = outer
			} else if strings.Contains(provider, ".") {
				return nil, nil, ""
			}
		}
	}
	return nil, nil, ""
}

// plainOf writes a value as JSON is decoded.
func plainOf(v cty.Value) any {
	v, _ = v.UnmarkDeep()
	t := v.Type()
	switch {
	case !v.IsKnown():
		return parity.Unknown{}
	case v.IsNull():
		return nil
	case t == cty.String:
		return v.AsString()
	case t == cty.Bool:
		return v.True()
	case t == cty.Number:
		return json.Number(v.AsBigFloat().Text('f', -1))
	case t.IsListType() || t.IsSetType() || t.IsTupleType():
		out := []any{}
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			out = append(out, plainOf(e))
		}
		return out
	case t.IsMapType() || t.IsObjectType():
		out := map[string]any{}
		for it := v.ElementIterator(); it.Next(); {
			k, e := it.Element()
			out[k.AsString()] = plainOf(e)
		}
		return out
	}
	return parity.Unknown{}
}

var _ parity.Code = (*Stack)(nil)
