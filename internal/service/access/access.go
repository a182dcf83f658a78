// Package access keeps what lets people and runs in: tokens, environments' secrets,
// and holds, the way people keep releases out.
package access

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"regexp"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/service/runs"
)

// Service is safe for concurrent use.
type Service struct {
	Store core.Store
	Seal  core.Sealer
	Bus   *bus.Bus

	entries entries
}

// Identity is who makes a request.
type Identity struct {
	Token core.Token
}

// Name is how the identity appears in events: "run:r-…" or "user:NAME".
func (i Identity) Name() string {
	if i.Token.Kind == core.TokenRun {
		return "run:" + i.Token.Run
	}
	return "user:" + i.Token.Name
}

// Identify finds the token behind a secret. Unauthenticated when there is none, or
// it is revoked or expired. A run's revoked token is still recognised, so that a late
// write can be refused for its fence and kept; nothing else accepts it.
func (s *Service) Identify(ctx context.Context, secret string) (Identity, error) {
	refused := core.Errorf(core.Unauthenticated, "this token is not valid; set TERRACE_TOKEN or run: terrace login URL")
	if secret == "" {
		return Identity{}, core.Errorf(core.Unauthenticated, "a token is needed; set TERRACE_TOKEN or run: terrace login URL")
	}
	var token core.Token
	err := s.Store.Peek(ctx, func(tx core.Tx) (err error) {
		if token, err = tx.TokenByHash(runs.HashToken(secret)); err != nil {
			return err
		}
		if token.Revoked && token.Kind != core.TokenRun || !token.Expires.IsZero() && tx.Now().After(token.Expires) {
			return refused
		}
		return nil
	})
	if core.CodeOf(err) == core.NotFound {
		return Identity{}, refused
	}
	return Identity{Token: token}, err
}

// NewSecret makes the secret of a token.
func NewSecret() string {
	var random [24]byte
	if _, err := rand.Read(random[:]); err != nil {
		panic(err) // crypto/rand never fails on the systems Go supports
	}
	return "tr_" + hex.EncodeToString(random[:])
}

// NewToken makes an admin token and returns its secret, which is not stored.
func (s *Service) NewToken(ctx context.Context, by, name string, lifetime time.Duration) (core.Token, string, error) {
	secret := NewSecret()
	token, err := s.AddToken(ctx, by, name, secret, lifetime)
	return token, secret, err
}

// AddToken stores an admin token for a secret of NewSecret. A lifetime of 0 means
// until it is revoked.
func (s *Service) AddToken(ctx context.Context, by, name, secret string, lifetime time.Duration) (core.Token, error) {
	if strings.TrimSpace(name) == "" || len(name) > 100 || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return core.Token{}, core.Errorf(core.Invalid, "a token needs a name of 1 to 100 printable characters, for example the person or machine it is for")
	}
	var token core.Token
	err := s.Store.Update(ctx, func(tx core.Tx) error {
		now := tx.Now()
		token = core.Token{ID: core.NewID(core.PrefixToken, now), Hash: runs.HashToken(secret), Kind: core.TokenPerson, Name: name, Created: now}
		if lifetime > 0 {
			token.Expires = now.Add(lifetime)
		}
		if err := tx.AddToken(token); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "token.made", On: token.ID, Data: map[string]string{"name": name}})
	})
	return token, err
}

// Tokens lists people's tokens.
func (s *Service) Tokens(ctx context.Context) (tokens []core.Token, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		all, err := tx.Tokens()
		tokens = nil
		for _, t := range all {
			if t.Kind != core.TokenRun && !t.Revoked {
				tokens = append(tokens, t)
			}
		}
		return err
	})
	return tokens, err
}

// Revoke ends a token.
func (s *Service) Revoke(ctx context.Context, by, id string) error {
	return s.Store.Update(ctx, func(tx core.Tx) error {
		if err := tx.RevokeToken(id); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "token.revoked", On: id})
	})
}

var secretRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// maxSecret bounds a secret's value, in bytes.
const maxSecret = 64 << 10

// SetSecret stores a value for an environment. The name becomes an environment
// variable of runs.
func (s *Service) SetSecret(ctx context.Context, by, project, environment, name string, value []byte) error {
	if err := core.CheckName("environment", environment); err != nil {
		return err
	}
	if !secretRE.MatchString(name) || strings.HasPrefix(name, "TF_") && !strings.HasPrefix(name, "TF_VAR_") || strings.HasPrefix(name, "TERRACE_") {
		return core.Errorf(core.Invalid, "%q cannot name a secret: it becomes an environment variable, so use letters, digits and _, and neither TF_ (but TF_VAR_) nor TERRACE_ in front", name)
	}
	if len(value) == 0 || len(value) > maxSecret {
		return core.Errorf(core.Invalid, "the value of %s has %d bytes; 1 to %d are possible", name, len(value), maxSecret)
	}
	sealed, err := s.Seal.Seal(runs.SecretPurpose(project, environment, name), value)
	if err != nil {
		return err
	}
	return s.Store.Update(ctx, func(tx core.Tx) error {
		if _, err := tx.Project(project); err != nil {
			return err
		}
		if err := tx.PutSecret(project, environment, name, sealed); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "secret.set", Project: project, On: environment, Data: map[string]string{"name": name}})
	})
}

// Secrets lists names; values never leave.
func (s *Service) Secrets(ctx context.Context, project, environment string) (names []string, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		if _, err := tx.Project(project); err != nil {
			return err
		}
		names, err = tx.SecretNames(project, environment)
		return err
	})
	return names, err
}

// RemoveSecret forgets a value.
func (s *Service) RemoveSecret(ctx context.Context, by, project, environment, name string) error {
	return s.Store.Update(ctx, func(tx core.Tx) error {
		if _, err := tx.Secret(project, environment, name); err != nil {
			return err
		}
		if err := tx.DeleteSecret(project, environment, name); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "secret.removed", Project: project, On: environment, Data: map[string]string{"name": name}})
	})
}

// Hold puts a person's hold on an environment (rule 22).
func (s *Service) Hold(ctx context.Context, by, project, environment, reason string) error {
	return s.hold(ctx, by, project, environment, func(tx core.Tx) (*core.Hold, error) {
		if reason == "" {
			reason = "set by " + by
		}
		return &core.Hold{Kind: core.HoldPerson, Reason: reason, By: by, Since: tx.Now()}, nil
	}, "environment.held")
}

// Unhold lifts any hold.
func (s *Service) Unhold(ctx context.Context, by, project, environment string) error {
	return s.hold(ctx, by, project, environment, func(tx core.Tx) (*core.Hold, error) {
		e, err := tx.Environment(project, environment)
		if err == nil && e.Hold == nil {
			err = core.Errorf(core.Conflict, "there is no hold on %s", environment)
		}
		return nil, err
	}, "environment.unheld")
}

func (s *Service) hold(ctx context.Context, by, project, environment string, change func(core.Tx) (*core.Hold, error), kind string) error {
	err := s.Store.Update(ctx, func(tx core.Tx) error {
		if err := known(tx, project, environment); err != nil {
			return err
		}
		e, err := tx.Environment(project, environment)
		if err != nil {
			return err
		}
		if e.Hold, err = change(tx); err != nil {
			return err
		}
		if err := tx.PutEnvironment(e); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: kind, Project: project, On: environment})
	})
	s.Bus.Changed(project)
	return err
}
