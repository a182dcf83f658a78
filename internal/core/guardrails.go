package core

import "time"

// Guardrails are one version of what no repository can weaken. Versions count from 1 and are
// never changed or deleted.
type Guardrails struct {
	Version int64
	Digest  string            // of the files
	Files   map[string]string // by path; guardrails.hcl is one of them
	By      string
	Created time.Time
}
