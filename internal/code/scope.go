package code

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/statefile"
)

// scope is one instance of a module, with what its expressions see.
type scope struct {
	stack    *Stack
	module   *module
	at       string // its address, "" for the root module
	depth    int
	caller   *scope
	call     *call
	each     each // of the call
	children map[string]*scope
	known    map[string]cty.Value // var.NAME, local.NAME, output NAME, TYPE.NAME
}

// each is what count and for_each give inside of what is repeated.
type each struct {
	repeated   *repeat
	key, value cty.Value // NilVal without for_each
	index      cty.Value // NilVal without count
	path       string    // of value in the expression of for_each
	// iterators are those of dynamic blocks.
	iterators map[string]iteration
}

type iteration struct {
	value cty.Value // an object of key and value
	over  *attribute
}

// once evaluates something once. What refers to itself is unknown.
func (sc *scope) once(name string, f func() cty.Value) cty.Value {
	v, ok := sc.known[name]
	if !ok {
		sc.known[name] = cty.DynamicVal
		v = bounded(f())
		sc.known[name] = v
	}
	return v
}

// Bounds of what is evaluated: code may multiply what it means, and anybody who may write
// to the repository may have written it.
const (
	maxValue   = 4 << 20  // bytes of one value, and of what goes into one expression
	maxLooped  = 64 << 10 // into one with a loop
	maxLooped2 = 8 << 10  // into one with two
	maxWork    = 64 << 20 // bytes of all values of a stack
	maxDepth   = 20       // of modules in modules
	maxScopes  = 20_000   // module instances of a stack
	maxRepeats = 5000     // instances of one block
)

// bounded is v, or unknown where it is too large.
func bounded(v cty.Value) cty.Value {
	if size(v) > maxValue {
		return cty.DynamicVal
	}
	return v
}

// size estimates the bytes of a value.
func size(v cty.Value) int {
	n := 0
	v, _ = v.UnmarkDeep()
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		n += 16
		if v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
			n += len(v.AsString())
		}
		return n <= maxValue, nil
	})
	return n
}

// eval evaluates an expression. It is unknown where something in it is.
func (sc *scope) eval(e each, expr hcl.Expression) cty.Value {
	refs := references(expr)
	tree := object{}
	into := 0
	for _, t := range refs {
		if t == nil {
			continue
		}
		names, v, ok := sc.resolve(e, t)
		if !ok {
			return cty.DynamicVal
		}
		into += size(v)
		tree.put(names, v)
	}
	loops, ranges := effort(expr)
	into += ranges * maxLooped2 / 2
	limit := []int{maxValue, maxLooped, maxLooped2}[min(loops, 2)]
	if into > limit || sc.stack.work > maxWork {
		return cty.DynamicVal
	}
	ctx := &hcl.EvalContext{Variables: tree.variables(), Functions: sc.functions()}
	v, diags := config.Evaluate(expr, ctx)
	if diags.HasErrors() {
		return cty.DynamicVal
	}
	sc.stack.work += size(v)
	return bounded(v)
}

// effort counts what makes an expression's work grow beyond its size.
func effort(expr hcl.Expression) (loops, ranges int) {
	native, ok := expr.(hclsyntax.Expression)
	if !ok {
		return 1, 0 // a template inside of JSON
	}
	_ = hclsyntax.VisitAll(native, func(n hclsyntax.Node) hcl.Diagnostics {
		switch n := n.(type) {
		case *hclsyntax.ForExpr, *hclsyntax.SplatExpr:
			loops++
		case *hclsyntax.FunctionCallExpr:
			if n.Name == "range" || n.Name == "setproduct" || n.Name == "format" || n.Name == "formatlist" || n.Name == "replace" {
				ranges++
			}
		}
		return nil
	})
	return loops, ranges
}

// object builds what an expression sees, as far as it refers to it.
type object map[string]any // object or cty.Value

func (o object) put(names []string, v cty.Value) {
	at := o
	for _, n := range names[:len(names)-1] {
		inner, ok := at[n].(object)
		if !ok {
			inner = object{}
			at[n] = inner
		}
		at = inner
	}
	at[names[len(names)-1]] = v
}

func (o object) variables() map[string]cty.Value {
	out := make(map[string]cty.Value, len(o))
	for name, v := range o {
		switch v := v.(type) {
		case object:
			out[name] = cty.ObjectVal(v.variables())
		case cty.Value:
			out[name] = v
		}
	}
	return out
}

// resolve evaluates what a reference begins with: names are those of the steps that lead to
// the value. ok is false for what is no name of the language.
func (sc *scope) resolve(e each, t hcl.Traversal) (names []string, v cty.Value, ok bool) {
	root := t.RootName()
	if it, bound := e.iterators[root]; bound {
		return []string{root}, it.value, true
	}
	first := nameAt(t, 1)
	switch root {
	case "var":
		return []string{root, first}, sc.variable(first), first != ""
	case "local":
		return []string{root, first}, sc.local(first), first != ""
	case "module":
		return sc.moduleValue(t)
	case "each", "count":
		return sc.repetition(e, root, first)
	case "path":
		return []string{root, first}, sc.path(first), first != ""
	case "terraform", "tofu":
		if first == "workspace" {
			return []string{root, first}, cty.StringVal("default"), true
		}
		return []string{root}, cty.DynamicVal, true
	case "data":
		second := nameAt(t, 2)
		return []string{root, first, second}, sc.resource("data." + first + "." + second), first != "" && second != ""
	case "self":
		return []string{root}, cty.DynamicVal, true
	}
	return []string{root, first}, sc.resource(root + "." + first), first != ""
}

// path is path.module and path.root, as far as they do not depend on the machine.
func (sc *scope) path(name string) cty.Value {
	switch {
	case name == "root" || name == "module" && sc.caller == nil:
		return cty.StringVal(".")
	case name == "module":
		return cty.StringVal(relative(sc.stack.root.module.dir, sc.module.dir))
	}
	return cty.DynamicVal
}

// relative is the way from one folder of the repository to another.
func relative(from, to string) string {
	f, t := strings.Split(from, "/"), strings.Split(to, "/")
	for len(f) > 0 && len(t) > 0 && f[0] == t[0] {
		f, t = f[1:], t[1:]
	}
	return strings.Repeat("../", len(f)) + strings.Join(t, "/")
}

// nameAt is the name that a step selects, "" when it is none.
func nameAt(t hcl.Traversal, i int) string {
	if i >= len(t) {
		return ""
	}
	switch s := t[i].(type) {
	case hcl.TraverseAttr:
		return s.Name
	case hcl.TraverseIndex:
		if s.Key.Type() == cty.String && s.Key.IsKnown() && !s.Key.IsNull() {
			return s.Key.AsString()
		}
	}
	return ""
}

func (sc *scope) repetition(e each, root, name string) ([]string, cty.Value, bool) {
	v := cty.NilVal
	switch {
	case root == "count" && name == "index":
		v = e.index
	case root == "each" && name == "key":
		v = e.key
	case root == "each" && name == "value":
		v = e.value
	}
	if v == cty.NilVal {
		v = cty.DynamicVal
	}
	return []string{root, name}, v, name != ""
}

// variable is a variable with the type that it is declared with.
func (sc *scope) variable(name string) cty.Value {
	return sc.once("var."+name, func() cty.Value {
		declared := sc.module.variables[name]
		if declared == nil {
			return cty.DynamicVal
		}
		v, given := cty.DynamicVal, false
		if sc.caller == nil {
			v, given = sc.stack.variables[name]
		} else if a := sc.call.arguments[name]; a != nil {
			v, given = sc.caller.eval(sc.each, a.expr), true
		}
		if !given || v.IsKnown() && v.IsNull() && declared.fallback != nil {
			v = cty.DynamicVal
			if declared.fallback != nil {
				v, _ = config.Evaluate(declared.fallback.expr, nil)
			}
		}
		v = declared.convert(v)
		if declared.sensitive {
			v = v.Mark(config.SensitiveMark)
		}
		return v
	})
}

func (d *variable) convert(v cty.Value) cty.Value {
	if d.constraint == nil {
		return v
	}
	t, defaults, diags := config.TypeConstraint(d.constraint.expr)
	if diags.HasErrors() {
		return v
	}
	plain, marks := v.UnmarkDeep()
	if defaults != nil && plain.IsWhollyKnown() {
		plain = defaults.Apply(plain)
	}
	out, err := convert.Convert(plain, t)
	if err != nil {
		return v
	}
	return out.WithMarks(marks) // all of it: which part was marked may not be there any more
}

func (sc *scope) local(name string) cty.Value {
	a := sc.module.locals[name]
	if a == nil {
		return cty.DynamicVal
	}
	return sc.once("local."+name, func() cty.Value { return sc.eval(each{}, a.expr) })
}

func (sc *scope) output(name string) cty.Value {
	a := sc.module.outputs[name]
	if a == nil {
		return cty.DynamicVal
	}
	return sc.once("output "+name, func() cty.Value { return sc.eval(each{}, a.expr) })
}

// moduleValue is an output of a called module, of each of its instances.
func (sc *scope) moduleValue(t hcl.Traversal) ([]string, cty.Value, bool) {
	name := nameAt(t, 1)
	c := sc.module.calls[name]
	if c == nil {
		return []string{"module", name}, cty.DynamicVal, name != ""
	}
	// Several references to one call need all their outputs at once.
	names := []string{"module", name}
	return names, sc.once("module."+name, func() cty.Value { return sc.outputsOf(name, c) }), true
}

func (sc *scope) outputsOf(name string, c *call) cty.Value {
	if c.dir == "" {
		return cty.DynamicVal
	}
	child := func(key string) cty.Value {
		in := sc.child(name, key)
		if in == nil {
			return cty.DynamicVal
		}
		attrs := map[string]cty.Value{}
		for output := range in.module.outputs {
			attrs[output] = in.output(output)
		}
		return cty.ObjectVal(attrs)
	}
	keys, known := sc.keys(each{}, &c.repeat)
	switch {
	case !known:
		return cty.DynamicVal
	case c.count != nil:
		var all []cty.Value
		for _, k := range keys {
			all = append(all, child(k))
		}
		return cty.TupleVal(all)
	case c.forEach != nil:
		all := map[string]cty.Value{}
		for _, k := range keys {
			if key, err := strconv.Unquote(k[1 : len(k)-1]); err == nil {
				all[key] = child(k)
			}
		}
		return cty.ObjectVal(all)
	}
	return child("")
}

// keys are the keys of what is repeated, as they stand in addresses: "", [0], ["a"].
// known is false when they cannot be said.
func (sc *scope) keys(e each, r *repeat) (keys []string, known bool) {
	if r.enabled != nil {
		switch v := sc.plain(e, r.enabled); {
		case v.Type() != cty.Bool || !v.IsKnown() || v.IsNull():
			return nil, false
		case v.False():
			return nil, true
		}
	}
	switch {
	case r.count != nil:
		v, err := convert.Convert(sc.plain(e, r.count), cty.Number)
		if err != nil || !v.IsKnown() || v.IsNull() {
			return nil, false
		}
		n, _ := v.AsBigFloat().Int64()
		if n < 0 || n > maxRepeats {
			return nil, false
		}
		for i := range n {
			keys = append(keys, "["+strconv.FormatInt(i, 10)+"]")
		}
		return keys, true
	case r.forEach != nil:
		elements, ok := sc.elements(e, r.forEach)
		if !ok {
			return nil, false
		}
		for _, k := range slices.Sorted(maps.Keys(elements)) {
			keys = append(keys, quotedKey(k))
		}
		return keys, true
	}
	return []string{""}, true
}

// quotedKey writes a key as addresses have it.
func quotedKey(k string) string {
	out, err := json.Marshal(k)
	if err != nil {
		return "" // strings always encode
	}
	return "[" + string(out) + "]"
}

// plain evaluates without marks.
func (sc *scope) plain(e each, a *attribute) cty.Value {
	v, _ := sc.eval(e, a.expr).UnmarkDeep()
	return v
}

// elements are those of a map or a set of texts.
func (sc *scope) elements(e each, a *attribute) (map[string]cty.Value, bool) {
	v := sc.eval(e, a.expr)
	plain, _ := v.Unmark()
	t := plain.Type()
	if !plain.IsKnown() || plain.IsNull() || !(t.IsMapType() || t.IsObjectType() || t.IsSetType() || t.IsTupleType() || t.IsListType()) || plain.LengthInt() > maxRepeats {
		return nil, false
	}
	out := map[string]cty.Value{}
	for it := plain.ElementIterator(); it.Next(); {
		k, value := it.Element()
		if !t.IsMapType() && !t.IsObjectType() {
			k, _ = value.Unmark()
		}
		if k.Type() != cty.String || !k.IsKnown() || k.IsNull() {
			return nil, false
		}
		out[k.AsString()] = value
	}
	return out, true
}

// within is what an instance with a key sees of what repeats it.
func (sc *scope) within(r *repeat, key string) each {
	e := each{repeated: r, key: cty.NilVal, value: cty.NilVal, index: cty.NilVal}
	switch {
	case r.count != nil && len(key) > 2:
		if n, err := strconv.ParseInt(key[1:len(key)-1], 10, 64); err == nil {
			e.index = cty.NumberIntVal(n)
		}
	case r.forEach != nil && len(key) > 2:
		var k string
		if json.Unmarshal([]byte(key[1:len(key)-1]), &k) != nil {
			break
		}
		e.key, e.value, e.path = cty.StringVal(k), cty.DynamicVal, k
		if elements, ok := sc.elements(each{}, r.forEach); ok {
			if v, ok := elements[k]; ok {
				e.value = v
			}
		}
	}
	return e
}

// child is an instance of a called module; nil when its code is not here.
func (sc *scope) child(name, key string) *scope {
	at := "module." + name + key
	if sc.at != "" {
		at = sc.at + "." + at
	}
	if in, ok := sc.children[at]; ok {
		return in
	}
	sc.children[at] = nil
	c := sc.module.calls[name]
	if c == nil || c.dir == "" || sc.depth == maxDepth || sc.stack.scopes == maxScopes {
		return nil
	}
	m, err := sc.stack.reader.open(c.dir)
	if err != nil {
		return nil
	}
	sc.stack.scopes++
	in := newScope(sc.stack, m, at)
	in.caller, in.call, in.depth = sc, c, sc.depth+1
	in.each = sc.within(&c.repeat, key)
	sc.children[at] = in
	return in
}

func newScope(s *Stack, m *module, at string) *scope {
	return &scope{stack: s, module: m, at: at, children: map[string]*scope{}, known: map[string]cty.Value{}}
}

// resource is what the state has of a block in this module: an object, a tuple with
// count, an object by key with for_each.
func (sc *scope) resource(name string) cty.Value {
	return sc.once(name, func() cty.Value {
		b := sc.module.blocks[name]
		if b == nil {
			return cty.DynamicVal
		}
		in := sc.stack.held[sc.at+"\x00"+name]
		switch {
		case b.count != nil:
			all := make([]cty.Value, len(in))
			for _, i := range in {
				n, err := strconv.Atoi(string(i.IndexKey))
				if err != nil || n < 0 || n >= len(all) {
					return cty.DynamicVal // one in between is gone
				}
				all[n] = attributesOf(i)
			}
			return cty.TupleVal(all)
		case b.forEach != nil:
			all := map[string]cty.Value{}
			for _, i := range in {
				var key string
				if json.Unmarshal(i.IndexKey, &key) != nil {
					return cty.DynamicVal
				}
				all[key] = attributesOf(i)
			}
			return cty.ObjectVal(all)
		case len(in) == 1 && len(in[0].IndexKey) == 0:
			return attributesOf(in[0])
		}
		return cty.DynamicVal
	})
}

// attributesOf is an instance's attributes. States do not tell sets from lists, and maps
// from objects; expressions seldom do.
func attributesOf(i statefile.Instance) cty.Value {
	var walk func(path string, v any) cty.Value
	walk = func(path string, v any) (out cty.Value) {
		switch v := v.(type) {
		case string:
			out = cty.StringVal(v)
		case bool:
			out = cty.BoolVal(v)
		case json.Number:
			n, err := cty.ParseNumberVal(v.String())
			if err != nil {
				return cty.DynamicVal
			}
			out = n
		case []any:
			all := make([]cty.Value, len(v))
			for j, e := range v {
				all[j] = walk(path+"["+strconv.Itoa(j)+"]", e)
			}
			out = cty.TupleVal(all)
		case map[string]any:
			all := make(map[string]cty.Value, len(v))
			for k, e := range v {
				all[k] = walk(statefile.Join(path, k), e)
			}
			out = cty.ObjectVal(all)
		default:
			return cty.NullVal(cty.DynamicPseudoType)
		}
		if path != "" && i.Marked(path) {
			out = out.Mark(config.SensitiveMark)
		}
		return out
	}
	return walk("", i.Attributes)
}
