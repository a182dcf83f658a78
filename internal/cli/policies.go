package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/plan"
	"github.com/terrace-cd/terrace/internal/policy"
	"github.com/terrace-cd/terrace/internal/wire"
)

// triedPolicy is what came of the tests of a policy, or of a plan that it judged.
type triedPolicy struct {
	Name   string          `json:"name"`
	From   string          `json:"from"`
	Tests  []policy.Tested `json:"tests,omitempty"`
	Checks []wire.Check    `json:"checks,omitempty"`
}

// bad reports whether something failed or denies.
func (t triedPolicy) bad() bool {
	return slices.ContainsFunc(t.Tests, func(r policy.Tested) bool { return r.Result == policy.Failed || r.Result == policy.Errored }) ||
		slices.ContainsFunc(t.Checks, func(c wire.Check) bool { return c.Verdict == guard.Deny })
}

func newGuardrailsTest() *cobra.Command {
	var planFile, instance string
	var showInput bool
	c := &cobra.Command{Use: "test [FILE|DIR]", Short: "Run the tests of policies, or judge a plan by them", Args: cobra.MaximumNArgs(1),
		Long: `Runs the tests of the policies that a guardrails.hcl or a terrace.hcl names (default: of
those here), as opa test does: rules whose names begin with test_, in files _test.rego
beside the policies. x_test.rego belongs to x.rego; where there is none, to all policies in
its folder. The exit code is 1 when one fails.

With --plan, the policies judge a plan instead: what tofu show -json wrote, from which they
see what they see on the server, release and project aside. Sensitive values are as they
are in the file. The exit code is 1 when one denies.`,
		Example: `  terrace guardrails test
  terrace guardrails test rails/ --json
  tofu show -json plan.tfplan > plan.json && terrace guardrails test --plan plan.json --instance web@production`,
		RunE: func(cmd *cobra.Command, args []string) error {
			s := &settings{json: asJSON(cmd)}
			if planFile == "" && (showInput || cmd.Flags().Changed("instance")) {
				return usage(errors.New("--show-input and --instance are about a plan; name it with --plan FILE"))
			}
			var input *policy.Document
			if planFile != "" {
				d, err := inputOf(planFile, instance)
				if err != nil {
					return err
				}
				input = &d
			}
			if showInput {
				text, err := input.JSON()
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
				return err
			}
			sets, err := policiesAt(cmd, append(args, ".")[0])
			if err != nil {
				return err
			}
			return s.tryPolicies(cmd, sets, input)
		}}
	c.Flags().StringVar(&planFile, "plan", "", "have the policies judge this plan, in JSON as tofu show -json writes it")
	c.Flags().StringVar(&instance, "instance", "stack@environment", "with --plan: the instance that it is judged as")
	c.Flags().BoolVar(&showInput, "show-input", false, "with --plan: print what policies see as input, and judge nothing")
	return c
}

// inputOf makes what policies see of a plan in a file.
func inputOf(file, instance string) (policy.Document, error) {
	stack, environment, err := core.ParseInstance(instance)
	if err != nil {
		return policy.Document{}, usage(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return policy.Document{}, core.Errorf(core.NotFound, "the plan cannot be read: %w", err)
	}
	parsed, err := plan.Parse(text)
	if err != nil {
		return policy.Document{}, core.Errorf(core.CodeOf(err), "%s: %w; write it with: tofu show -json PLAN > %[1]s", file, err)
	}
	decoded, err := policy.Decode(text)
	if err != nil {
		return policy.Document{}, err
	}
	return policy.NewDocument(decoded, wire.About{Environment: environment, Stack: stack, Instance: instance, Kind: string(core.KindDeploy), Actions: plan.Actions(parsed.Plan)})
}

func (s *settings) tryPolicies(cmd *cobra.Command, sets []wire.Policy, input *policy.Document) error {
	tried := []triedPolicy{}
	bad := false
	for _, p := range sets {
		t, err := tryPolicy(cmd.Context(), p, input)
		if err != nil {
			return err
		}
		bad = bad || t.bad()
		tried = append(tried, t)
	}
	if err := s.show(cmd, tried, func(out io.Writer) {
		for _, t := range tried {
			printTried(out, t, input != nil)
		}
	}); err != nil || !bad {
		return err
	}
	return exitError{exitFailed, nil}
}

func tryPolicy(ctx context.Context, p wire.Policy, input *policy.Document) (t triedPolicy, err error) {
	t.Name, t.From = p.Name, p.From
	set, err := policy.Compile(p)
	switch {
	case err != nil:
	case input != nil:
		t.Checks = set.Judge(ctx, *input)
	case slices.ContainsFunc(p.Files, func(f wire.PolicyFile) bool { return policy.IsTest(f.Path) }):
		t.Tests, err = policy.Test(ctx, p)
	}
	return t, err
}

func printTried(out io.Writer, t triedPolicy, judged bool) {
	for _, c := range t.Checks {
		_, _ = fmt.Fprintf(out, "%s: %s: %s\n", t.Name, c.Verdict, c.Message)
	}
	if judged {
		return
	}
	results := map[string]int{}
	for _, r := range t.Tests {
		results[r.Result]++
		if r.Result == policy.Passed {
			continue
		}
		_, _ = fmt.Fprintf(out, "%s %s:%d: %s", r.Result, r.File, r.Line, r.Name)
		if r.Message != "" {
			_, _ = fmt.Fprintf(out, ": %s", r.Message)
		}
		_, _ = fmt.Fprintln(out)
		for _, line := range r.Printed {
			_, _ = fmt.Fprintf(out, "    %s\n", line)
		}
	}
	if len(t.Tests) == 0 {
		_, _ = fmt.Fprintf(out, "%s (%s): it compiles, and has no tests: write them in files _test.rego beside it\n", t.Name, t.From)
		return
	}
	var words []string
	for _, result := range []string{policy.Passed, policy.Failed, policy.Errored, policy.Skipped} {
		if n := results[result]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, result))
		}
	}
	_, _ = fmt.Fprintf(out, "%s (%s): %s\n", t.Name, t.From, strings.Join(words, ", "))
}

// policiesAt reads the policies, with their tests, of the guardrails.hcl or terrace.hcl that
// is named, or of those in a folder.
func policiesAt(cmd *cobra.Command, name string) ([]wire.Policy, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, core.Errorf(core.NotFound, "%s cannot be read: %w", name, err)
	}
	files := []string{name}
	if info.IsDir() {
		files = nil
		for _, file := range []string{config.GuardrailsFile, config.FileName} {
			if _, err := os.Stat(filepath.Join(name, file)); err == nil {
				files = append(files, filepath.Join(name, file))
			}
		}
		if len(files) == 0 {
			return nil, core.Errorf(core.NotFound, "there is neither a %s nor a %s in %s, so no policies are known; name one of them", config.GuardrailsFile, config.FileName, name)
		}
	}
	var all []wire.Policy
	for _, file := range files {
		read := guardrailsPolicies
		if filepath.Base(file) == config.FileName {
			read = projectPolicies
		}
		sets, err := read(cmd.ErrOrStderr(), file)
		if err != nil {
			return nil, err
		}
		all = append(all, sets...)
	}
	if len(all) == 0 {
		return nil, core.Errorf(core.NotFound, "%s names no policies: write policies = [\"policies/*.rego\"] in the project block of %s, or a policy block in %s", strings.Join(files, " and "), config.FileName, config.GuardrailsFile)
	}
	return all, nil
}

func guardrailsPolicies(stderr io.Writer, file string) ([]wire.Policy, error) {
	tree := config.Dir(cmp.Or(filepath.Dir(file), "."))
	g, diags := config.LoadGuardrailsFile(tree, filepath.Base(file))
	if diags.HasErrors() {
		_, _ = io.WriteString(stderr, config.Render(diags, tree, isTerminal(stderr)))
		return nil, exitError{exitFailed, fmt.Errorf("%s does not hold", file)}
	}
	return setsOf(g, tree, file)
}

// setsOf are the policies of guardrails, each with its tests.
func setsOf(g *config.Guardrails, tree config.Tree, file string) ([]wire.Policy, error) {
	var all []wire.Policy
	for _, p := range g.Policies {
		set := wire.Policy{Name: "policy " + p.Name, From: file, Namespaces: p.Namespaces}
		for _, name := range p.Files {
			set.Files = append(set.Files, wire.PolicyFile{Path: name, Text: g.Bundle[name]})
		}
		if err := addTests(&set, tree); err != nil {
			return nil, err
		}
		all = append(all, set)
	}
	return all, nil
}

func projectPolicies(stderr io.Writer, file string) ([]wire.Policy, error) {
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	repository, root := repositoryOf(dir)
	tree := config.Dir(repository)
	cfg, diags := config.Load(tree, root)
	if diags.HasErrors() {
		_, _ = io.WriteString(stderr, config.Render(diags, tree, isTerminal(stderr)))
		return nil, exitError{exitFailed, fmt.Errorf("%s does not hold", file)}
	}
	return setOf(cfg, tree)
}

// setOf are the policies of a project, one set with its tests, or none.
func setOf(cfg *config.Config, tree config.Tree) ([]wire.Policy, error) {
	files, err := cfg.PolicyFiles()
	if err != nil || len(files) == 0 {
		return nil, err
	}
	set := wire.Policy{Name: "policies", From: config.FileName, Namespaces: cfg.Project.PolicyNamespaces}
	for _, f := range files {
		set.Files = append(set.Files, wire.PolicyFile{Path: f.Path, Text: f.Text})
	}
	err = addTests(&set, tree)
	return []wire.Policy{set}, err
}

// addTests adds the tests beside a set's files: x_test.rego belongs to x.rego, and to all in
// its folder where there is no x.rego.
func addTests(set *wire.Policy, tree config.Tree) error {
	all, err := tree.Files()
	if err != nil {
		return err
	}
	has, folders := map[string]bool{}, map[string]bool{}
	for _, f := range set.Files {
		has[f.Path], folders[path.Dir(f.Path)] = true, true
	}
	for _, name := range all {
		tested := strings.TrimSuffix(name, "_test"+policy.Extension) + policy.Extension
		if !policy.IsTest(name) || has[name] || !folders[path.Dir(name)] || !has[tested] && slices.Contains(all, tested) {
			continue
		}
		text, err := tree.ReadFile(name)
		if err != nil {
			return core.Errorf(core.Invalid, "the tests in %s cannot be read: %w", name, err)
		}
		set.Files = append(set.Files, wire.PolicyFile{Path: name, Text: strings.ToValidUTF8(string(text), "\uFFFD")})
	}
	return nil
}

// compiled says what does not compile of policies.
func compiled(sets []wire.Policy) error {
	var problems error
	for _, p := range sets {
		if _, err := policy.Compile(p); err != nil {
			problems = errors.Join(problems, err)
		}
	}
	return problems
}

// policiesProblem is what compiled said, for machines; file is the one that names the policies.
func policiesProblem(broken error, file string) config.Problem {
	return config.Problem{Severity: "error", Summary: "The policies do not compile", Detail: broken.Error(), File: file}
}
