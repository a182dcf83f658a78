package httpapi

import (
	"context"
	"net/http"
	"strconv"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/wire"
)

// ownRoutes are for states that the stacks' own backends keep, and for what of any state
// could not be stored where it belongs.
func (a *API) ownRoutes(r *routes) {
	const one = "/api/v1/projects/{project}/states/{environment}/{stack}"
	type reason struct {
		InstancePath
		Body *wire.Reason `required:"false"`
	}
	add(r, operators, http.MethodPost, one+"/forget", "forget-state", "Forget what is known of a state in the stack's own backend", func(ctx context.Context, in *reason) (*none, error) {
		why := ""
		if in.Body != nil {
			why = in.Body.Reason
		}
		return &none{}, a.State.Forget(ctx, person(ctx), in.Project, in.Stack, in.Environment, why)
	})
	add(r, viewers, http.MethodGet, one+"/recovered", "list-recovered", "An instance's recovery slot, newest first", func(ctx context.Context, in *InstancePath) (*body[[]wire.Recovered], error) {
		out, err := a.State.Recovered(ctx, in.Project, in.Stack, in.Environment)
		return &body[[]wire.Recovered]{out}, err
	})
	r.raw(developers, http.MethodGet, one+"/recovered/{entry}", func(w http.ResponseWriter, req *http.Request) error {
		id, err := strconv.ParseInt(req.PathValue("entry"), 10, 64)
		if err != nil {
			return core.Errorf(core.Invalid, "%q is not the number of an entry", req.PathValue("entry"))
		}
		content, err := a.State.PullRecovered(req.Context(), person(req.Context()), req.PathValue("project"), req.PathValue("stack"), req.PathValue("environment"), id)
		if err != nil {
			return err
		}
		writeState(w, content)
		return nil
	})
	type entry struct {
		InstancePath
		Entry int64        `path:"entry" minimum:"1"`
		Body  *wire.Reason `required:"false"`
	}
	add(r, operators, http.MethodPost, one+"/recovered/{entry}/use", "use-recovered", "Make an entry of the recovery slot the current state", func(ctx context.Context, in *entry) (*body[wire.StateVersion], error) {
		v, err := a.State.Promote(ctx, person(ctx), in.Project, in.Stack, in.Environment, in.Entry)
		return &body[wire.StateVersion]{state.Version(v, true)}, err
	})
	add(r, operators, http.MethodPost, one+"/recovered/{entry}/discard", "discard-recovered", "Say that nobody needs an entry of the recovery slot", func(ctx context.Context, in *entry) (*none, error) {
		why := ""
		if in.Body != nil {
			why = in.Body.Reason
		}
		return &none{}, a.State.Discard(ctx, person(ctx), in.Project, in.Stack, in.Environment, in.Entry, why)
	})
}

// writeState answers with a state, which nobody on the way may keep.
func writeState(w http.ResponseWriter, content []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = w.Write(content) // the client is gone; there is nobody to tell
}
