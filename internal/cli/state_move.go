package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/adopt"
	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/step/engine"
	"github.com/terrace-cd/terrace/internal/wire"
	"github.com/terrace-cd/terrace/internal/workbench"
)

func newStateEnv(s *settings) *cobra.Command {
	return &cobra.Command{Use: "env INSTANCE", Short: "Lines for a shell in which plain tofu and terraform use an instance's state", Args: cobra.ExactArgs(1),
		Long: `Prints the settings of the engines' http backend as lines for a shell, with your token.
In a shell that has them, plain tofu or terraform, in the stack's folder, works on the
instance's state, with its lock, versions and rules. The stack needs the backend, for
example in a file that git ignores:

  echo 'terraform { backend "http" {} }' > terrace_override.tf

While a run works on the instance, the lock is refused.`,
		Example: `  eval "$(terrace state env web@dev)" && tofu init && tofu plan`,
		RunE: s.onInstance(func(ctx context.Context, c *client.Client, project, environment, stack string, cmd *cobra.Command, _ []string) error {
			if _, err := c.State(ctx, project, environment, stack); err != nil { // it is in its own backend, or there is no such project
				return err
			}
			if box, err := c.Sandbox(ctx, project, environment); err == nil {
				project = box.Key
			}
			settings := httpBackend(c, "/state/"+url.PathEscape(project)+"/"+url.PathEscape(environment)+"/"+url.PathEscape(stack))
			return s.show(cmd, named(settings), func(out io.Writer) { export(out, settings) })
		})}
}

// httpBackend are the settings of the engines' http backend for a state, as variables.
func httpBackend(c *client.Client, path string) [][2]string {
	address := c.URL() + path
	return [][2]string{{"TF_HTTP_ADDRESS", address}, {"TF_HTTP_LOCK_ADDRESS", address}, {"TF_HTTP_UNLOCK_ADDRESS", address},
		{"TF_HTTP_LOCK_METHOD", "LOCK"}, {"TF_HTTP_UNLOCK_METHOD", "UNLOCK"}, {"TF_HTTP_USERNAME", "terrace"}, {"TF_HTTP_PASSWORD", c.Token()}}
}

// named are settings by name.
func named(settings [][2]string) map[string]string {
	out := map[string]string{}
	for _, v := range settings {
		out[v[0]] = v[1]
	}
	return out
}

// export prints settings as lines for a shell.
func export(out io.Writer, settings [][2]string) {
	for _, v := range settings {
		_, _ = fmt.Fprintf(out, "export %s=%s\n", v[0], workbench.Quoted(v[1]))
	}
}

func newStateDiff(s *settings) *cobra.Command {
	return &cobra.Command{Use: "diff INSTANCE [FROM [TO]]", Short: "What differs between two versions, sensitive values masked", Args: cobra.RangeArgs(1, 3),
		Long: `Compares two versions of a state by resource and attribute: FROM with TO, FROM with the
current one, or, without numbers, the current one with the one before. Sensitive values are
compared and not shown.`,
		RunE: s.onInstance(func(ctx context.Context, c *client.Client, project, environment, stack string, cmd *cobra.Command, args []string) error {
			var versions [2]int64
			for i, arg := range args[1:] {
				n, err := strconv.ParseInt(arg, 10, 64)
				if err != nil || n < 1 {
					return usage(fmt.Errorf("%q is not the number of a version; see: terrace state versions %s", arg, args[0]))
				}
				versions[i] = n
			}
			d, err := c.DiffStates(ctx, project, environment, stack, versions[0], versions[1])
			if err != nil {
				return err
			}
			return s.show(cmd, d, func(out io.Writer) { printDiff(out, d) })
		})}
}

func printDiff(out io.Writer, d wire.StateDiff) {
	from := "nothing"
	if d.From != nil {
		from = fmt.Sprintf("version %d (serial %d)", d.From.ID, d.From.Serial)
	}
	_, _ = fmt.Fprintf(out, "%s: %s to version %d (serial %d, by %s, %s)\n", d.Instance, from, d.To.ID, d.To.Serial, d.To.By, ago(d.To.Created))
	if len(d.Resources)+len(d.Outputs) == 0 {
		_, _ = fmt.Fprintln(out, "No differences.")
		return
	}
	signs := map[string]string{"added": "+", "removed": "-", "changed": "~"}
	for _, r := range d.Resources {
		sign, known := signs[r.Action]
		if !known {
			sign = "!"
		}
		line := "  " + sign + " " + r.Address
		if !known {
			line += " is " + r.Action
		}
		_, _ = fmt.Fprintln(out, line)
		printAttributes(out, "      ", r.Attributes)
	}
	if len(d.Outputs) > 0 {
		_, _ = fmt.Fprintln(out, "Outputs")
		printAttributes(out, "  ", d.Outputs)
	}
}

func printAttributes(out io.Writer, indent string, all []wire.StateAttribute) {
	for _, a := range all {
		value := func(v []byte) string {
			switch {
			case a.Sensitive:
				return "(sensitive)"
			case v == nil:
				return "(none)"
			}
			const longest = 200
			if len(v) > longest {
				return string(v[:longest]) + "…"
			}
			return string(v)
		}
		_, _ = fmt.Fprintf(out, "%s%s: %s -> %s\n", indent, a.Path, value(a.Before), value(a.After))
	}
}

func newStateRestore(s *settings) *cobra.Command {
	var yes bool
	var reason string
	c := &cobra.Command{Use: "restore INSTANCE VERSION", Short: "Make an older version current again", Args: cobra.ExactArgs(2),
		Long: `Stores the content of an older version as a new one, with a serial that continues the
current one. The infrastructure is not touched: the next plan shows what differs from it.`,
		RunE: s.onInstance(func(ctx context.Context, c *client.Client, project, environment, stack string, cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil || id < 1 {
				return usage(fmt.Errorf("%q is not the number of a version; see: terrace state versions %s", args[1], args[0]))
			}
			if !yes { // what it means; the current version may be what is broken
				if all, err := c.StateVersions(ctx, project, environment, stack); err == nil && len(all) > 0 {
					if d, err := c.DiffStates(ctx, project, environment, stack, all[0].ID, id); err == nil {
						printDiff(cmd.ErrOrStderr(), d)
					}
				}
			}
			if err := confirm(cmd, yes, fmt.Sprintf("Make version %d the current state of %s?", id, args[0])); err != nil {
				return err
			}
			v, err := c.RestoreState(ctx, project, environment, stack, id, reason)
			if err != nil {
				return err
			}
			return s.show(cmd, v, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "%s now has version %d (serial %d), with what version %d had.\n", args[0], v.ID, v.Serial, id)
			})
		})}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	return c
}

// importing is what "terrace state import" was asked for.
type importing struct {
	adopt.Options
	engine       string
	allowChanges bool
}

func newStateImport(s *settings) *cobra.Command {
	var o importing
	c := &cobra.Command{Use: "import INSTANCE [FILE]", Short: "Take over the state of a stack that exists", Args: cobra.RangeArgs(1, 2),
		Long: `Stores the first state of an instance: from a file (- is standard input), or, with
--from-backend, out of the backend that keeps it now, which the engine itself reads: s3,
gcs, azurerm, pg, local and every other one.

--from-backend works in a copy of the repository, and proves what it does: it plans with
the state and the code, without the backend, and stops when the plan has a change; it reads
the state once more, in case somebody changed it meanwhile; it stores it, and compares what
is stored. The backend keeps its copy, which nobody should write to any more. Run it where
tofu or terraform works for the stack, with the variables that the environment has in
terrace.hcl.`,
		Example: `  terrace state import web@production web.tfstate
  terrace state import web@production --from-backend stacks/web --backend-config key=prod/web.tfstate --var-file prod.tfvars`,
		RunE: s.onInstance(func(ctx context.Context, c *client.Client, project, environment, stack string, cmd *cobra.Command, args []string) error {
			if (len(args) == 2) == (o.Dir != "") {
				return usage(fmt.Errorf("give a FILE, or --from-backend and the stack's folder"))
			}
			st, err := c.State(ctx, project, environment, stack)
			if err != nil && core.CodeOf(err) != core.Conflict { // in the stack's own backend: it may be moved
				return err
			}
			if st.Current != nil && st.Current.Resources > 0 {
				return core.Errorf(core.Conflict, "%s has a state already (serial %d, %d resources); an import is for an instance that has none. What continues it is stored with: terrace state push %[1]s", args[0], st.Current.Serial, st.Current.Resources)
			}
			var content []byte
			from := "a file"
			if o.Dir == "" {
				if content, err = readState(cmd, args[1]); err != nil {
					return err
				}
			} else {
				o.Output = cmd.ErrOrStderr()
				if content, from, err = o.adopt(ctx, progress(cmd)); err != nil {
					return err
				}
			}
			v, err := c.ImportState(ctx, project, environment, stack, from, content)
			if err != nil {
				return err
			}
			if there, err := c.PullState(ctx, project, environment, stack, v.ID); err != nil {
				return err
			} else if !bytes.Equal(there, content) {
				return core.Errorf(core.Internal, "version %d of %s is not what was sent; look at both before anything is applied: terrace state pull %[2]s --version %[1]d", v.ID, args[0])
			}
			return s.show(cmd, v, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "%s has version %d (serial %d, %d resources), read back and equal.\n", args[0], v.ID, v.Serial, v.Resources)
				if o.Dir != "" {
					_, _ = fmt.Fprintf(out, "The %s backend has its copy still: let nobody write to it, and take the backend block out of the stack (runs ignore it).\n", from)
				}
				_, _ = fmt.Fprintln(out, "The next rollout plans from it: terrace rollout start")
			})
		})}
	f := c.Flags()
	f.StringVar(&o.Dir, "from-backend", "", "the stack's folder: take the state out of its backend")
	f.StringArrayVar(&o.BackendConfig, "backend-config", nil, "as for init: a setting of the backend, or a file (repeatable)")
	f.StringVar(&o.Workspace, "workspace", "", "the workspace whose state it is (default: default)")
	f.StringArrayVar(&o.Vars, "var", nil, "as for plan: a variable (repeatable)")
	f.StringArrayVar(&o.VarFiles, "var-file", nil, "as for plan: a file of variables (repeatable)")
	f.StringVar(&o.engine, "engine", "", "tofu or terraform (default: tofu if it is installed)")
	f.BoolVar(&o.allowChanges, "allow-changes", false, "import it although the plan has changes")
	return c
}

func readState(cmd *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(cmd.InOrStdin())
	}
	return os.ReadFile(name)
}

// adopt takes the state out of the backend and proves it. from says which backend.
func (o importing) adopt(ctx context.Context, say func(string, ...any)) (content []byte, from string, err error) {
	names := []string{o.engine}
	if o.engine == "" {
		names = []string{engine.Tofu, engine.Terraform}
	}
	for _, name := range names {
		if o.Engine, err = engine.OnPath(name); err == nil {
			break
		}
	}
	if err != nil {
		return nil, "", err
	}
	o.Env = os.Environ()
	say("Reading the state of %s with %s…", o.Dir, o.Engine)
	stack, err := adopt.Open(ctx, o.Options)
	if err != nil {
		return nil, "", err
	}
	defer stack.Close()
	from = stack.Backend()
	state, err := stack.Pull(ctx)
	if err != nil {
		return nil, "", err
	}
	say("The %s backend has serial %d with %d resources (lineage %s). Planning with it…", from, state.Serial, state.Resources, state.Lineage)
	changes, err := stack.Prove(ctx, state.Content)
	switch {
	case err != nil:
		return nil, "", err
	case changes && !o.allowChanges:
		return nil, "", core.Errorf(core.Conflict, "with this state and this code, the plan has changes (above), and nothing was stored: it has to have none, so that what Terrace does next is only what somebody committed. Give the variables of the environment (--var-file), apply or commit what is missing, or import it all the same with --allow-changes")
	case !changes:
		say("The plan has no changes.")
	}
	now, err := stack.Pull(ctx)
	if err != nil {
		return nil, "", err
	}
	if !bytes.Equal(now.Content, state.Content) {
		return nil, "", core.Errorf(core.Conflict, "somebody wrote the state meanwhile (serial %d became %d), and nothing was stored; stop what applies to this stack, and do this again", state.Serial, now.Serial)
	}
	return state.Content, from, nil
}
