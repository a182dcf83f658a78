package wire

import "time"

// Host is what is known of a host of an instance's inventory, or of the bastion before it.
type Host struct {
	Name     string    `json:"name"`
	Status   string    `json:"status" enum:"up_to_date,behind,new,gone,bastion" doc:"behind: Ansible did not come to a good end there with what the release wants, or it drifted; new: it never ran there; gone: the inventory does not have it any more"`
	Identity string    `json:"identity,omitempty" doc:"what tells it from another with its name"`
	Run      string    `json:"run,omitempty" doc:"in which Ansible came to a good end there last"`
	At       time.Time `json:"at,omitzero" doc:"when"`
	Keys     []HostKey `json:"keys"`
}

// HostKey is a host key as people compare it.
type HostKey struct {
	Type        string `json:"type"`
	Fingerprint string `json:"fingerprint" doc:"SHA256:…, as ssh-keygen -l writes it"`
}
