package process

import (
	"errors"
	"os/exec"
	"time"
)

// Cgroups is a place for control groups, of which this system has none.
type Cgroups struct{}

// FindCgroups says that there are none.
func FindCgroups(string) (*Cgroups, error) {
	return nil, errors.New("this system has no control groups")
}

func (*Cgroups) String() string { return "none" }

// Make is never called: there is no place.
func (*Cgroups) Make(string) (*Cgroup, error) { return nil, ErrCgroup }

// All lists none.
func (*Cgroups) All() ([]*Cgroup, error) { return nil, nil }

// Cgroup is a control group.
type Cgroup struct{}

// OpenCgroup says that there is none.
func OpenCgroup(string) (*Cgroup, error) { return nil, ErrCgroup }

// Path is never called.
func (*Cgroup) Path() string { return "" }

// Kill is never called.
func (*Cgroup) Kill(time.Duration) error { return ErrCgroup }

// Nest says that there are none.
func Nest(string) error { return ErrCgroup }

func nested() *Cgroup { return nil }

func (*Cgroup) launchIn(cmd *exec.Cmd) (*exec.Cmd, error) { return cmd, ErrCgroup }
