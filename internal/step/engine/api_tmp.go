package engine

import (
	"context"
	"errors"
)

// FindOptions say where engines are looked for.
type FindOptions struct {
	// Path is a list of directories, as in PATH.
	Path string
	// Cache holds installed engines as NAME/VERSION/NAME, and remembers versions.
	Cache string
	// TofuURL and TerraformURL are where releases are listed and downloaded; empty: the
	// official ones. Key is the armored public key that signs them, if not the official one.
	TofuURL, TerraformURL, Key string
}

// Find returns an engine that satisfies a version constraint ("~> 1.12", "" for any):
// from Path, from Cache, or downloaded, verified and kept in Cache. Errors: Invalid for a
// name or constraint that cannot be, Unavailable when there is none.
func Find(ctx context.Context, name, constraint string, o FindOptions) (Engine, error) {
	return Engine{}, errors.ErrUnsupported
}

// Session is made by Open.
type Session struct{}

// Open prepares the root module. Errors: Invalid for what is wrong with the code.
func Open(ctx context.Context, o Options) (*Session, error) { return nil, errors.ErrUnsupported }

// Init installs modules and providers, unless the kept tree has all of it. Errors: Invalid
// when the engine said no; Unavailable when trying again may help (rule 19): nothing is
// tried twice here.
func (s *Session) Init(ctx context.Context) (skipped bool, err error) {
	return false, errors.ErrUnsupported
}

// Plan plans and saves the plan. Errors as of Init.
func (s *Session) Plan(ctx context.Context, o PlanOptions) (Planned, error) {
	return Planned{}, errors.ErrUnsupported
}

// Apply applies the saved plan, once. Applied counts with an error as well. The error is
// Invalid when the engine said no; its end by a signal is Unavailable, and its outcome
// unknown unless Applied says that the state is stored.
func (s *Session) Apply(ctx context.Context) (Applied, error) {
	return Applied{}, errors.ErrUnsupported
}

// Commands is how many engine processes were started.
func (s *Session) Commands() int { return 0 }

// Close ends the providers that were kept and removes what is secret.
func (s *Session) Close() error { return nil }
