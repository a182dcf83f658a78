package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// ParityRules are what the comparison of environments is told beside what it knows: patterns
// of attributes, and further names of environments.
type ParityRules struct {
	Ignore, Identity, Derived []string
	Names                     map[string][]string
}

// With is these rules with further ones.
func (r ParityRules) With(more ParityRules) ParityRules {
	names := maps.Clone(r.Names)
	if names == nil {
		names = map[string][]string{}
	}
	for env, list := range more.Names {
		names[env] = slices.Concat(names[env], list)
	}
	return ParityRules{Ignore: slices.Concat(r.Ignore, more.Ignore), Identity: slices.Concat(r.Identity, more.Identity), Derived: slices.Concat(r.Derived, more.Derived), Names: names}
}

// ParityGate is a parity block of an environment.
type ParityGate struct {
	With    string // the other environment
	AtLeast float64
	ParityRules
}

var parityRuleAttrs = []attrSchema{
	{Name: "ignore", Type: "list of attributes", Default: "[]", Doc: "Attributes that are not compared, as TYPE.NAME.ATTRIBUTE with `*` for any text, for example `\"democloud_server.*.image\"` or `\"*.*.tags.Owner\"`."},
	{Name: "identity", Type: "list of attributes", Default: "[]", Doc: "Attributes that tell one thing from another: it only matters that both have one."},
	{Name: "derived", Type: "list of attributes", Default: "[]", Doc: "Attributes that the provider chooses after what is written of the same resource: their difference is declared where that of something written is."},
}

var parityRulesSchema = &blockSchema{
	Type: "parity",
	Doc:  "How environments are compared, beside what Terrace knows by itself: `terrace parity`, and the gates of environments.",
	Attrs: append(slices.Clone(parityRuleAttrs),
		attrSchema{Name: "names", Type: "object", Default: "{}", Doc: "Further names of environments, as they turn up in names of resources, for example `{ production = [\"prod\"] }`."}),
}

var parityGateSchema = &blockSchema{
	Type: "parity",
	Doc:  "A release enters only while this environment is like another one: what differs is written down.",
	Attrs: append([]attrSchema{
		{Name: "with", Type: "environment", Required: true, Doc: "The other environment."},
		{Name: "at_least", Type: "number", Default: "1", Doc: "The number that `terrace parity` has to give, above 0 and at most 1. 1 means that nothing undeclared differs."},
	}, parityRuleAttrs...),
}

// An attribute of resources: an address pattern, and a path behind it.
var attributeRE = regexp.MustCompile(`^(?:module\.[A-Za-z0-9_*-]+(?:\[(?:"[^"\]]*"|[0-9]+|\*)\])?\.)*(?:data\.)?[A-Za-z0-9_*-]+\.[A-Za-z0-9_*-]+(?:\[(?:"[^"\]]*"|[0-9]+|\*)\])?\.[^\s."\[\]]+(?:\.[^\s."\[\]]+|\[(?:[0-9]+|\*)\])*$`)

func (l *load) parityRules(b body) ParityRules {
	return ParityRules{Ignore: l.attributes(b, "ignore"), Identity: l.attributes(b, "identity"), Derived: l.attributes(b, "derived")}
}

func (l *load) attributes(b body, name string) []string {
	items := l.list(b, name, l.ctx)
	for _, it := range items {
		if attributeRE.MatchString(it.text) {
			continue
		}
		hint := ""
		if addressRE.MatchString(it.text) {
			hint = fmt.Sprintf(" Did you mean %q?", it.text+".*")
		}
		l.error(it.rng, fmt.Sprintf("%q is not an attribute", it.text), "An attribute is TYPE.NAME.ATTRIBUTE, inside modules module.NAME.TYPE.NAME.ATTRIBUTE; * stands for any text, for example \"democloud_server.*.image\"."+hint)
	}
	return texts(items)
}

func (l *load) projectParity(b body) ParityRules {
	rules := ParityRules{}
	for _, block := range b.blocks["parity"] {
		inner := l.read(block.Body, parityRulesSchema, block.DefRange())
		rules = l.parityRules(inner)
		v, ok := l.plain(inner, "names", cty.Map(cty.List(cty.String)), l.ctx)
		if !ok {
			continue
		}
		rules.Names = map[string][]string{}
		for env, list := range v.AsValueMap() {
			if list.IsNull() {
				continue
			}
			for _, it := range itemsOf(list, attribute(inner.expr("names"), env)) {
				if !anotherName.MatchString(it.text) {
					l.error(it.rng, fmt.Sprintf("%q is no name of an environment", it.text), "A name has at least two letters, digits, - or _, for example \"prod\".")
				}
				rules.Names[env] = append(rules.Names[env], it.text)
			}
		}
		l.parity = inner
	}
	return rules
}

var anotherName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]+$`)

func (l *load) parityGate(b body) *ParityGate {
	blocks := b.blocks["parity"]
	if len(blocks) == 0 {
		return nil
	}
	inner := l.read(blocks[0].Body, parityGateSchema, blocks[0].DefRange())
	g := &ParityGate{With: l.text(inner, "with", "", l.ctx), AtLeast: 1, ParityRules: l.parityRules(inner)}
	if v, ok := l.plain(inner, "at_least", cty.Number, l.ctx); ok {
		g.AtLeast, _ = v.AsBigFloat().Float64()
		if g.AtLeast <= 0 || g.AtLeast > 1 {
			l.error(inner.rangeOf("at_least"), `"at_least" is out of range`, "A number above 0 and at most 1 is needed, for example 0.98; 1 means that nothing undeclared differs.")
		}
	}
	return g
}

// parityNames checks the environments that parity blocks name.
func (l *load) parityNames() {
	var names []string
	for _, e := range l.envs {
		names = append(names, e.Name)
	}
	for env := range l.cfg.Project.Parity.Names {
		if !slices.Contains(names, env) {
			l.error(l.parity.rangeOf("names"), fmt.Sprintf("Unknown environment %q", env), strings.TrimSpace(fmt.Sprintf("There are %s.%s", listed(names, 12), didYouMean(env, names))))
		}
	}
	for _, e := range l.envs {
		if e.Parity == nil || e.Parity.With == "" {
			continue
		}
		block := e.body.blocks["parity"][0]
		rng := block.DefRange()
		if a := block.Body.Attributes["with"]; a != nil {
			rng = a.Expr.Range()
		}
		switch {
		case e.Parity.With == e.Name:
			l.error(rng, "An environment is like itself", fmt.Sprintf("with names the environment that %q is compared with.", e.Name))
		case !slices.Contains(names, e.Parity.With):
			l.error(rng, fmt.Sprintf("Unknown environment %q", e.Parity.With), strings.TrimSpace(fmt.Sprintf("There are %s.%s", listed(names, 12), didYouMean(e.Parity.With, names))))
		case l.cfg.Project.State == "stack":
			l.error(block.DefRange(), "Environments that cannot be compared", "With state = \"stack\" the server does not see the states, so nothing could ever enter. Remove the block, or keep the states in Terrace.")
		}
	}
}
