package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

func (a *API) accessRoutes(r *routes) {
	type EnvironmentPath struct {
		ProjectPath
		Environment string `path:"environment" maxLength:"63"`
	}
	type SecretPath struct {
		EnvironmentPath
		Name string `path:"name" maxLength:"128"`
	}
	type setSecret struct {
		SecretPath
		Body wire.SecretValue
	}
	add(r, viewers, http.MethodGet, "/api/v1/projects/{project}/secrets/{environment}", "list-secrets", "Names of an environment's secrets", func(ctx context.Context, in *EnvironmentPath) (*body[[]string], error) {
		names, err := a.Access.Secrets(ctx, in.Project, in.Environment)
		if names == nil {
			names = []string{}
		}
		return &body[[]string]{names}, err
	})
	add(r, admins, http.MethodPut, "/api/v1/projects/{project}/secrets/{environment}/{name}", "set-secret", "Store a secret", func(ctx context.Context, in *setSecret) (*none, error) {
		return &none{}, a.Access.SetSecret(ctx, by(ctx), in.Project, in.Environment, in.Name, []byte(in.Body.Value))
	})
	add(r, admins, http.MethodDelete, "/api/v1/projects/{project}/secrets/{environment}/{name}", "remove-secret", "Forget a secret", func(ctx context.Context, in *SecretPath) (*none, error) {
		return &none{}, a.Access.RemoveSecret(ctx, by(ctx), in.Project, in.Environment, in.Name)
	})
	add(r, admins, http.MethodGet, "/api/v1/tokens", "list-tokens", "People's tokens", func(ctx context.Context, _ *struct{}) (*body[[]wire.Token], error) {
		tokens, err := a.Access.Tokens(ctx)
		out := []wire.Token{}
		for _, t := range tokens {
			out = append(out, wireToken(t))
		}
		return &body[[]wire.Token]{out}, err
	})
	add(r, admins, http.MethodPost, "/api/v1/tokens", "create-token", "Make a token; its secret is shown once", func(ctx context.Context, in *body[wire.CreateToken]) (*body[wire.Token], error) {
		var lifetime time.Duration
		if in.Body.TTL != "" {
			var err error
			if lifetime, err = time.ParseDuration(in.Body.TTL); err != nil || lifetime <= 0 {
				return nil, core.Errorf(core.Invalid, "%q is not a lifetime; write for example 720h", in.Body.TTL)
			}
		}
		token, secret, err := a.Access.NewToken(ctx, by(ctx), core.Token{Name: in.Body.Name, User: in.Body.User, Role: core.Role(in.Body.Role),
			Project: in.Body.Project, Environment: in.Body.Environment}, lifetime)
		out := wireToken(token)
		out.Secret = secret
		return &body[wire.Token]{out}, err
	}, created)
	type tokenPath struct {
		ID string `path:"id" maxLength:"64"`
	}
	add(r, admins, http.MethodDelete, "/api/v1/tokens/{id}", "revoke-token", "End a token", func(ctx context.Context, in *tokenPath) (*none, error) {
		return &none{}, a.Access.Revoke(ctx, by(ctx), in.ID)
	})
	add(r, viewers, http.MethodPost, "/api/v1/entries", "create-entry", "A link that lets a browser in, once, within ten minutes", func(ctx context.Context, _ *struct{}) (*body[wire.Entry], error) {
		code, err := a.Access.NewEntry(ctx, identified(ctx).identity)
		return &body[wire.Entry]{wire.Entry{Path: "/enter/" + code}}, err
	}, created)
}

func wireToken(t core.Token) wire.Token {
	return wire.Token{ID: t.ID, Kind: string(t.Kind), Name: t.Name, User: t.User, Role: string(t.Role), Project: t.Project, Environment: t.Environment,
		Created: t.Created, Expires: t.Expires}
}
