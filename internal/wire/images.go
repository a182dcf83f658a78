package wire

import "time"

// Build is an image to build.
type Build struct {
	Name    string   `json:"name"`
	Digest  string   `json:"digest" doc:"of all that goes into it"`
	Command []string `json:"command"`
	// Variables become environment variables of the command.
	Variables map[string]string `json:"variables,omitempty"`
	Within    string            `json:"within" doc:"a Go duration"`
}

// Image is an image that was built.
type Image struct {
	Name    string    `json:"name"`
	Digest  string    `json:"digest" doc:"of all that went into it"`
	ID      string    `json:"id"`
	Release Release   `json:"release" doc:"that was first to have it"`
	Run     string    `json:"run" doc:"that built it"`
	Since   time.Time `json:"since"`
	UsedIn  []string  `json:"used_in" doc:"instances, as web@production, that have it now"`
}
