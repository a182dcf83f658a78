// Package guardrails keeps on the server what no repository can weaken, in versions that are
// never changed, and answers who may do what by them. Only administrators write them; every
// judgement reads the newest version in the transaction that it decides in.
package guardrails

import (
	"context"
	"sync"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/bus"
)

// Service is safe for concurrent use.
type Service struct {
	Store core.Store
	Bus   *bus.Bus
	// Misfits says of which projects the newest release cannot take the values that the
	// newest guardrails give variables; nil asks nobody.
	Misfits func(context.Context) ([]string, error)

	mu      sync.Mutex
	version int64 // of read
	read    *config.Guardrails
}

// In returns the newest guardrails, as the transaction sees them; without any, those that
// say nothing. Each version is read once. An Internal error means that the stored version
// is not understood: then nothing is decided, rather than decided without it.
func (s *Service) In(tx core.Tx) (*config.Guardrails, error) {
	version, err := tx.GuardrailsVersion()
	if err != nil || version == 0 {
		return &config.Guardrails{}, err
	}
	s.mu.Lock()
	read := s.read
	known := read != nil && s.version == version
	s.mu.Unlock()
	if known {
		return read, nil
	}
	stored, err := tx.Guardrails(version)
	if err != nil {
		return nil, err
	}
	tree := bundle(stored.Files)
	read, diags := config.LoadGuardrails(tree)
	if diags.HasErrors() {
		return nil, core.Errorf(core.Internal, "version %d of the guardrails is not understood by this Terrace, so nothing goes on; an administrator whose token has the role admin itself sets them anew (terrace guardrails set):\n%s",
			version, config.Render(diags, tree, false))
	}
	read.Version = version
	s.mu.Lock()
	defer s.mu.Unlock()
	if version > s.version {
		s.version, s.read = version, read
	}
	return read, nil
}

// Current is In, in a transaction of its own.
func (s *Service) Current(ctx context.Context) (g *config.Guardrails, err error) {
	err = s.Store.Peek(ctx, func(tx core.Tx) error {
		g, err = s.In(tx)
		return err
	})
	return g, err
}

// Roles lists what a user ("user:ana") may be in an environment of a project, as
// config.Guardrails.Roles does. Inside a transaction, ask what In returns.
func (s *Service) Roles(ctx context.Context, user, project, environment string) ([]core.Role, error) {
	g, err := s.Current(ctx)
	if err != nil {
		return nil, err
	}
	return g.Roles(user, project, environment), nil
}

// Members lists the users ("user:ana") whom "group:NAME" or "user:NAME" means.
func (s *Service) Members(ctx context.Context, who string) ([]string, error) {
	g, err := s.Current(ctx)
	if err != nil {
		return nil, err
	}
	return g.Members(who), nil
}

// UserOf says which user ("user:ana") the author of a commit is, "" when that is not known.
func (s *Service) UserOf(ctx context.Context, author string) (string, error) {
	g, err := s.Current(ctx)
	if err != nil {
		return "", err
	}
	return g.UserOf(author), nil
}
