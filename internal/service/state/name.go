package state

import (
	"fmt"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// A state has a name that changes whenever the state does, so that what was found out
// about one is not said of the next.

func versionName(v core.StateVersion) string { return fmt.Sprintf("v%d", v.ID) }
func ownName(o core.OwnState) string         { return fmt.Sprintf("%s:%s:%d", o.Run, o.Lineage, o.Serial) }

// Named is a state's name, and when it was written.
type Named struct {
	Name string
	At   time.Time
}

// Names are the names of all states of a project that have something in them, by stack
// and environment.
func Names(tx core.Tx, project string) (map[[2]string]Named, error) {
	names := map[[2]string]Named{}
	versions, err := tx.CurrentStates(project)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if v.Resources > 0 {
			names[[2]string{v.Stack, v.Environment}] = Named{versionName(v), v.Created}
		}
	}
	own, err := tx.OwnStates(project)
	for _, o := range own { // stands for the built-in one
		key := [2]string{o.Stack, o.Environment}
		if delete(names, key); o.Resources > 0 {
			names[key] = Named{ownName(o), o.Seen}
		}
	}
	return names, err
}

// NameSince is the name of an instance's state, "" when it has none or when the state is
// not older than a moment.
func NameSince(tx core.Tx, project, stack, environment string, since time.Time) (string, error) {
	kept, err := tx.Held(project, stack, environment)
	switch {
	case err != nil:
		return "", err
	case kept.Own != nil && kept.Own.Seen.Before(since):
		return ownName(*kept.Own), nil
	case kept.Own == nil && kept.Current != nil && kept.Current.Created.Before(since):
		return versionName(*kept.Current), nil
	}
	return "", nil
}
