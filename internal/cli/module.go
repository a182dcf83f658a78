package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/ansi"
	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

func newModuleCommand(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "module", Short: "The module registry: add, list, show, refresh, remove",
		Long: `The registry serves folders of git repositories as modules that engines find by the name of
the server, in one version for each tag. Who uses which of them: terrace modules.`}
	c.AddCommand(newModuleAdd(s), newModuleList(s), newModuleShow(s),
		&cobra.Command{Use: "refresh NAMESPACE/NAME/SYSTEM", Short: "Read the tags of a module now", Args: cobra.ExactArgs(1),
			RunE: s.onModule(func(ctx context.Context, c *client.Client, cmd *cobra.Command, address string) error {
				m, err := c.RefreshModule(ctx, address)
				if err != nil {
					return err
				}
				return s.show(cmd, m, func(out io.Writer) { printModule(out, m) })
			})},
		&cobra.Command{Use: "remove NAMESPACE/NAME/SYSTEM", Short: "Serve a module no more; refused while somebody uses it", Args: cobra.ExactArgs(1),
			RunE: s.onModule(func(ctx context.Context, c *client.Client, cmd *cobra.Command, address string) error {
				if err := c.RemoveModule(ctx, address); err != nil {
					return err
				}
				return s.show(cmd, map[string]string{"removed": address}, func(out io.Writer) { _, _ = fmt.Fprintf(out, "%s is not served any more.\n", address) })
			})},
	)
	return c
}

// onModule is withClient for commands whose first argument is a module's address.
func (s *settings) onModule(f func(ctx context.Context, c *client.Client, cmd *cobra.Command, address string) error) func(*cobra.Command, []string) error {
	return s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
		if err := core.CheckModule(args[0], "*"); err != nil {
			return usage(err)
		}
		return f(ctx, c, cmd, args[0])
	})
}

func newModuleAdd(s *settings) *cobra.Command {
	var in wire.AddModule
	c := &cobra.Command{Use: "add NAMESPACE/NAME/SYSTEM --repo URL", Short: "Serve a folder of a repository as a module", Args: cobra.ExactArgs(1),
		Long: `Serves a folder of a repository as a module. Its versions are the tags that look like one,
with or without v: v1.2.0, 1.2.0-rc.1. Where a repository has several modules, --path says
where this one is and --tags which tags are of it: in the pattern the * stands for the
version.

Which commit a version is is decided when its tag is first seen, for ever: a tag that is
moved later changes nothing, and is shown.`,
		Example: `  terrace module add platform/vpc/aws --repo https://git.example.com/platform/vpc.git
  terrace module add platform/dns/aws --repo https://git.example.com/platform/modules.git --path dns --tags 'dns/v*'`,
		RunE: s.onModule(func(ctx context.Context, c *client.Client, cmd *cobra.Command, address string) error {
			in.Address = address
			if info, err := os.Stat(in.Repo); err == nil && info.IsDir() {
				// The server's working folder is not ours.
				if in.Repo, err = filepath.Abs(in.Repo); err != nil {
					return err
				}
			}
			m, err := c.AddModule(ctx, in)
			if err != nil {
				return err
			}
			return s.show(cmd, m, func(out io.Writer) {
				printModule(out, m)
				if len(m.Versions) == 0 {
					_, _ = fmt.Fprintf(out, "\nNo tag of the repository is a version of it yet. Push one: git tag %s && git push --tags\n", strings.Replace(m.Tags, "*", "1.0.0", 1))
					return
				}
				_, _ = fmt.Fprintf(out, "\nUse it:\n\n%s", block(m))
			})
		})}
	c.Flags().StringVar(&in.Repo, "repo", "", "the repository, as git clone takes it")
	c.Flags().StringVar(&in.Path, "path", ".", "the module's folder in it")
	c.Flags().StringVar(&in.Tags, "tags", "*", "which tags are versions of it; the * stands for the version")
	_ = c.MarkFlagRequired("repo")
	return c
}

// block is what people write to use a module.
func block(m wire.Module) string {
	_, rest, _ := strings.Cut(m.Address, "/")
	name, _, _ := strings.Cut(rest, "/")
	constraint := m.Newest
	if parts := strings.SplitN(m.Newest, ".", 3); len(parts) == 3 {
		constraint = "~> " + parts[0] + "." + parts[1]
	}
	return fmt.Sprintf("  module %q {\n    source  = %q\n    version = %q\n  }\n", name, m.Source, constraint)
}

func newModuleList(s *settings) *cobra.Command {
	return &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "Every module of the registry", Args: cobra.NoArgs,
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			all, err := c.Modules(ctx)
			if err != nil {
				return err
			}
			return s.show(cmd, all, func(out io.Writer) {
				if len(all) == 0 {
					_, _ = fmt.Fprintln(out, "No module yet. Add one: terrace module add NAMESPACE/NAME/SYSTEM --repo URL")
					return
				}
				var rows [][]string
				for _, m := range all {
					rows = append(rows, []string{m.Address, orDash(m.Newest), fmt.Sprint(len(m.Versions)), m.Repo, m.Path, moduleHealth(m)})
				}
				table(out, []string{"MODULE", "NEWEST", "VERSIONS", "REPOSITORY", "PATH", "HEALTH"}, rows)
			})
		})}
}

func moduleHealth(m wire.Module) string {
	var moved []string
	for _, v := range m.Versions {
		if v.Moved != "" {
			moved = append(moved, v.Tag)
		}
	}
	switch {
	case m.CheckError != "":
		return "cannot be read: " + oneLine(m.CheckError)
	case len(moved) > 0:
		return "moved tags: " + strings.Join(moved, ", ")
	}
	return "ok"
}

func printModule(out io.Writer, m wire.Module) {
	_, _ = fmt.Fprintf(out, "Module      %s\nSource      %s\nRepository  %s\nFolder      %s\nTags        %s\n", m.Address, m.Source, m.Repo, m.Path, m.Tags)
	if m.CheckError != "" {
		_, _ = fmt.Fprintf(out, "Unreadable  %s\n", m.CheckError)
	}
	if len(m.Versions) == 0 {
		return
	}
	_, _ = fmt.Fprintln(out)
	var rows [][]string
	for _, v := range m.Versions {
		note := ""
		switch {
		case v.Moved != "":
			note = "its tag was moved to " + core.ShortCommit(v.Moved) + ", which nobody gets"
		case v.Gone:
			note = "its tag is gone; only releases that have it keep it"
		}
		rows = append(rows, []string{v.Version, v.Tag, core.ShortCommit(v.Commit), v.Seen.Local().Format("2006-01-02 15:04"), note})
	}
	table(out, []string{"VERSION", "TAG", "COMMIT", "SEEN", ""}, rows)
}

func newModuleShow(s *settings) *cobra.Command {
	var version string
	var readme bool
	c := &cobra.Command{Use: "show NAMESPACE/NAME/SYSTEM", Short: "A module: versions, inputs, outputs, examples, and who uses it", Args: cobra.ExactArgs(1),
		Example: "  terrace module show platform/vpc/aws\n  terrace module show platform/vpc/aws --version 1.2.0 --readme",
		RunE: s.onModule(func(ctx context.Context, c *client.Client, cmd *cobra.Command, address string) error {
			m, err := c.Module(ctx, address, version)
			if err != nil {
				return err
			}
			return s.show(cmd, m, func(out io.Writer) {
				printModule(out, m.Module)
				if m.Version != "" {
					printDocs(out, m, readme)
				}
				if len(m.Users) > 0 {
					_, _ = fmt.Fprintln(out, "\nUsed by")
					printUses(out, m.Users, true)
				}
			})
		})}
	c.Flags().StringVar(&version, "version", "", "the version to describe (default: the newest)")
	c.Flags().BoolVar(&readme, "readme", false, "also its README, and the code of its examples")
	return c
}

// printDocs shows what a module's code says. All of it is somebody's text: what would move
// the cursor is taken out.
func printDocs(out io.Writer, m wire.ShownModule, all bool) {
	d := m.Docs
	_, _ = fmt.Fprintf(out, "\nVersion %s\n", m.Version)
	for _, t := range d.Trouble {
		_, _ = fmt.Fprintf(out, "Not described: %s\n", brief(t))
	}
	if len(d.Inputs) > 0 {
		_, _ = fmt.Fprintln(out, "\nInputs")
		var rows [][]string
		for _, in := range d.Inputs {
			fallback := brief(in.Default)
			if in.Required {
				fallback = "(required)"
			}
			rows = append(rows, []string{in.Name, brief(in.Type), fallback, brief(in.Description)})
		}
		table(out, []string{"NAME", "TYPE", "DEFAULT", ""}, rows)
	}
	if len(d.Outputs) > 0 {
		_, _ = fmt.Fprintln(out, "\nOutputs")
		var rows [][]string
		for _, o := range d.Outputs {
			rows = append(rows, []string{o.Name, brief(o.Description)})
		}
		table(out, []string{"NAME", ""}, rows)
	}
	for _, list := range []struct {
		title string
		all   []wire.ModuleRequirement
	}{{"Providers", d.Providers}, {"Modules that it calls", d.Modules}} {
		if len(list.all) == 0 {
			continue
		}
		_, _ = fmt.Fprintln(out, "\n"+list.title)
		var rows [][]string
		for _, r := range list.all {
			rows = append(rows, []string{r.Name, brief(r.Source), brief(r.Version)})
		}
		table(out, []string{"NAME", "SOURCE", "VERSION"}, rows)
	}
	if len(d.Resources) > 0 {
		_, _ = fmt.Fprintf(out, "\nResources\n  %s\n", brief(strings.Join(d.Resources, ", ")))
	}
	for _, e := range d.Examples {
		_, _ = fmt.Fprintf(out, "\nExample %s\n", brief(e.Name))
		if all {
			_, _ = fmt.Fprintln(out, shownText(e.Code))
		}
	}
	if all && d.Readme != "" {
		_, _ = fmt.Fprintf(out, "\n%s\n", shownText(d.Readme))
	}
}

// brief is text of a module's author for a cell of a table.
func brief(s string) string {
	const most = 100
	words := []rune(ansi.Strip(strings.Join(strings.Fields(s), " ")))
	if len(words) > most {
		return string(words[:most-1]) + "…"
	}
	return string(words)
}

// shownText is text of a module's author, line by line.
func shownText(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i := range lines {
		lines[i] = ansi.Strip(lines[i])
	}
	return strings.Join(lines, "\n")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func newModulesCommand(s *settings) *cobra.Command {
	var upgrades bool
	c := &cobra.Command{Use: "modules", Short: "Who uses which version of the registry's modules, and what an upgrade would touch", Args: cobra.NoArgs,
		Long: `Lists, for each instance of the project that uses a module of the registry, the version that
the newest release gets and the one that was applied last. A release keeps the versions that
it got when it was made, and the next one keeps them for every call that it does not change:
a newer version comes to an instance with a commit that changes the constraint.`,
		Example: "  terrace modules\n  terrace modules --upgrades --json",
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, _ []string) error {
			uses, err := c.ModuleUses(ctx, project)
			if err != nil {
				return err
			}
			shown := []wire.ModuleUse{}
			for _, u := range uses {
				if u.Upgrade || !upgrades {
					shown = append(shown, u)
				}
			}
			return s.show(cmd, shown, func(out io.Writer) {
				switch {
				case len(uses) == 0:
					_, _ = fmt.Fprintf(out, "%s uses no module of the registry. What there is: terrace module list\n", project)
					return
				case len(shown) == 0:
					_, _ = fmt.Fprintln(out, "Everything has the newest versions.")
					return
				}
				printUses(out, shown, false)
				printUpgrades(out, shown)
			})
		})}
	c.Flags().BoolVar(&upgrades, "upgrades", false, "only what an upgrade would touch")
	return c
}

func printUses(out io.Writer, uses []wire.ModuleUse, projects bool) {
	head := []string{"MODULE", "INSTANCE", "CONSTRAINT", "RELEASED", "APPLIED", "NEWEST", ""}
	if projects {
		head[0] = "PROJECT"
	}
	var rows [][]string
	for _, u := range uses {
		first := u.Module
		if projects {
			first = u.Project
		}
		var notes []string
		if u.In != "" {
			notes = append(notes, "called by "+u.In)
		}
		if u.Upgrade {
			notes = append(notes, "an upgrade touches it")
		}
		rows = append(rows, []string{first, u.Instance, orDash(brief(u.Constraint)), orDash(u.Version), orDash(u.Applied), orDash(u.Newest), strings.Join(notes, "; ")})
	}
	table(out, head, rows)
}

// printUpgrades says what an upgrade of each module would touch.
func printUpgrades(out io.Writer, uses []wire.ModuleUse) {
	touched := map[string][]string{}
	var order []wire.ModuleUse
	for _, u := range uses {
		if !u.Upgrade {
			continue
		}
		if touched[u.Module] == nil {
			order = append(order, u)
		}
		touched[u.Module] = append(touched[u.Module], u.Instance)
	}
	for _, u := range order {
		_, _ = fmt.Fprintf(out, "\n%s %s would touch %s. Raise the constraint in a commit to have it.\n", u.Module, u.Newest, strings.Join(touched[u.Module], ", "))
	}
}
