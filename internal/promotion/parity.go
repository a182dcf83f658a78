package promotion

import (
	"fmt"

	"github.com/terrace-cd/terrace/internal/core"
)

// Parity is what one configuration demands of an environment before a release enters, and
// what came of comparing the two as they are.
type Parity struct {
	From    string // where it is written
	With    string // the other environment
	AtLeast float64
	// Empty: in one of the two nothing was ever applied, so nothing can differ yet.
	Empty bool
	// Known: the comparison is made. Trouble says why it cannot be, or why not of everything: what
	// is not known is no pass.
	Known   bool
	Trouble string
	// Number is how alike they are, from 0 to 1, and Undeclared how many differences nobody
	// wrote down. First is one of them, for people.
	Number     float64
	Undeclared int
	First      string
}

// alike is the gate of environments that have to be like another one. It is asked at
// admission alone: what has entered changes the environment, and comparing what is half changed
// says nothing.
func alike(_ *decider, p place) (all []core.Wait) {
	seen := map[string]bool{}
	for _, demand := range p.st.Config.Parity {
		if w, waits := parityWait(p.st.Config.Name, demand); waits && !seen[demand.With] {
			seen[demand.With] = true
			all = append(all, w)
		}
	}
	return all
}

// parityWait says what is in the way of one demand, false when it is met.
func parityWait(environment string, p Parity) (core.Wait, bool) {
	w := core.Wait{Gate: core.GateParity, On: p.With}
	command := fmt.Sprintf("terrace parity %s %s", environment, p.With)
	switch {
	case p.Empty:
		return w, false
	case p.Trouble != "":
		w.What = fmt.Sprintf("%s to be like %s, which is not known: %s", environment, p.With, p.Trouble)
		w.OpensBy = "a comparison of everything; see: " + command
	case !p.Known:
		w.What = fmt.Sprintf("the comparison of %s with %s", environment, p.With)
		w.OpensBy = "its end"
	case p.Number < p.AtLeast:
		w.What = fmt.Sprintf("%s to be like %s: %.4f, and %s wants %g; nobody wrote down that %s", environment, p.With, p.Number, p.From, p.AtLeast, p.First)
		if p.Undeclared > 1 {
			w.What += fmt.Sprintf(", and %d more", p.Undeclared-1)
		}
		w.OpensBy, w.ForPerson = "undoing what differs, or writing it down; see: "+command, true
	default:
		return w, false
	}
	return w, true
}
