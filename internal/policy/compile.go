package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/wire"
)

// MaxBytes bounds the text of a set.
const MaxBytes = 1 << 20

// Set is a compiled set of policies.
type Set struct {
	source   wire.Policy
	compiler *ast.Compiler
	modules  map[string]*ast.Module
	rules    []rule
	limits   Limits
}

// rule is one definition that judges.
type rule struct {
	namespace, name string
	verdict         string
	ask             ast.Ref // what evaluates to its results
	file            string
	line            int
}

func (r rule) String() string { return r.namespace + "." + r.name }
func (r rule) at() string     { return r.file + ":" + strconv.Itoa(r.line) }

var (
	denies = regexp.MustCompile(`^(deny|violation)(_[a-zA-Z0-9]+)*$`)
	warns  = regexp.MustCompile(`^warn(_[a-zA-Z0-9]+)*$`)
)

// verdictOf is what a rule of that name says, "" when it does not judge.
func verdictOf(name string) string {
	switch {
	case denies.MatchString(name):
		return guard.Deny
	case warns.MatchString(name):
		return guard.Warn
	}
	return ""
}

// Compile compiles a set. Files with tests are not part of it. An Invalid error lists all
// that is wrong, each with file and line.
func Compile(p wire.Policy) (*Set, error) {
	judging := slices.DeleteFunc(slices.Clone(p.Files), func(f wire.PolicyFile) bool { return IsTest(f.Path) })
	s := &Set{source: p, limits: DefaultLimits}
	if err := s.parse(judging); err != nil {
		return nil, err
	}
	s.find()
	if len(s.rules) == 0 {
		return nil, s.noRules()
	}
	return s, s.compile(false)
}

// parse reads the files, each as Rego v1 or else as v0: what the first reads it means as
// the first does, so nothing changes its meaning by being tried as both.
func (s *Set) parse(files []wire.PolicyFile) error {
	size := 0
	var problems []string
	s.modules = map[string]*ast.Module{}
	for _, f := range sorted(files) {
		if size += len(f.Text); size > MaxBytes {
			return core.Errorf(core.Invalid, "%s has files of more than %d KiB together", title(s.source), MaxBytes>>10)
		}
		if s.modules[f.Path] != nil {
			problems = append(problems, f.Path+": two files of that name")
			continue
		}
		m, err := parseFile(f, ast.RegoV1)
		if err != nil {
			if old, errOld := parseFile(f, ast.RegoV0); errOld == nil {
				m, err = old, nil
			}
		}
		switch {
		case err != nil:
			problems = append(problems, lines(err)...)
		case m == nil:
			problems = append(problems, f.Path+": the file is empty")
		default:
			s.modules[f.Path] = m
		}
	}
	if len(problems) > 0 {
		return s.invalid(problems)
	}
	return nil
}

func parseFile(f wire.PolicyFile, v ast.RegoVersion) (*ast.Module, error) {
	return ast.ParseModuleWithOpts(f.Path, f.Text, ast.ParserOptions{RegoVersion: v, Capabilities: capabilities()})
}

// copied begins the names of copies.
const copied = "terrace_rule_"

// find lists the rules that judge. One that adds messages to a set is copied under a name
// of its own, and the copy is asked: a set that several definitions make does not tell
// which of them a message is from.
func (s *Set) find() {
	for _, file := range slices.Sorted(keys(s.modules)) {
		m := s.modules[file]
		namespace := strings.TrimPrefix(m.Package.Path.String(), "data.")
		if !slices.Contains(namespaces(s.source), namespace) {
			continue
		}
		for _, defined := range slices.Clone(m.Rules) {
			name := defined.Head.Ref()[0].Value.String()
			name = strings.Trim(name, `"`)
			verdict := verdictOf(name)
			if verdict == "" {
				continue
			}
			r := rule{namespace: namespace, name: name, verdict: verdict, file: file, line: defined.Location.Row}
			if defined.Head.RuleKind() == ast.MultiValue && len(defined.Head.Ref()) == 1 {
				name = copied + strconv.Itoa(len(s.rules))
				double := defined.Copy()
				double.Head.SetRef(ast.Ref{ast.VarTerm(name)})
				double.Head.Name = ast.Var(name)
				m.Rules = append(m.Rules, double)
			} else if slices.ContainsFunc(s.rules, func(o rule) bool { return o.namespace == namespace && o.name == name }) {
				continue // a complete rule is asked once, however many definitions it has
			}
			r.ask = m.Package.Path.Append(ast.StringTerm(name))
			s.rules = append(s.rules, r)
		}
	}
}

func (s *Set) compile(print bool) error {
	s.compiler = ast.NewCompiler().WithCapabilities(capabilities()).WithEnablePrintStatements(print)
	s.compiler.Compile(s.modules)
	if !s.compiler.Failed() {
		return nil
	}
	// What is wrong with a rule is wrong with its copy.
	all := lines(s.compiler.Errors)
	own := slices.DeleteFunc(slices.Clone(all), func(line string) bool { return strings.Contains(line, copied) })
	if len(own) == 0 {
		own = all
	}
	slices.Sort(own)
	return s.invalid(slices.Compact(own))
}

// title names a set for people, at the beginning of a sentence.
func title(p wire.Policy) string {
	if p.From == "" {
		return "The check " + p.Name
	}
	return fmt.Sprintf("The check %s (%s)", p.Name, p.From)
}

func (s *Set) invalid(problems []string) error {
	const most = 20
	more := ""
	if len(problems) > most {
		more = fmt.Sprintf("\nand %d more", len(problems)-most)
		problems = problems[:most]
	}
	return core.Errorf(core.Invalid, "%s does not compile:\n%s%s", title(s.source), strings.Join(problems, "\n"), more)
}

// noRules refuses a set that would let everything pass in silence.
func (s *Set) noRules() error {
	var packages []string
	for _, m := range s.modules {
		packages = append(packages, strings.TrimPrefix(m.Package.Path.String(), "data."))
	}
	slices.Sort(packages)
	return core.Errorf(core.Invalid, "%s judges nothing: there is no rule deny, violation or warn in package %s. Its files have package %s; name the packages whose rules judge (policy_namespaces in terrace.hcl, namespaces in a policy block)",
		title(s.source), strings.Join(namespaces(s.source), " or "), strings.Join(slices.Compact(packages), ", "))
}

// lines are the problems in an error of the parser or the compiler, in order.
func lines(err error) []string {
	var several ast.Errors
	if !errors.As(err, &several) {
		var one *ast.Error
		if !errors.As(err, &one) {
			return []string{err.Error()}
		}
		several = ast.Errors{one}
	}
	var out []string
	for _, e := range several {
		text := e.Message
		if name := withheldIn(text); name != "" {
			text = "policies do not have " + name + ": a verdict depends on the plan alone, not on the network, files, chance or the time, and takes a bounded time"
		}
		if e.Location != nil {
			text = fmt.Sprintf("%s:%d: %s", e.Location.File, e.Location.Row, text)
		}
		if e.Details != nil {
			for _, detail := range e.Details.Lines() {
				text += "\n  " + detail
			}
		}
		out = append(out, text)
	}
	return out
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
