package core

import (
	"slices"
	"time"
)

// Move says that an instance got another name: all that was stored of From in the
// environment is To's since At (rule 27).
type Move struct {
	Project     string
	Environment string
	From, To    string // stacks
	Release     int64  // number of the release that named it so
	At          time.Time
}

// Moves stores which instances have other names now.
type Moves interface {
	// MoveInstance makes all that is stored of an instance that of another stack: state
	// versions, the recovery slot, what is known of a state in a backend of its own,
	// exceptions, and what is applied. Its runs and events stay as they are, since they are
	// history. Conflict when one of the two is locked or a run works on it, when the new one
	// has resources in its state, and when both have a version of one and the same state;
	// NotFound when there is no instance to move.
	MoveInstance(Move) error
	// Moves returns those of a project, oldest first.
	Moves(project string) ([]Move, error)
}

// Formerly lists the names that a stack ever had, itself first, in one environment, or in
// any when environment is "".
func Formerly(moves []Move, stack, environment string) []string {
	names := []string{stack}
	for i := 0; i < len(names); i++ {
		for _, m := range moves {
			if m.To == names[i] && (environment == "" || m.Environment == environment) && !slices.Contains(names, m.From) {
				names = append(names, m.From)
			}
		}
	}
	return names
}
