package forge

import (
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Open returns the client of a repository. It asks the forge nothing.
// core.Invalid: see Validate.
func Open(c Config) (Client, error) {
	return nil, core.Errorf(core.Invalid, "%q is no kind of forge", c.Kind)
}

// Validate returns core.Invalid with what is missing or wrong, and where to get it.
func (c Config) Validate() error {
	return core.Errorf(core.Invalid, "%q is no kind of forge", c.Kind)
}

// Detect reads the address that a repository is cloned from: https://, ssh:// or user@host:path. The kind is "" when the
// host does not tell. ok is false for what is on no forge, like a folder.
func Detect(repoURL string) (kind, url, repo string, ok bool) {
	return "", "", "", false
}

// Wait returns how long the rate limit that caused err asks to wait.
func Wait(err error) (time.Duration, bool) { return 0, false }
