package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// noGuardrails is what somebody reads who looks for guardrails that are not there.
const noGuardrails = `There are no guardrails: the repositories alone decide what is asked of their changes.
Write down what none of them may weaken, in a file guardrails.hcl, and store it:

    environment "prod*" {
      approval {
        others = true
      }
    }

    terrace guardrails set guardrails.hcl

All of the language: docs/reference/guardrails.md
`

func newGuardrailsCommand(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "guardrails", Short: "What no repository can weaken: set, show, history, check, test",
		Long: `Guardrails are kept on the server and written by its admins: approvals, windows, limits,
protected addresses, policies, what may be used, and who may do what. A repository can
only add to them.`}
	c.AddCommand(newGuardrailsSet(s), newGuardrailsShow(s), newGuardrailsHistory(s), newGuardrailsCheck(), newGuardrailsTest())
	return c
}

func newGuardrailsSet(s *settings) *cobra.Command {
	var yes bool
	var onTop int64
	c := &cobra.Command{Use: "set FILE|DIR", Short: "Store a new version, after showing what it changes", Args: cobra.ExactArgs(1),
		Long: `Stores a guardrails.hcl, with the policies that it names beside it, as a new version. Shows what
it changes first, and refuses a file that does not hold. From then on every plan, stage and
approval is judged by it. Guardrails are taken away by setting an empty file.`,
		Example: "  terrace guardrails set guardrails.hcl\n  terrace guardrails set rails/ --yes --if-version 4",
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			files, err := s.readGuardrails(cmd, args[0])
			if err != nil {
				return err
			}
			now, err := c.Guardrails(ctx, 0)
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("if-version") {
				onTop = now.Version
			}
			if maps.Equal(now.Files, files) && onTop == now.Version {
				return s.show(cmd, now, func(out io.Writer) {
					_, _ = fmt.Fprintf(out, "Version %d says exactly this; nothing to do.\n", now.Version)
				})
			}
			if !s.json {
				_, _ = io.WriteString(cmd.ErrOrStderr(), diffOfFiles(now.Files, files))
			}
			if err := confirm(cmd, yes, fmt.Sprintf("Set this as version %d of the guardrails of %s?", now.Version+1, c.URL())); err != nil {
				return err
			}
			set, err := c.SetGuardrails(ctx, wire.SetGuardrails{Files: files, IfVersion: &onTop})
			if err != nil {
				return err
			}
			return s.show(cmd, set, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "The guardrails are at version %d. Every plan is judged by them from now on.\n", set.Version)
				for _, w := range set.Warnings {
					_, _ = fmt.Fprintln(out, "Note: "+w)
				}
			})
		})}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().Int64Var(&onTop, "if-version", 0, "refuse unless this is the newest version, 0 for none (default: the one that is compared with)")
	return c
}

// readGuardrails reads and checks a file, or the one in a folder, with its policies.
func (s *settings) readGuardrails(cmd *cobra.Command, name string) (map[string]string, error) {
	dir, file, err := guardrailsAt(name)
	if err != nil {
		return nil, err
	}
	tree := config.Dir(dir)
	g, diags := config.LoadGuardrailsFile(tree, file)
	if len(diags) > 0 {
		stderr := cmd.ErrOrStderr()
		_, _ = io.WriteString(stderr, config.Render(diags, tree, isTerminal(stderr)))
	}
	if diags.HasErrors() {
		return nil, exitError{exitFailed, fmt.Errorf("%s does not hold, and nothing was stored", filepath.Join(dir, file))}
	}
	sets, err := setsOf(g, tree, file)
	if err != nil {
		return nil, err
	}
	if err := compiled(sets); err != nil {
		return nil, err
	}
	text, err := tree.ReadFile(file)
	if err != nil {
		return nil, err
	}
	files := maps.Clone(g.Bundle)
	files[config.GuardrailsFile] = string(text)
	return files, nil
}

// guardrailsAt splits the name of a file, or of a folder with a guardrails.hcl in it.
func guardrailsAt(name string) (dir, file string, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", "", core.Errorf(core.NotFound, "%s cannot be read: %w", name, err)
	}
	if info.IsDir() {
		return name, config.GuardrailsFile, nil
	}
	name = filepath.Clean(name)
	return filepath.Dir(name), filepath.Base(name), nil
}

// diffOfFiles shows what becomes of each file.
func diffOfFiles(before, after map[string]string) string {
	all := maps.Clone(after)
	maps.Copy(all, before)
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out.WriteString(config.Diff(name, []byte(before[name]), []byte(after[name])))
	}
	return out.String()
}

func newGuardrailsShow(s *settings) *cobra.Command {
	var version int64
	var into string
	c := &cobra.Command{Use: "show", Short: "The guardrails, or an older version of them", Args: cobra.NoArgs,
		Example: "  terrace guardrails show\n  terrace guardrails show --version 3 --into rails/",
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			g, err := c.Guardrails(ctx, version)
			if err != nil {
				return err
			}
			if into != "" {
				if err := writeBundle(into, g.Files); err != nil {
					return err
				}
			}
			return s.show(cmd, g, func(out io.Writer) {
				if g.Version == 0 {
					_, _ = io.WriteString(out, noGuardrails)
					return
				}
				_, _ = fmt.Fprintf(out, "# Version %d, set by %s at %s\n", g.Version, g.By, g.Created.Local().Format("15:04 on 2 January 2006"))
				for _, name := range slices.Sorted(maps.Keys(g.Files)) {
					if len(g.Files) > 1 {
						_, _ = fmt.Fprintf(out, "\n# %s\n", name)
					}
					_, _ = fmt.Fprintln(out, strings.TrimRight(g.Files[name], "\n"))
				}
			})
		})}
	c.Flags().Int64Var(&version, "version", 0, "which (default: the newest)")
	c.Flags().StringVar(&into, "into", "", "also write the files into this folder, to change them there")
	return c
}

// writeBundle writes files below a folder, and nowhere else.
func writeBundle(folder string, files map[string]string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	for name, text := range files {
		if !fs.ValidPath(name) {
			err = errors.Join(err, core.Errorf(core.Invalid, "%q is not the name of a file", name))
			continue
		}
		err = errors.Join(err, root.MkdirAll(filepath.Dir(filepath.FromSlash(name)), 0o755), root.WriteFile(filepath.FromSlash(name), []byte(text), 0o644))
	}
	return errors.Join(err, root.Close())
}

func newGuardrailsHistory(s *settings) *cobra.Command {
	return &cobra.Command{Use: "history", Short: "Every version: who set it, and when", Args: cobra.NoArgs, Example: "  terrace guardrails history --json",
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			all, err := c.GuardrailsHistory(ctx)
			if err != nil {
				return err
			}
			return s.show(cmd, all, func(out io.Writer) {
				if len(all) == 0 {
					_, _ = io.WriteString(out, noGuardrails)
					return
				}
				var rows [][]string
				for _, g := range all {
					rows = append(rows, []string{fmt.Sprint(g.Version), g.By, ago(g.Created), g.Digest[:min(12, len(g.Digest))]})
				}
				table(out, []string{"VERSION", "BY", "SET", "DIGEST"}, rows)
			})
		})}
}

func newGuardrailsCheck() *cobra.Command {
	return &cobra.Command{Use: "check FILE|DIR", Short: "Check a guardrails.hcl without storing it", Args: cobra.ExactArgs(1),
		Long:    "Checks a guardrails.hcl and the policies beside it, here, and prints all problems at once; exit code 1\nwhen there are errors.",
		Example: "  terrace guardrails check guardrails.hcl\n  terrace guardrails check rails/ --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			s := &settings{json: asJSON(cmd)}
			dir, file, err := guardrailsAt(args[0])
			if err != nil {
				return err
			}
			tree := config.Dir(dir)
			g, diags := config.LoadGuardrailsFile(tree, file)
			checked := struct {
				Valid    bool             `json:"valid"`
				Files    []string         `json:"files"`
				Problems []config.Problem `json:"problems"`
			}{!diags.HasErrors(), []string{file}, config.Problems(diags)}
			var broken error // of the policies
			if checked.Valid {
				checked.Files = append(checked.Files, slices.Sorted(maps.Keys(g.Bundle))...)
				sets, err := setsOf(g, tree, file)
				if err != nil {
					return err
				}
				if broken = compiled(sets); broken != nil {
					checked.Valid, checked.Problems = false, append(checked.Problems, policiesProblem(broken, file))
				}
			}
			stderr := cmd.ErrOrStderr()
			if !s.json {
				_, _ = io.WriteString(stderr, config.Render(diags, tree, isTerminal(stderr)))
			}
			if err := s.show(cmd, checked, func(out io.Writer) {
				if checked.Valid {
					_, _ = fmt.Fprintf(out, "%s holds, with %s.\n", args[0], count(len(checked.Files)-1, "policy file"))
				}
			}); err != nil {
				return err
			}
			switch {
			case checked.Valid:
				return nil
			case broken != nil && !s.json:
				return exitError{exitFailed, broken}
			}
			return exitError{code: exitFailed}
		}}
}
