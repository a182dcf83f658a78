package promotion

import "strings"

// How the texts begin that say what only a person can open.
const (
	forHold     = "a hold on "
	forStopped  = "the project, which is stopped: "
	forApproval = "approval to "
	forAnswer   = "an answer to the verification of "
	forWindow   = "the window of " // which opens by itself, and so is no person's
)

// ForPerson reports whether what a stage waits for comes from a person and from nobody
// else, so that waiting longer helps nothing.
func ForPerson(waitsFor string) bool {
	for _, begin := range []string{forHold, forStopped, forApproval, forAnswer} {
		if strings.HasPrefix(waitsFor, begin) {
			return true
		}
	}
	return false
}
