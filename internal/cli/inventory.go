package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/workbench"
)

func newInventoryCommand(s *settings) *cobra.Command {
	var host string
	var list, script bool
	c := &cobra.Command{Use: "inventory INSTANCE", Short: "An instance's hosts as an Ansible dynamic inventory", Args: cobra.ExactArgs(1),
		Long: "Prints an instance's hosts, as the release that is there has them, in the form that Ansible's dynamic inventory protocol wants.\n" +
			"With --script it prints a small program for ansible-playbook -i, ansible-inventory -i and AWX, which asks for them.",
		Example: "  terrace inventory web@production\n  terrace inventory web@production --script > inventory.sh && chmod +x inventory.sh\n  ansible-playbook -i inventory.sh site.yml",
		RunE: s.onInstance(func(ctx context.Context, c *client.Client, project, environment, stack string, cmd *cobra.Command, _ []string) error {
			if script {
				_, err := fmt.Fprint(cmd.OutOrStdout(), inventoryScript(project, core.InstanceName(stack, environment)))
				return err
			}
			data, err := c.Inventory(ctx, project, environment, stack)
			if err != nil {
				return err
			}
			if host != "" {
				if data, err = hostVariables(data, host); err != nil {
					return err
				}
			}
			return printJSON(cmd.OutOrStdout(), data)
		})}
	c.Flags().BoolVar(&list, "list", true, "every group and host (the default)")
	c.Flags().StringVar(&host, "host", "", "the variables of one host")
	c.Flags().BoolVar(&script, "script", false, "a program that Ansible can be given as its inventory")
	c.MarkFlagsMutuallyExclusive("script", "host")
	c.MarkFlagsMutuallyExclusive("script", "list")
	return c
}

// inventoryScript is a program that speaks Ansible's dynamic inventory protocol.
func inventoryScript(project, instance string) string {
	return fmt.Sprintf("#!/bin/sh\n# The hosts of %s, for ansible-playbook -i, ansible-inventory -i and AWX.\nexec terrace inventory %s --project %s \"$@\"\n",
		instance, workbench.Quoted(instance), workbench.Quoted(project))
}

// hostVariables picks one host's variables out of an inventory. A host without any
// has an empty object, as Ansible expects.
func hostVariables(inventory json.RawMessage, host string) (json.RawMessage, error) {
	var parsed struct {
		Meta struct {
			HostVars map[string]json.RawMessage `json:"hostvars"`
		} `json:"_meta"`
	}
	if err := json.Unmarshal(inventory, &parsed); err != nil {
		return nil, core.Errorf(core.Internal, "the server's inventory cannot be read: %w", err)
	}
	if v := parsed.Meta.HostVars[host]; v != nil {
		return v, nil
	}
	return json.RawMessage("{}"), nil
}
