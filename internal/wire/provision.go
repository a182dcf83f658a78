package wire

import "encoding/json"

// Provision is one run of ansible-playbook.
type Provision struct {
	// Digest identifies what the playbook shall do to all hosts.
	Digest   string `json:"digest"`
	Playbook string `json:"playbook" doc:"path inside the repository"`
	// Inventory is Ansible's JSON inventory (the --list form with _meta.hostvars).
	Inventory json.RawMessage `json:"inventory"`
	// Hosts are all of the inventory, sorted. Limit are those that the playbook runs on: the
	// others are as the release wants them already. Limit is never empty.
	Hosts []string `json:"hosts"`
	Limit []string `json:"limit"`
	// Anew are those of Limit that are not what was known by their names: created or replaced.
	// Of them no host key is known.
	Anew []string `json:"anew,omitempty"`
	// HostKeys are what is known of hosts, and of a bastion by its address.
	HostKeys []HostKeys `json:"host_keys,omitempty"`
	Bastion  *Bastion   `json:"bastion,omitempty"`

	Variables map[string]json.RawMessage `json:"variables,omitempty"`
	// Secrets are names of Job.Secrets. Some have a meaning, see package step/ansible; the
	// others are extra variables of the same name in lower case.
	Secrets []string `json:"secrets,omitempty"`
	// Requirements are files of the repository that name roles and collections to install.
	Requirements []string `json:"requirements,omitempty"`

	// Check shows what would be changed and changes nothing.
	Check bool `json:"check,omitempty"`
	// Twice runs the playbook again where it changed something, to see that nothing changes then.
	Twice bool `json:"twice,omitempty"`
	// Mitogen connects with Mitogen, which has to be installed.
	Mitogen bool   `json:"mitogen,omitempty"`
	Within  string `json:"within" doc:"how long to wait for hosts to answer, a Go duration"`
}

// HostKeys are the SSH host keys of one host.
type HostKeys struct {
	Host string   `json:"host" doc:"its name in the inventory; of a bastion, bastion:ADDRESS"`
	Keys []string `json:"keys" doc:"type and key, as in a known_hosts file"`
	// Given: the provider told them, so no other key is ever accepted and none is learned.
	Given bool `json:"given,omitempty"`
}

// BastionName is what the name of a bastion among hosts begins with; its address follows.
// No host has such a name.
const BastionName = "bastion:"

// Bastion is the host that connections go through.
type Bastion struct {
	Host string `json:"host"`
	Port int    `json:"port,omitempty" doc:"0 is 22"`
	User string `json:"user,omitempty" doc:"empty: that of the runner"`
}

// Provisioned reports what Ansible did.
type Provisioned struct {
	Recap []Recap      `json:"recap"`
	Hosts []HostResult `json:"hosts,omitempty" doc:"of every host of the limit, by name"`
	// HostKeys are those that were met for the first time.
	HostKeys []HostKeys `json:"host_keys,omitempty"`
	Warnings []string   `json:"warnings,omitempty"`
}

// HostResult is how a playbook went on one host.
type HostResult struct {
	Recap
	Status string `json:"status" enum:"done,failed,unreachable,left" doc:"left: the playbook did not come to its end there, for the fault of others or because it was stopped"`
	// Message is why it is not done.
	Message string       `json:"message,omitempty"`
	Changes []TaskChange `json:"changes,omitempty" doc:"tasks that changed something, or in check mode would; the first 100"`
}

// TaskChange is a task that changed something on a host.
type TaskChange struct {
	Task  string `json:"task"`
	Place string `json:"place,omitempty" doc:"file and line inside the repository"`
	Diff  string `json:"diff,omitempty" doc:"as a unified diff, shortened and masked"`
	// Again: it changed something in the second run too, so it is not idempotent.
	Again bool `json:"again,omitempty"`
}

// Foreseen is what Ansible would do after an apply.
type Foreseen struct {
	// Digest is that of what would be run, on which hosts: an approval is for it too.
	Digest string `json:"digest"`
	// Hosts are those that are there and would be provisioned.
	Hosts []HostResult `json:"hosts,omitempty"`
	// New are hosts that are not there yet: names, or where those are not known yet, the
	// addresses of resources or the groups that they will be in.
	New []string `json:"new,omitempty"`
	// Same is on how many hosts nothing would be run.
	Same int `json:"same,omitempty"`
	// Why is why check mode told nothing of Hosts.
	Why string `json:"why,omitempty"`
}

// PlannedResource is a resource as a plan says it will be.
type PlannedResource struct {
	Address string          `json:"address"`
	Type    string          `json:"type"`
	Name    string          `json:"name"`
	Key     json.RawMessage `json:"key,omitempty" doc:"of count or for_each"`
	Module  string          `json:"module,omitempty"`
	// Values are its attributes that are known; Unknown has true at the places of the others,
	// as after_unknown of the engine's JSON.
	Values    json.RawMessage `json:"values"`
	Unknown   json.RawMessage `json:"unknown,omitempty"`
	Sensitive json.RawMessage `json:"sensitive,omitempty" doc:"true at the places of sensitive values, as after_sensitive"`
}

// DriftedHost is a host that is not as the playbook left it.
type DriftedHost struct {
	Host    string       `json:"host"`
	Status  string       `json:"status" enum:"changed,failed,unreachable" doc:"failed and unreachable: nothing is known of it"`
	Message string       `json:"message,omitempty"`
	Changes []TaskChange `json:"changes,omitempty"`
}
