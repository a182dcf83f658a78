package wire

import (
	"encoding/json"
	"time"
)

// Drift is how what is there differs from an instance's state: Before is what the state
// says, After what is there. Every value that is sensitive is masked.
type Drift struct {
	Resources []DriftedResource `json:"resources"`
	Outputs   []AttrChange      `json:"outputs,omitempty" doc:"outputs that would be others"`
	Hosts     []DriftedHost     `json:"hosts,omitempty" doc:"hosts that Ansible would change, or could not look at"`
}

// DriftedResource is one resource that is not as its state says.
type DriftedResource struct {
	Address string       `json:"address"`
	Type    string       `json:"type"`
	What    string       `json:"what" enum:"changed,gone"`
	Attrs   []AttrChange `json:"attributes"`
}

// DriftValue is an attribute of a drifted resource with its values as they are, secrets
// included: it travels from a runner to the server, where it is sealed, and nowhere else.
type DriftValue struct {
	Path   string          `json:"path"`
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
}

// Looked reports a look at an instance.
type Looked struct {
	Drift Drift `json:"drift"`
	// Values are those behind Drift, by address.
	Values map[string][]DriftValue `json:"values,omitempty"`
	// Own is the state that was compared, with the stack's own backend.
	Own *OwnState `json:"own,omitempty"`
}

// DriftStatus is what is known of an instance's drift.
type DriftStatus struct {
	Instance       string    `json:"instance"`
	State          string    `json:"state" enum:"none,drifted,looking,failed,unknown" doc:"unknown: nobody looked since its state changed last"`
	Changed        int       `json:"changed"`
	Gone           int       `json:"gone"`
	ChangedOutputs int       `json:"changed_outputs"`
	ChangedHosts   int       `json:"changed_hosts"`
	Run            string    `json:"run,omitempty" doc:"of the newest look"`
	Looked         time.Time `json:"looked,omitzero"`
	Message        string    `json:"message,omitempty" doc:"why the newest look told nothing"`
}

// DriftReport is what the newest look at an instance found.
type DriftReport struct {
	DriftStatus
	// Drift is empty but for its lists while nothing is known.
	Drift Drift `json:"drift"`
}

// Look asks for looks at what is there.
type Look struct {
	Environments []string `json:"environments,omitempty" doc:"all of their instances"`
	Instances    []string `json:"instances,omitempty" doc:"STACK@ENVIRONMENT; with neither, every instance of the project"`
}

// Repair asks for a repair of an environment.
type Repair struct {
	Stacks []string `json:"stacks,omitempty" doc:"default: every stack that is known to have drifted there"`
}

// Looks are the looks that were asked for.
type Looks struct {
	Runs    []Run       `json:"runs"`
	Skipped []NotLooked `json:"skipped,omitempty"`
}

// NotLooked is an instance at which nobody can look now.
type NotLooked struct {
	Instance string `json:"instance"`
	Why      string `json:"why"`
}
