package config

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// stack is a stack with its expressions, and where it is in each environment.
type stack struct {
	Stack
	found        string // the discovered folder, "" when there is none
	environments []*environment
	places       []*place                           // by index of the environment, nil where it is not deployed
	backends     map[int]map[string]json.RawMessage // likewise; settings of its own backend

	// The rest is empty for a stack without a block.
	body         body
	ansible      *ansibleBlock
	verify       []verifyBlock
	beforeChange *beforeChangeBlock
	inputPlaces  map[string]hcl.Range
	inputUses    []use
	uses         []use
	dependsOn    []string
	images       []string // that it uses
}

type ansibleBlock struct {
	body           body
	blocks         []inventoryBlock
	secrets        []string
	check, mitogen bool
	together       *bool
	within         time.Duration
}

// inventoryBlock makes hosts of resources of a type.
type inventoryBlock struct {
	body    body
	selects string
}

// place is a stack in one environment.
type place struct {
	instance Instance
	module   *module
	varFiles []*varFile
	auto     []*varFile // in the root module's folder, read by the engine itself
}

// instance names a stack in an environment.
func instance(st *stack, e *environment) string { return st.Name + "@" + e.Name }

// rng is where problems with the stack as a whole are reported.
func (l *load) rng(st *stack) hcl.Range {
	if st.Discovered {
		return l.found[st.found]
	}
	return st.body.header
}

func (l *load) stackBlocks(top body) {
	seen := map[string]*hclsyntax.Block{}
	for _, block := range top.blocks["stack"] {
		if !l.name("stack", block) {
			continue
		}
		name := block.Labels[0]
		if first := seen[name]; first != nil {
			l.error(block.LabelRanges[0], fmt.Sprintf("Two stacks %q", name), fmt.Sprintf("The first is at %s:%d. Rename one of them.", l.file, first.TypeRange.Start.Line))
			continue
		}
		seen[name] = block
		l.stacks[name] = l.stack(name, l.read(block.Body, stackSchema, block.DefRange()))
		l.names = append(l.names, name)
	}
	claimed := map[string]bool{}
	for _, name := range l.names {
		st := l.stacks[name]
		if !st.body.has("path") {
			continue
		}
		l.references(st.body.expr("path"), "path", seesEnvironment)
		for _, e := range st.environments {
			// Problems are reported in places, with the environment.
			if v, diags := evaluate(st.body.expr("path"), l.context(e)); !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
				if dir, ok := join(l.root, v.AsString()); ok {
					claimed[dir] = true
				}
			}
		}
	}
	l.discovered(claimed)
	slices.Sort(l.names)
	l.moves()
	for _, name := range l.names {
		st := l.stacks[name]
		for _, e := range st.environments {
			st.Environments = append(st.Environments, e.Name)
		}
	}
}

func (l *load) stack(name string, b body) *stack {
	st := &stack{Stack: Stack{Name: name, Protection: l.protection(b)}, body: b, environments: l.envs, inputPlaces: map[string]hcl.Range{}}
	if b.has("environments") {
		st.environments = l.stackEnvironments(b)
	}
	if e := b.expr("inputs"); e != nil {
		l.items(e, st.inputPlaces)
	}
	for _, block := range b.blocks["before_change"] {
		bc := l.read(block.Body, beforeChangeSchema, block.DefRange())
		st.beforeChange, st.BeforeChange = &beforeChangeBlock{body: bc, within: l.duration(bc, "within", 30*time.Minute, l.ctx)}, true
	}
	for _, block := range b.blocks["ansible"] {
		st.ansible = l.ansible(l.read(block.Body, ansibleSchema, block.DefRange()))
	}
	for _, block := range b.blocks["verify"] {
		v := l.read(block.Body, verifySchema, block.DefRange())
		st.verify = append(st.verify, l.verifyBlock(block.Labels[0], v))
	}
	return st
}

var typeRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

func (l *load) ansible(b body) *ansibleBlock {
	a := &ansibleBlock{body: b, secrets: texts(l.secrets(b)), check: l.boolean(b, "check", l.ctx), mitogen: l.boolean(b, "mitogen", l.ctx), within: l.duration(b, "within", 5*time.Minute, l.ctx)}
	if b.has("together") {
		together := l.boolean(b, "together", l.ctx)
		a.together = &together
	}
	for _, block := range b.blocks["inventory"] {
		if !typeRE.MatchString(block.Labels[0]) {
			l.error(block.LabelRanges[0], fmt.Sprintf("%q is not the type of a resource", block.Labels[0]), "Write for example inventory \"aws_instance\" { … }; which of them are hosts says where.")
		}
		in := l.read(block.Body, inventorySchema, block.DefRange())
		a.blocks = append(a.blocks, inventoryBlock{body: in, selects: block.Labels[0]})
	}
	if !b.has("inventory") && len(b.blocks["inventory"]) == 0 {
		l.error(b.header, "An ansible block without an inventory", "It needs inventory = { … } with groups of hosts, or inventory \"TYPE\" { … } blocks, which make hosts of resources.")
	}
	return a
}

// selects are the types of resources that hosts are made of, sorted.
func (a *ansibleBlock) selects() []string {
	if a == nil {
		return nil
	}
	var types []string
	for _, b := range a.blocks {
		types = append(types, b.selects)
	}
	slices.Sort(types)
	return slices.Compact(types)
}

// protection is what a stack block says of protection, here and in the guardrails.
func (l *load) protection(b body) Protection {
	return Protection{ZeroDowntime: l.boolean(b, "zero_downtime", l.ctx), Immutable: l.addresses(b, "immutable"), Stateful: l.addresses(b, "stateful")}
}

func (l *load) stackEnvironments(b body) []*environment {
	var names []string
	for _, e := range l.envs {
		names = append(names, e.Name)
	}
	items := l.list(b, "environments", l.ctx)
	for _, it := range items {
		if !slices.Contains(names, it.text) {
			l.error(it.rng, fmt.Sprintf("Unknown environment %q", it.text), strings.TrimSpace(fmt.Sprintf("There are %s.%s", listed(names, 12), didYouMean(it.text, names))))
		}
	}
	var out []*environment
	for _, e := range l.envs {
		if slices.Contains(texts(items), e.Name) {
			out = append(out, e)
		}
	}
	if len(items) == 0 {
		if t, ok := b.expr("environments").(*hclsyntax.TupleConsExpr); ok && len(t.Exprs) == 0 {
			l.warning(b.rangeOf("environments"), "A stack that is deployed nowhere", "environments is empty. Remove the argument for every environment, or the stack.")
		}
	}
	return out
}

// An address pattern: names separated by dots, * for any part of one, an index in
// brackets where the resource has one.
var addressRE = regexp.MustCompile(`^(?:module\.[A-Za-z0-9_*-]+(?:\[(?:"[^"\]]*"|[0-9]+|\*)\])?\.)*(?:data\.)?[A-Za-z0-9_*-]+\.[A-Za-z0-9_*-]+(?:\[(?:"[^"\]]*"|[0-9]+|\*)\])?$`)
var moduleAddressRE = regexp.MustCompile(`^(?:module\.[A-Za-z0-9_*-]+(?:\[(?:"[^"\]]*"|[0-9]+|\*)\])?)(?:\.module\.[A-Za-z0-9_*-]+(?:\[(?:"[^"\]]*"|[0-9]+|\*)\])?)*(?:\.\*)?$`)

func (l *load) addresses(b body, name string) []string {
	items := l.list(b, name, l.ctx)
	for _, it := range items {
		if it.text == "*" || addressRE.MatchString(it.text) || moduleAddressRE.MatchString(it.text) {
			continue
		}
		hint := ""
		if !strings.Contains(it.text, ".") && it.text != "" {
			hint = fmt.Sprintf(" Did you mean %q?", it.text+".*")
		}
		l.error(it.rng, fmt.Sprintf("%q is not an address", it.text), "An address is TYPE.NAME, inside modules module.NAME.TYPE.NAME; * stands for any part of a name, for example \"democloud_server.*\"."+hint)
	}
	return texts(items)
}

// after lists the expressions that are evaluated after an apply.
func (st *stack) after() []afterExpr {
	var out []afterExpr
	add := func(b *body, sees []string, names ...string) {
		for _, n := range names {
			if e := b.expr(n); e != nil {
				out = append(out, afterExpr{n, e, sees})
			}
		}
	}
	if st.beforeChange != nil {
		add(&st.beforeChange.body, seesAfter, "command")
	}
	if st.ansible != nil {
		add(&st.ansible.body, seesAfter, "inventory", "variables", "bastion")
		add(&st.ansible.body, seesEnvironment, "optional", "twice")
		for i := range st.ansible.blocks {
			add(&st.ansible.blocks[i].body, seesHost, "where", "host", "name", "groups", "vars", "id", "host_keys")
			add(&st.ansible.blocks[i].body, seesEnvironment, "optional")
		}
	}
	for i := range st.verify {
		add(&st.verify[i].body, seesAfter, "url", "query", "command")
	}
	return out
}

type afterExpr struct {
	name string
	expr hclsyntax.Expression
	sees []string
}

// expressions lists all that may refer to something.
func (st *stack) expressions() []hclsyntax.Expression {
	if st.Discovered {
		return nil
	}
	var out []hclsyntax.Expression
	for _, name := range []string{"path", "var_files", "reads", "inputs", "backend"} {
		if e := st.body.expr(name); e != nil {
			out = append(out, e)
		}
	}
	if st.ansible != nil && st.ansible.body.has("playbook") {
		out = append(out, st.ansible.body.expr("playbook"))
	}
	for _, a := range st.after() {
		out = append(out, a.expr)
	}
	return out
}

// stackOrder finds who uses whose outputs, and cycles among them.
func (l *load) stackOrder() {
	for _, name := range l.names {
		st := l.stacks[name]
		if st.Discovered {
			continue
		}
		if e := st.body.expr("inputs"); e != nil {
			st.inputUses = l.usesOf(st, e, "inputs", seesInputs)
			st.uses = slices.Clone(st.inputUses)
			l.imageUses(st, e)
		}
		for _, a := range st.after() {
			st.uses = append(st.uses, l.usesOf(st, a.expr, a.name, a.sees)...)
			l.imageUses(st, a.expr)
		}
		for _, u := range st.uses {
			if !slices.Contains(st.dependsOn, u.stack) {
				st.dependsOn = append(st.dependsOn, u.stack)
			}
		}
		slices.Sort(st.dependsOn)
	}
	for _, cycle := range cycles(l.names, func(name string) []string { return l.stacks[name].dependsOn }) {
		from, to := l.stacks[cycle[len(cycle)-2]], cycle[len(cycle)-1]
		rng := l.rng(from)
		if i := slices.IndexFunc(from.uses, func(u use) bool { return u.stack == to }); i >= 0 {
			rng = from.uses[i].rng
		}
		l.error(rng, "Stacks use each other's outputs", fmt.Sprintf("%s: none of them could be applied first. Break the circle, for example by moving what both need into a stack of its own.", strings.Join(cycle, " uses ")))
	}
}

// usesOf checks the references of an expression and drops those that lead nowhere.
func (l *load) usesOf(st *stack, expr hclsyntax.Expression, attr string, sees []string) []use {
	return slices.DeleteFunc(l.references(expr, attr, sees), func(u use) bool {
		switch up := l.stacks[u.stack]; {
		case u.stack == st.Name:
			l.bad[expr] = true
			detail := fmt.Sprintf("Its own outputs are output.NAME, in ansible, verify and before_change: write output.%s.", u.output)
			if attr == "inputs" {
				detail = "Inputs are needed before it has outputs. Its own outputs can be used in ansible, verify and before_change, as output.NAME."
			}
			l.error(u.rng, fmt.Sprintf("Stack %q refers to itself", st.Name), detail)
			return true
		case up == nil:
			l.bad[expr] = true
			detail := didYouMean(u.stack, l.names)
			if i := slices.IndexFunc(l.names, func(n string) bool { return l.stacks[n].MovedFrom == u.stack }); i >= 0 {
				detail = fmt.Sprintf(" It is named %q now: write stack.%s.%s.", l.names[i], l.names[i], u.output)
			}
			if detail == "" {
				detail = fmt.Sprintf(" There are %s.", listed(l.names, 8))
			}
			l.error(u.rng, fmt.Sprintf("Unknown stack %q", u.stack), strings.TrimSpace("No block and no discovered root module has that name."+detail))
			return true
		default:
			for _, e := range st.environments {
				if !slices.Contains(up.environments, e) {
					l.at(instance(st, e), hcl.DiagError, u.rng, fmt.Sprintf("Stack %q is not in every environment that needs it", u.stack),
						fmt.Sprintf("It is deployed to %s.", orNone(listed(up.Environments, 8))), fmt.Sprintf("Add the missing environments to %q, or remove them from %q.", u.stack, st.Name))
				}
			}
			return false
		}
	})
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// context is what expressions see that find files: the environment.
func (l *load) context(e *environment) *hcl.EvalContext {
	ctx := l.ctx.NewChild()
	ctx.Variables = map[string]cty.Value{"environment": environmentValue(&e.Environment)}
	return ctx
}

func environmentValue(e *Environment) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(e.Name), "variables": e.Variables})
}
