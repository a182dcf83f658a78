package wire

import "time"

// Guardrails are a version of what no repository can weaken.
type Guardrails struct {
	Version int64             `json:"version" doc:"0: there are none yet"`
	Digest  string            `json:"digest,omitempty"`
	By      string            `json:"by,omitempty"`
	Created time.Time         `json:"created,omitzero"`
	Files   map[string]string `json:"files,omitempty" doc:"guardrails.hcl and the policies that it names, by path"`
	// Warnings are what an administrator should know who set them.
	Warnings []string `json:"warnings,omitempty"`
}

// SetGuardrails stores a new version.
type SetGuardrails struct {
	Files map[string]string `json:"files" doc:"guardrails.hcl and the policies that it names, by path"`
	// IfVersion is the version that they are meant to follow.
	IfVersion *int64 `json:"if_version,omitempty" minimum:"0" doc:"refuse when this is not the newest version, 0 for none"`
}
