package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Judge compiles a set and has it judge a plan. There is always a verdict: a set that
// does not compile, that cannot be evaluated or that does not end denies.
func Judge(ctx context.Context, p wire.Policy, in Document) []wire.Check {
	s, err := Compile(p)
	if err != nil {
		return []wire.Check{broken(p, in, err)}
	}
	return s.Judge(ctx, in)
}

// Judge has the set judge a plan.
func (s *Set) Judge(ctx context.Context, in Document) []wire.Check {
	checks, err := bounded(ctx, s.limits, func(ctx context.Context) ([]wire.Check, error) { return s.judge(ctx, in) })
	if err != nil {
		return []wire.Check{broken(s.source, in, core.Errorf(core.Invalid, "%s could not be evaluated: %w", title(s.source), err))}
	}
	return checks
}

// broken is the verdict of a policy that has none: it must not pass.
func broken(p wire.Policy, in Document, why error) wire.Check {
	return wire.Check{Name: p.Name, Verdict: guard.Deny, From: p.From,
		Message: fmt.Sprintf("%s: nothing is applied that a policy could not judge. %s\nMend the policy. What a release has is mended in a commit that changes nothing else: without changes there is nothing to judge, and the release after it is judged by what is mended",
			in.about.Instance, core.MessageOf(why))}
}

func (s *Set) judge(ctx context.Context, in Document) ([]wire.Check, error) {
	var checks []wire.Check
	excepted := map[string]map[string]bool{}
	for _, namespace := range namespaces(s.source) {
		names, err := s.exceptions(ctx, namespace, in)
		if err != nil {
			return nil, err
		}
		excepted[namespace] = names
	}
	var odd []topdown.Error
	for _, r := range s.rules {
		value, err := s.ask(ctx, r.ask, in, &odd)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", r, r.at(), err)
		}
		results, err := resultsOf(value)
		if err != nil {
			return nil, fmt.Errorf("%s, %s: %w", r, r.at(), err)
		}
		for _, result := range results {
			checks = append(checks, s.check(r, result, in, excepted[r.namespace]))
		}
	}
	checks = append(checks, s.oddities(odd, in)...)
	slices.SortStableFunc(checks, func(a, b wire.Check) int { return rank(a) - rank(b) })
	if len(checks) == 0 {
		checks = append(checks, wire.Check{Name: s.source.Name, Verdict: guard.Pass, From: s.source.From,
			Message: fmt.Sprintf("nothing against it in %s: %s, %s", s.source.From, count(len(s.rules), "rule"), count(len(s.modules), "file"))})
	}
	return checks, nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// rank sorts what stops a plan before what is only shown.
func rank(c wire.Check) int {
	return slices.Index([]string{guard.Deny, guard.Warn, guard.Pass}, c.Verdict)
}

// check is the verdict that one result of a rule makes.
func (s *Set) check(r rule, result result, in Document, excepted map[string]bool) wire.Check {
	c := wire.Check{Name: s.source.Name, Verdict: r.verdict, From: s.source.From, Rule: r.String(), File: r.at(), Resource: result.resource, Details: result.details}
	what := result.message
	if what == "" {
		what = r.String() + " holds, without a message"
	}
	if c.Resource != "" && !strings.Contains(what, c.Resource) {
		what = c.Resource + ": " + what
	}
	if r.verdict == guard.Deny && (excepted[r.name] || excepted[bare(r.name)]) {
		c.Verdict = guard.Warn
		what += "; " + r.namespace + ".exception lets it"
	}
	c.Message = fmt.Sprintf("%s: %s (%s in %s, %s)", in.about.Instance, what, r, r.at(), s.source.From)
	return c
}

// bare is a rule's name as exceptions name it: without deny_ and violation_, and "" for
// deny and violation themselves.
func bare(name string) string {
	for _, prefix := range []string{"deny", "violation"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			return strings.TrimPrefix(rest, "_")
		}
	}
	return name
}

// exceptions are the rules that exception[_] lists, by name.
func (s *Set) exceptions(ctx context.Context, namespace string, in Document) (map[string]bool, error) {
	names := map[string]bool{}
	if !s.has(namespace, "exception") {
		return names, nil
	}
	path, err := ast.ParseRef("data." + namespace + ".exception")
	if err != nil {
		return nil, err
	}
	value, err := s.ask(ctx, path, in, nil)
	if err != nil {
		return nil, fmt.Errorf("%s.exception: %w", namespace, err)
	}
	lists, _ := value.([]any)
	for _, list := range lists {
		rules, _ := list.([]any)
		for _, name := range rules {
			if name, ok := name.(string); ok {
				names[name] = true
			}
		}
	}
	return names, nil
}

func (s *Set) has(namespace, name string) bool {
	for _, m := range s.modules {
		if m.Package.Path.String() != "data."+namespace {
			continue
		}
		if slices.ContainsFunc(m.Rules, func(r *ast.Rule) bool { return r.Head.Ref()[0].Value.Compare(ast.Var(name)) == 0 }) {
			return true
		}
	}
	return false
}

// ask evaluates what is at a path, nil when it is undefined.
func (s *Set) ask(ctx context.Context, path ast.Ref, in Document, odd *[]topdown.Error) (any, error) {
	options := []func(*rego.Rego){rego.Compiler(s.compiler), rego.ParsedQuery(ast.NewBody(ast.NewExpr(ast.NewTerm(path)))), rego.ParsedInput(in.value)}
	if odd != nil {
		options = append(options, rego.BuiltinErrorList(odd))
	}
	results, err := rego.New(options...).Eval(ctx)
	if err != nil {
		return nil, plain(err)
	}
	if len(results) == 0 {
		return nil, nil
	}
	return results[0].Expressions[0].Value, nil
}

// plain is an error of an evaluation without OPA's codes.
func plain(err error) error {
	var failed *topdown.Error
	if !errors.As(err, &failed) {
		return err
	}
	if failed.Location != nil {
		return fmt.Errorf("%s:%d: %s", failed.Location.File, failed.Location.Row, failed.Message)
	}
	return errors.New(failed.Message)
}

// oddities are the built-in functions that failed. Rego calls that undefined, and a rule
// that depends on it does not hold: it has to be seen, and is no reason to deny.
func (s *Set) oddities(errs []topdown.Error, in Document) []wire.Check {
	var out []wire.Check
	seen := map[string]bool{}
	for i := range errs {
		e := &errs[i]
		if e.Location == nil {
			continue
		}
		at := fmt.Sprintf("%s:%d", e.Location.File, e.Location.Row)
		if seen[at] {
			continue
		}
		seen[at] = true
		out = append(out, wire.Check{Name: s.source.Name, Verdict: guard.Warn, From: s.source.From, File: at,
			Message: fmt.Sprintf("%s: a built-in function failed, so what depends on it does not hold: %s (%s, %s)", in.about.Instance, e.Message, at, s.source.From)})
	}
	return out
}

// result is one message of a rule.
type result struct {
	message  string
	resource string
	details  map[string]any
}

// resultsOf reads what a rule gives: a set or a list of messages, each a text or an object
// with msg. True alone is a denial without a message. Everything else is an error: a rule
// that says something in a way that nobody reads must not pass.
func resultsOf(value any) ([]result, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case bool:
		if !v {
			return nil, nil
		}
		return []result{{}}, nil
	case []any:
		var out []result
		for _, element := range v {
			r, err := resultOf(element)
			if err != nil {
				return nil, err
			}
			out = append(out, r)
		}
		return out, nil
	}
	return nil, fmt.Errorf("it is %s; a rule that judges is a set of messages: deny contains msg if { … }", kind(value))
}

func resultOf(element any) (result, error) {
	switch v := element.(type) {
	case string:
		return result{message: v}, nil
	case map[string]any:
		message, ok := v["msg"].(string)
		if !ok {
			return result{}, errors.New(`an object that it gives has no text "msg"`)
		}
		r := result{message: message}
		for name, value := range v {
			if name == "msg" {
				continue
			}
			if r.details == nil {
				r.details = map[string]any{}
			}
			r.details[name] = value
		}
		for _, name := range []string{"resource", "address"} {
			if text, ok := r.details[name].(string); ok && r.resource == "" {
				r.resource = text
			}
		}
		return r, nil
	}
	return result{}, fmt.Errorf("it gives %s; a message is a text or an object with msg", kind(element))
}

func kind(value any) string {
	switch value.(type) {
	case string:
		return "a text"
	case json.Number:
		return "a number"
	case bool:
		return "true or false"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case nil:
		return "null"
	}
	return fmt.Sprintf("a %T", value)
}
