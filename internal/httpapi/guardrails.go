package httpapi

import (
	"context"
	"net/http"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// guardrailsRoutes let everybody read what is asked of them, and admins change it.
func (a *API) guardrailsRoutes(r *routes) {
	type version struct {
		Version int64 `query:"version" minimum:"0" doc:"0 means the newest"`
	}
	add(r, viewers, http.MethodGet, "/api/v1/guardrails", "show-guardrails", "What no repository can weaken", func(ctx context.Context, in *version) (*body[wire.Guardrails], error) {
		g, err := a.Guardrails.Read(ctx, in.Version)
		return &body[wire.Guardrails]{wireGuardrails(g, nil)}, err
	})
	add(r, viewers, http.MethodGet, "/api/v1/guardrails/history", "guardrails-history", "Every version of the guardrails, newest first, without files", func(ctx context.Context, _ *struct{}) (*body[[]wire.Guardrails], error) {
		all, err := a.Guardrails.History(ctx)
		out := []wire.Guardrails{}
		for _, g := range all {
			out = append(out, wireGuardrails(g, nil))
		}
		return &body[[]wire.Guardrails]{out}, err
	})
	add(r, admins, http.MethodPut, "/api/v1/guardrails", "set-guardrails", "Store a new version of the guardrails", func(ctx context.Context, in *body[wire.SetGuardrails]) (*body[wire.Guardrails], error) {
		g, warnings, err := a.Guardrails.Set(ctx, by(ctx), in.Body.Files, in.Body.IfVersion)
		return &body[wire.Guardrails]{wireGuardrails(g, warnings)}, err
	})
}

func wireGuardrails(g core.Guardrails, warnings []string) wire.Guardrails {
	return wire.Guardrails{Version: g.Version, Digest: g.Digest, By: g.By, Created: g.Created, Files: g.Files, Warnings: warnings}
}
