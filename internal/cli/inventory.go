package cli

import (
	"encoding/json"

	"github.com/terrace-cd/terrace/internal/core"
)

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
