package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

const (
	outputsVariable   = "TERRACE_OUTPUTS"
	provisionVariable = "TERRACE_PROVISION"
)

func newProvisionCommand() *cobra.Command {
	return &cobra.Command{Use: "provision", Args: cobra.NoArgs, Short: "In the middle of an apply: have Ansible make new hosts ready",
		Long: `Runs the stack's ansible block now, in the middle of an apply, and returns when every host
is ready. It is called by the stack's own code, in a provisioner that stands between new
servers and the load balancer which is to send requests to them: the engine moves on to the
load balancer, and then destroys what was replaced, only after it succeeded.

` + outputsVariable + ` is a JSON object with the outputs that the ansible block uses and that the apply
knows already. Outside of a run it fails; ` + provisionVariable + `=skip lets an apply by hand go on.`,
		Example: `  resource "terraform_data" "ready" {
    triggers_replace = example_server.web[*].id
    input            = example_server.web[*].id

    provisioner "local-exec" {
      command     = "terrace provision"
      environment = { ` + outputsVariable + ` = jsonencode({ hosts = local.hosts }) }
    }
  }`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			address, token := os.Getenv(wire.GateURL), os.Getenv(wire.GateToken)
			if address == "" {
				if os.Getenv(provisionVariable) == "skip" {
					_, err := fmt.Fprintln(cmd.OutOrStdout(), "Outside of a run of Terrace; nothing is provisioned ("+provisionVariable+"=skip).")
					return err
				}
				return core.Errorf(core.Conflict, "terrace provision works in the apply of a run, and there is none around this. For an apply by hand that provisions afterwards: %s=skip", provisionVariable)
			}
			outputs := cmp.Or(os.Getenv(outputsVariable), "{}")
			body, err := json.Marshal(map[string]json.RawMessage{"outputs": json.RawMessage(outputs)})
			if err != nil {
				return usage(core.Errorf(core.Invalid, "%s is not a JSON object of outputs", outputsVariable))
			}
			req, err := http.NewRequestWithContext(cmd.Context(), http.MethodPost, address+"/provision", bytes.NewReader(body))
			if err != nil {
				return err
			}
			req.Header.Set("Authorization", "Bearer "+token)
			// No time limit of its own: the ansible block has one, and the run ends with its runner.
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return core.Errorf(core.Unavailable, "the runner of this run does not answer: %w", err)
			}
			defer func() { _ = resp.Body.Close() }() // read whole below
			said, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
			if err != nil {
				return err
			}
			if resp.StatusCode != http.StatusNoContent {
				return errors.New(strings.TrimSpace(string(said)))
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "The hosts are ready.")
			return err
		}}
}
