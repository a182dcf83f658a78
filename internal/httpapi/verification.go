package httpapi

import (
	"context"
	"net/http"

	"github.com/terrace-cd/terrace/internal/wire"
)

func (a *API) verificationRoutes(r *routes) {
	const all = "/api/v1/projects/{project}/verifications/{environment}"
	type EnvironmentPath struct {
		ProjectPath
		Environment string `path:"environment" maxLength:"63"`
	}
	add(r, operators, http.MethodPost, all, "verify-environment", "Ask the verification of all instances of an environment again, on the release that is there", func(ctx context.Context, in *EnvironmentPath) (*body[wire.Verifications], error) {
		out, err := a.Verification.Ask(ctx, by(ctx), in.Project, in.Environment, "")
		return &body[wire.Verifications]{out}, err
	}, created)
	add(r, operators, http.MethodPost, all+"/{stack}", "verify", "Ask the verification of an instance again, on the release that is there", func(ctx context.Context, in *InstancePath) (*body[wire.Verifications], error) {
		out, err := a.Verification.Ask(ctx, by(ctx), in.Project, in.Environment, in.Stack)
		return &body[wire.Verifications]{out}, err
	}, created)
}
