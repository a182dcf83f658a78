package access

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/guardrails"
	"github.com/terrace-cd/terrace/internal/service/runs"
)

// Identify finds the token behind a secret, and what it lets its user do now.
// Unauthenticated when there is none, or it is revoked or expired. A run's revoked token is
// still recognised, so that a late write can be refused for its fence and kept; nothing
// else accepts it.
func (s *Service) Identify(ctx context.Context, secret string) (who Identity, err error) {
	refused := core.Errorf(core.Unauthenticated, "this token is not valid; set TERRACE_TOKEN or run: terrace login URL")
	if secret == "" {
		return Identity{}, core.Errorf(core.Unauthenticated, "a token is needed; set TERRACE_TOKEN or run: terrace login URL")
	}
	err = s.Store.Peek(ctx, func(tx core.Tx) error {
		token, err := tx.TokenByHash(runs.HashToken(secret))
		if err != nil {
			return err
		}
		who = Identity{Token: token}
		if token.Kind == core.TokenRun {
			if !token.Expires.IsZero() && tx.Now().After(token.Expires) {
				return refused
			}
			return nil
		}
		if !token.LetsIn(tx.Now()) {
			return refused
		}
		who.Grants, err = s.grants(tx, token)
		return err
	})
	switch {
	case core.CodeOf(err) == core.NotFound:
		return Identity{}, refused
	case err != nil:
		return Identity{}, err
	}
	return who, nil
}

// grants asks the guardrails only where they decide: an admin's own token lets in even when
// the guardrails are not understood.
func (s *Service) grants(tx core.Tx, token core.Token) ([]core.Grant, error) {
	rails := &config.Guardrails{}
	if token.Role == "" {
		var err error
		if rails, err = s.Guardrails.In(tx); err != nil {
			return nil, err
		}
	}
	return guardrails.GrantsOf(rails, token), nil
}

// NewSecret makes the secret of a token.
func NewSecret() string {
	var random [24]byte
	if _, err := rand.Read(random[:]); err != nil {
		panic(err) // crypto/rand never fails on the systems Go supports
	}
	return "tr_" + hex.EncodeToString(random[:])
}

// NewToken makes a token and returns its secret, which is not stored. Of the token it takes
// the name, the user, and the role with its project and environment.
func (s *Service) NewToken(ctx context.Context, by string, wanted core.Token, lifetime time.Duration) (core.Token, string, error) {
	secret := NewSecret()
	token, err := s.AddToken(ctx, by, wanted, secret, lifetime)
	return token, secret, err
}

// AddToken is NewToken for a secret of NewSecret. A lifetime of 0 means until it is revoked.
// A token without a user is of the user of its own name; one without a role may do what the
// guardrails give its user.
func (s *Service) AddToken(ctx context.Context, by string, wanted core.Token, secret string, lifetime time.Duration) (core.Token, error) {
	if err := checkToken(wanted); err != nil {
		return core.Token{}, err
	}
	if wanted.User == "" {
		wanted.User = wanted.Name
	}
	var token core.Token
	err := s.Store.Update(ctx, func(tx core.Tx) error {
		now := tx.Now()
		token = core.Token{ID: core.NewID(core.PrefixToken, now), Hash: runs.HashToken(secret), Kind: core.TokenPerson, Name: wanted.Name, User: wanted.User,
			Role: wanted.Role, Project: wanted.Project, Environment: wanted.Environment, Parent: wanted.Parent, Created: now}
		if lifetime > 0 {
			token.Expires = now.Add(lifetime)
		}
		if err := tx.AddToken(token); err != nil {
			return err
		}
		data := map[string]string{"name": token.Name, "user": token.User}
		for name, value := range map[string]string{"role": string(token.Role), "project": token.Project, "environment": token.Environment} {
			if value != "" {
				data[name] = value
			}
		}
		return tx.AddEvent(core.Event{By: by, Kind: "token.made", On: token.ID, Data: data})
	})
	return token, err
}

func checkToken(t core.Token) error {
	switch {
	case strings.TrimSpace(t.Name) == "" || len(t.Name) > 100 || strings.ContainsFunc(t.Name, func(r rune) bool { return r < ' ' }):
		return core.Errorf(core.Invalid, "a token needs a name of 1 to 100 printable characters, for example the person or machine it is for")
	case t.User != "" && t.User != t.Name && !core.ValidUser(t.User): // a name is for people, and may be anything
		return core.Errorf(core.Invalid, "%q cannot name a user: %s", t.User, core.UserNames)
	case t.Role != "" && !slices.Contains(core.Roles(), t.Role):
		return core.Errorf(core.Invalid, "there is no role %q; there are viewer, developer, operator and admin", t.Role)
	case t.Role == "" && (t.Project != "" || t.Environment != ""):
		return core.Errorf(core.Invalid, "a token that is good for a project or an environment alone needs a role there: --role viewer, developer, operator or admin")
	}
	for kind, name := range map[string]string{"project": t.Project, "environment": t.Environment} {
		if name != "" {
			if err := core.CheckName(kind, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// Tokens lists people's tokens.
func (s *Service) Tokens(ctx context.Context) (tokens []core.Token, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		all, err := tx.Tokens()
		tokens = slices.DeleteFunc(all, func(t core.Token) bool { return t.Kind != core.TokenPerson || t.Revoked })
		return err
	})
	return tokens, err
}

// HasAdmin reports whether some token lets in who may do everything.
func (s *Service) HasAdmin(ctx context.Context) (has bool, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		admins, err := s.admins(tx)
		has = len(admins) > 0
		return err
	})
	return has, err
}

// admins are the tokens that let in who may do everything.
func (s *Service) admins(tx core.Tx) (admins []core.Token, err error) {
	tokens, err := tx.Tokens()
	for _, t := range tokens {
		if !t.LetsIn(tx.Now()) {
			continue
		}
		grants, err := s.grants(tx, t)
		if core.CodeOf(err) == core.Internal {
			continue // guardrails that are not understood give nobody anything
		}
		if err != nil {
			return nil, err
		}
		if (Identity{Grants: grants}).MayEverywhere(core.RoleAdmin) == nil {
			admins = append(admins, t)
		}
	}
	return admins, err
}

// Revoke ends a token, and those of the browsers that it let in. Errors: NotFound; Conflict
// when no token of an admin would be left.
func (s *Service) Revoke(ctx context.Context, by, id string) error {
	return s.Store.Update(ctx, func(tx core.Tx) error {
		admins, err := s.admins(tx)
		if err != nil {
			return err
		}
		tokens, err := tx.Tokens()
		if err != nil {
			return err
		}
		ended := descendants(tokens, id)
		if len(admins) > 0 && !slices.ContainsFunc(admins, func(t core.Token) bool { return !slices.Contains(ended, t.ID) }) {
			return core.Errorf(core.Conflict, "%s is the last token that may do everything, and nobody could make another one; do that first: terrace token create NAME --role admin", id)
		}
		for _, each := range ended {
			if err := tx.RevokeToken(each); err != nil {
				return err
			}
			if err := tx.AddEvent(core.Event{By: by, Kind: "token.revoked", On: each}); err != nil {
				return err
			}
		}
		return nil
	})
}

// descendants are a token and all that lives by it: the browsers that it let in, and those
// that they let in.
func descendants(tokens []core.Token, id string) []string {
	ended := []string{id}
	for i := 0; i < len(ended); i++ {
		for _, t := range tokens {
			if t.Parent == ended[i] && !t.Revoked {
				ended = append(ended, t.ID)
			}
		}
	}
	return ended
}
