package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
)

func newInitCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a terrace.hcl that fits the repository",
		Long:  "Looks at the root modules, environments and var files under DIR (default: here) and writes a terrace.hcl that fits them.",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := folder(args)
			if err != nil {
				return err
			}
			text, found, err := config.Init(config.Dir(dir), filepath.Base(dir))
			if err != nil {
				return err
			}
			name := filepath.Join(dir, config.FileName)
			if err := writeConfig(name, text, force); err != nil {
				return err
			}
			if asJSON(cmd) {
				return printJSON(cmd.OutOrStdout(), struct {
					File string `json:"file"`
					config.Found
				}{name, found})
			}
			return describe(cmd.OutOrStdout(), name, found)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace a terrace.hcl that is there already")
	return cmd
}

func writeConfig(name, text string, force bool) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(name, flags, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return core.Errorf(core.Conflict, "%s is there already and was not touched; replace it with --force", name)
	}
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

func describe(w io.Writer, name string, found config.Found) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Wrote %s\n  stacks:       %s\n  environments: %s\n", name, orNone(found.Stacks), strings.Join(found.Environments, " → "))
	for _, n := range found.Notes {
		fmt.Fprintf(&b, "  note: %s\n", n)
	}
	b.WriteString("Next: terrace validate\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none yet"
	}
	return strings.Join(list, ", ")
}

func newValidateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate [DIR]",
		Short: "Check terrace.hcl and every stack's variables",
		Long:  "Checks the terrace.hcl in DIR (default: here), that every stack gets its variables in every environment,\nand that the policies compile.\nPrints all problems at once; exit code 1 when there are errors.",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := folder(args)
			if err != nil {
				return err
			}
			repository, root := repositoryOf(dir)
			tree := config.Dir(repository)
			cfg, diags := config.Load(tree, root)
			var broken error // of the policies
			if !diags.HasErrors() {
				sets, err := setOf(cfg, tree)
				if err != nil {
					return err
				}
				broken = compiled(sets)
			}
			if asJSON(cmd) {
				problems := config.Problems(diags)
				if broken != nil {
					problems = append(problems, policiesProblem(broken, path.Join(root, config.FileName)))
				}
				err = printJSON(cmd.OutOrStdout(), struct {
					Valid    bool             `json:"valid"`
					Problems []config.Problem `json:"problems"`
				}{!diags.HasErrors() && broken == nil, problems})
			} else {
				stderr := cmd.ErrOrStderr()
				_, err = io.WriteString(stderr, config.Render(diags, tree, isTerminal(stderr)))
			}
			switch {
			case err != nil:
				return err
			case diags.HasErrors() || broken != nil && asJSON(cmd):
				return exitError{code: exitFailed}
			case broken != nil:
				return exitError{exitFailed, broken}
			}
			if !asJSON(cmd) {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s holds: %s, %s in %s.\n", filepath.Join(dir, config.FileName),
					cfg.Project.Name, count(len(cfg.Stacks), "stack"), count(len(cfg.Environments), "environment"))
			}
			return err
		},
	}
}

func count(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func newFmtCommand() *cobra.Command {
	var check, diff bool
	cmd := &cobra.Command{
		Use:   "fmt [DIR|FILE]",
		Short: "Format terrace.hcl",
		Long:  "Rewrites terrace.hcl in DIR (default: here), or FILE, in the canonical style, and prints its name when it changed.\nWith --check or --diff nothing is written, and the exit code is 1 when something would change.",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := configFile(args)
			if err != nil {
				return err
			}
			src, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			if diags := config.CheckSyntax(filepath.Base(name), src); diags.HasErrors() {
				stderr := cmd.ErrOrStderr()
				_, err := io.WriteString(stderr, config.Render(diags, config.Dir(filepath.Dir(name)), isTerminal(stderr)))
				if err != nil {
					return err
				}
				return exitError{code: 1}
			}
			formatted := config.Format(src)
			if string(formatted) == string(src) {
				return nil
			}
			if diff {
				_, err = io.WriteString(cmd.OutOrStdout(), config.Diff(name, src, formatted))
			} else {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), name)
			}
			if err != nil {
				return err
			}
			if check || diff {
				return exitError{code: 1}
			}
			return replaceFile(name, formatted)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "only tell whether something would change")
	cmd.Flags().BoolVar(&diff, "diff", false, "only show what would change")
	return cmd
}

// replaceFile writes beside the file and renames, so that a full disk loses nothing.
func replaceFile(name string, content []byte) error {
	name, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".terrace-fmt-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(info.Mode().Perm()), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func configFile(args []string) (string, error) {
	if len(args) == 0 {
		args = []string{"."}
	}
	info, err := os.Stat(args[0])
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return args[0], nil
	}
	name := filepath.Join(args[0], config.FileName)
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return "", core.Errorf(core.NotFound, "there is no %s in %s; terrace init writes one", config.FileName, args[0])
	}
	return name, nil
}

// folder is the absolute path of the folder that an argument names, or of the
// terrace.hcl that it names; by default the current one.
func folder(args []string) (string, error) {
	dir := "."
	if len(args) > 0 {
		dir = args[0]
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		if filepath.Base(dir) != config.FileName {
			return "", core.Errorf(core.Invalid, "%s is not a folder; name the folder of %s", dir, config.FileName)
		}
		dir = filepath.Dir(dir)
	}
	return filepath.Abs(dir)
}

// repositoryOf finds the repository that a folder is in, and the folder's path inside
// it. A folder outside any repository is taken for one.
func repositoryOf(dir string) (repository, root string) {
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, ".git")); err == nil {
			rel, err := filepath.Rel(at, dir)
			if err != nil {
				return dir, "."
			}
			return at, filepath.ToSlash(rel)
		}
		if at == filepath.Dir(at) {
			return dir, "."
		}
	}
}

// asJSON tells whether the program's --json flag is set.
func asJSON(cmd *cobra.Command) bool {
	b, err := cmd.Flags().GetBool("json")
	return err == nil && b
}
