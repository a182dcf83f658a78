package core

import "time"

// Host is what is known of a host that an instance's inventory has, or had.
type Host struct {
	Project     string
	Stack       string
	Environment string
	Name        string // in the inventory; of a bastion, bastion:ADDRESS

	// Identity tells it from another that had its name before; "" when nothing tells.
	Identity string
	// Digest is the provisioning digest that it ended well with last. "" when never, or
	// when it was found to have drifted: it is provisioned by the next run.
	Digest string
	Run    string    // that ended well there, "" when none did
	At     time.Time // when
	// Keys are the SSH host keys that it showed when it was met first.
	Keys []string
}

// Hosts stores what is known of instances' hosts. They go with the instance: DeleteInstance
// deletes them, MoveInstance moves them.
type Hosts interface {
	PutHost(Host) error // replaces the one of that name
	// Hosts are those of an instance, by name.
	Hosts(project, stack, environment string) ([]Host, error)
	DeleteHost(project, stack, environment, name string) error
}
