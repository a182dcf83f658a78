package httpapi

import (
	"context"
	"net/http"

	"github.com/terrace-cd/terrace/internal/wire"
)

// hostRoutes show what is known of hosts.
func (a *API) hostRoutes(r *routes) {
	const all = "/api/v1/projects/{project}/hosts/{environment}/{stack}"
	add(r, viewers, http.MethodGet, all, "list-hosts", "An instance's hosts: where Ansible came to a good end, and their SSH host keys", func(ctx context.Context, in *InstancePath) (*body[[]wire.Host], error) {
		out, err := a.Runs.KnownHosts(ctx, in.Project, in.Stack, in.Environment)
		return &body[[]wire.Host]{out}, err
	})
	type one struct {
		InstancePath
		Host string `path:"host" maxLength:"300"`
	}
	add(r, operators, http.MethodDelete, all+"/{host}", "forget-host", "Forget a host's keys, so that the one it shows next is trusted", func(ctx context.Context, in *one) (*none, error) {
		return &none{}, a.Runs.ForgetHost(ctx, by(ctx), in.Project, in.Stack, in.Environment, in.Host)
	})
}
