package config

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	goversion "github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/terrace-cd/terrace/internal/core"
)

// LoadGuardrails reads the guardrails.hcl of a folder, with the files that its policies
// name. It is nil when there are errors.
func LoadGuardrails(tree Tree) (*Guardrails, hcl.Diagnostics) {
	return LoadGuardrailsFile(tree, GuardrailsFile)
}

// LoadGuardrailsFile is LoadGuardrails for a file of another name.
func LoadGuardrailsFile(tree Tree, file string) (*Guardrails, hcl.Diagnostics) {
	l := &guardLoad{load: load{tree: tree, root: ".", file: file}, g: &Guardrails{Bundle: map[string]string{}, groups: map[string][]string{}, emails: map[string]string{}}}
	l.bad = map[hclsyntax.Expression]bool{}
	l.ctx = &hcl.EvalContext{Functions: pureFunctions}
	if raw, ok := l.openGuardrails(); ok {
		top := l.read(raw, guardrailsSchema, startOf(l.file))
		l.people(top)
		l.guardedEnvironments(top)
		l.guardedStacks(top)
		l.allows(top)
		l.policies(top)
		l.vaults(top)
		l.seconds(top)
	}
	diags := l.all(l.file)
	if diags.HasErrors() {
		return nil, diags
	}
	l.g.Digest = digestOf(l.g.Bundle, string(l.source))
	return l.g, diags
}

// guardLoad is one loading of guardrails.
type guardLoad struct {
	load
	g *Guardrails
}

func (l *guardLoad) openGuardrails() (*hclsyntax.Body, bool) {
	src, err := l.tree.ReadFile(l.file)
	if errors.Is(err, fs.ErrNotExist) {
		l.error(startOf(l.file), "There is no "+l.file, "Guardrails are written in a file of this name; an empty one says nothing. See docs/how-to/guardrails.md.")
		return nil, false
	}
	return l.parsed(src, err)
}

// digestOf identifies the file and the bundle: names, lengths and contents.
func digestOf(bundle map[string]string, file string) string {
	sum := sha256.New()
	part := func(s string) {
		sum.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		sum.Write([]byte(s))
	}
	part(file)
	for _, name := range sortedKeys(bundle) {
		part(name)
		part(bundle[name])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// reach reads where a block holds.
func (l *guardLoad) reach(b body) core.Reach {
	return core.Reach{Projects: l.patterns(b, "projects"), Environments: l.patterns(b, "environments")}
}

var patternRE = regexp.MustCompile(`^[A-Za-z0-9*][A-Za-z0-9_*-]{0,62}$`)

const aPattern = "A pattern is a name in which * stands for any text, for example \"prod*\"."

// patterns reads a list of patterns of names.
func (l *guardLoad) patterns(b body, name string) []string {
	if b.schema.attr(name) == nil {
		return nil
	}
	items := l.some(b, name, "everywhere")
	for _, it := range items {
		if !patternRE.MatchString(it.text) {
			l.error(it.rng, fmt.Sprintf("%q is not a pattern of names", it.text), aPattern)
		}
	}
	return texts(items)
}

// some is list for one that must not be empty: that it holds nowhere, or allows nothing,
// is hardly what is meant. without says what it means to leave the argument out.
func (l *guardLoad) some(b body, name, without string) []item {
	before := len(l.diags)
	items := l.list(b, name, l.ctx)
	if b.has(name) && len(items) == 0 && len(l.diags) == before {
		l.error(b.rangeOf(name), fmt.Sprintf("%q is empty", name), fmt.Sprintf("Name something, or leave %s out, which means %s.", name, without))
	}
	return items
}

// pattern checks the label of a block that holds for what a pattern means.
func (l *guardLoad) pattern(kind string, block *hclsyntax.Block) (string, bool) {
	if text := block.Labels[0]; patternRE.MatchString(text) {
		return text, true
	}
	l.error(block.LabelRanges[0], fmt.Sprintf("%q is not a pattern of %ss", block.Labels[0], kind), aPattern)
	return "", false
}

func (l *guardLoad) guardedEnvironments(top body) {
	for _, block := range top.blocks["environment"] {
		pattern, ok := l.pattern("environment", block)
		b := l.read(block.Body, guardedEnvironmentSchema, block.DefRange())
		e := GuardedEnvironment{Pattern: pattern, Projects: l.patterns(b, "projects"), Environment: l.environment(pattern, b).Environment,
			Gives: l.guardedVariables(pattern, b)}
		if e.Approval != nil {
			l.known(e.Approval.From, block)
		}
		if ok {
			l.g.Environments = append(l.g.Environments, e)
		}
	}
}

// known refuses approvals by groups that nobody has written down: they could never be met.
func (l *guardLoad) known(from []string, block *hclsyntax.Block) {
	for _, inner := range block.Body.Blocks {
		attr := inner.Body.Attributes["from"]
		if inner.Type != "approval" || attr == nil {
			continue
		}
		for i, who := range from {
			l.group(item{who, element(attr.Expr, i).Range()})
		}
	}
}

func (l *guardLoad) guardedStacks(top body) {
	for _, block := range top.blocks["stack"] {
		pattern, ok := l.pattern("stack", block)
		b := l.read(block.Body, guardedStackSchema, block.DefRange())
		s := GuardedStack{Pattern: pattern, Reach: l.reach(b), Protection: l.protection(b)}
		if ok {
			l.g.Stacks = append(l.g.Stacks, s)
		}
	}
}

// A provider's full address, in which * stands for any text: also for several parts of it.
var providerRE = regexp.MustCompile(`^([A-Za-z0-9.*:-]+(/[A-Za-z0-9_.*-]+){2}|([A-Za-z0-9.:-]+/([A-Za-z0-9_.-]+/)?)?[A-Za-z0-9_.-]*\*)$`)

func (l *guardLoad) allows(top body) {
	for _, block := range top.blocks["allow"] {
		b := l.read(block.Body, allowSchema, block.DefRange())
		a := Allow{Reach: l.reach(b), EngineVersions: l.text(b, "engine_versions", "", l.ctx)}
		engines := l.some(b, "engines", "any engine")
		for _, it := range engines {
			if known := projectSchema.attr("engine").Values; !slices.Contains(known, it.text) {
				l.error(it.rng, fmt.Sprintf("Unknown engine %q", it.text), fmt.Sprintf("There are %s.%s", quoted(known, 9), didYouMean(it.text, known)))
			}
		}
		a.Engines = texts(engines)
		if v := a.EngineVersions; v != "" {
			if _, err := goversion.NewConstraint(v); err != nil {
				l.error(b.rangeOf("engine_versions"), fmt.Sprintf("%q is not a version constraint", v), "Write for example \">= 1.10, < 2.0\".")
			}
		}
		providers := l.some(b, "providers", "any provider")
		for _, it := range providers {
			if providerRE.MatchString(it.text) {
				continue
			}
			hint := ""
			if strings.Count(it.text, "/") == 1 {
				hint = fmt.Sprintf(" Did you mean %q?", "registry.opentofu.org/"+it.text)
			}
			l.error(it.rng, fmt.Sprintf("%q is not a provider's address", it.text), "A full address is HOST/NAMESPACE/NAME; * stands for any text."+hint)
		}
		a.Providers = texts(providers)
		modules := l.some(b, "modules", "any module")
		for _, it := range modules {
			if strings.TrimSpace(it.text) == "" || strings.ContainsAny(it.text, " \t\r\n") {
				l.error(it.rng, fmt.Sprintf("%q is not the source of a module", it.text), "Write it as in the code, with * for any text, for example \"git::https://git.example.com/*\".")
			}
		}
		a.Modules = texts(modules)
		l.g.Allow = append(l.g.Allow, a)
	}
}

func (l *guardLoad) policies(top body) {
	blocks := top.blocks["policy"]
	if len(blocks) == 0 {
		return
	}
	files, err := l.tree.Files()
	if err != nil {
		l.error(startOf(l.file), "The folder of the guardrails cannot be read", err.Error())
		return
	}
	seen := map[string]*hclsyntax.Block{}
	for _, block := range blocks {
		b := l.read(block.Body, policySchema, block.DefRange())
		if l.unique("policy", "policies", block, seen) {
			l.g.Policies = append(l.g.Policies, Policy{Name: block.Labels[0], Reach: l.reach(b), Files: l.bundle(b, files), Namespaces: l.packages(b, "namespaces", l.ctx)})
		}
	}
}

// unique checks the name of a block, which only one may have.
func (l *guardLoad) unique(kind, kinds string, block *hclsyntax.Block, seen map[string]*hclsyntax.Block) bool {
	if !core.ValidUser(block.Labels[0]) {
		l.error(block.LabelRanges[0], fmt.Sprintf("Invalid name of %s", article(kind)), fmt.Sprintf("%q cannot name %s: %s.", block.Labels[0], article(kind), core.UserNames))
		return false
	}
	if first := seen[block.Labels[0]]; first != nil {
		l.error(block.LabelRanges[0], fmt.Sprintf("Two %s %q", kinds, block.Labels[0]), fmt.Sprintf("The first is at %s:%d. Rename one of them, or merge them.", l.file, first.TypeRange.Start.Line))
		return false
	}
	seen[block.Labels[0]] = block
	return true
}

// bundle takes the files that globs name into the bundle.
func (l *guardLoad) bundle(b body, files []string) []string {
	found := map[string]bool{}
	for _, it := range l.some(b, "files", "nothing, so remove the policy") {
		pattern, summary, detail := glob(l.root, it.text, "files")
		if summary != "" {
			here := strings.NewReplacer("the repository", "the folder of the guardrails", "A release holds", "They hold", FileName, l.file)
			l.error(it.rng, here.Replace(summary), here.Replace(detail))
			continue
		}
		any := false
		for _, name := range files {
			if ok, _ := doublestar.Match(pattern, name); !ok {
				continue
			}
			any = true
			content, err := l.tree.ReadFile(name)
			switch {
			case err != nil:
				l.error(it.rng, fmt.Sprintf("%s cannot be read", name), err.Error())
			case refuse(name, content) != nil:
				l.error(it.rng, fmt.Sprintf("%s is no text", name), refuse(name, content).Summary+".")
			case !strings.HasSuffix(name, ".rego"):
				l.error(it.rng, fmt.Sprintf("%s is no policy", name), "Policies are written in Rego, in files whose names end in .rego. Let the glob say so, for example \"policies/*.rego\".")
			default:
				l.g.Bundle[name], found[name] = string(content), true
			}
		}
		if !any {
			l.error(it.rng, fmt.Sprintf("No file matches %q", it.text), "Paths are relative to the folder of the guardrails."+near(it.text, files))
		}
	}
	return sortedKeys(found)
}

func (l *guardLoad) seconds(top body) {
	for _, block := range top.blocks["exceptions"] {
		before := len(l.diags)
		b := l.read(block.Body, exceptionsSchema, block.DefRange())
		r := exceptionRule{l.reach(b), core.ExceptionRule{Second: l.boolean(b, "second_person", l.ctx), Most: l.duration(b, "max", 0, l.ctx)}}
		if b.has("max") && (r.Most < core.LeastException || r.Most > core.MostException) && len(l.diags) == before {
			l.error(b.rangeOf("max"), `"max" is out of range`, fmt.Sprintf("An exception lasts from %s to %s.", core.LeastException, core.MostException))
		}
		l.g.exceptions = append(l.g.exceptions, r)
	}
	for _, block := range top.blocks["sandboxes"] {
		before := len(l.diags)
		b := l.read(block.Body, sandboxesSchema, block.DefRange())
		r := sandboxRule{l.patterns(b, "projects"), core.DefaultSandboxRule}
		if n, ok := l.whole(b, "per_person", 0, l.ctx); ok {
			r.PerPerson = n
		}
		if n, ok := l.whole(b, "per_project", 0, l.ctx); ok {
			r.PerProject = n
		}
		if r.Longest = l.duration(b, "longest", r.Longest, l.ctx); r.Longest < core.LeastSandbox && len(l.diags) == before {
			l.error(b.rangeOf("longest"), `"longest" is too short`, fmt.Sprintf("A sandbox lasts %s at least.", core.LeastSandbox))
		}
		l.g.sandboxes = append(l.g.sandboxes, r)
	}
	for _, block := range top.blocks["skip"] {
		b := l.read(block.Body, skipSchema, block.DefRange())
		l.g.skips = append(l.g.skips, skipRule{Reach: l.reach(b), second: l.boolean(b, "second_person", l.ctx)})
	}
}
