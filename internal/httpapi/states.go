package httpapi

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/wire"
)

// person is the caller of a route for people.
func person(ctx context.Context) state.Caller {
	return state.Caller{By: by(ctx), Person: true, CanWrite: true}
}

// stateRoutes are people's view of states.
func (a *API) stateRoutes(r *routes) {
	add(r, viewers, http.MethodGet, "/api/v1/projects/{project}/states", "list-states", "The current state of every instance", func(ctx context.Context, in *ProjectPath) (*body[[]wire.StateVersion], error) {
		out, err := a.State.List(ctx, in.Project)
		return &body[[]wire.StateVersion]{sees(ctx, out, func(v wire.StateVersion) place { return instancePlace(in.Project, v.Instance) })}, err
	})
	const one = "/api/v1/projects/{project}/states/{environment}/{stack}"
	add(r, viewers, http.MethodGet, one, "show-state", "An instance's state, without what is secret in it", func(ctx context.Context, in *InstancePath) (*body[wire.State], error) {
		out, err := a.State.Show(ctx, in.Project, in.Stack, in.Environment)
		return &body[wire.State]{out}, err
	})
	type versions struct {
		InstancePath
		Limit int `query:"limit" minimum:"0" doc:"0 means all"`
	}
	add(r, viewers, http.MethodGet, one+"/versions", "list-state-versions", "An instance's state versions, newest first", func(ctx context.Context, in *versions) (*body[[]wire.StateVersion], error) {
		out, err := a.State.Versions(ctx, in.Project, in.Stack, in.Environment, in.Limit)
		return &body[[]wire.StateVersion]{out}, err
	})
	type diff struct {
		InstancePath
		From int64 `query:"from" minimum:"0" doc:"0 means the version before"`
		To   int64 `query:"to" minimum:"0" doc:"0 means the current version"`
	}
	add(r, viewers, http.MethodGet, one+"/diff", "diff-states", "What differs between two versions, without sensitive values", func(ctx context.Context, in *diff) (*body[wire.StateDiff], error) {
		out, err := a.State.Diff(ctx, in.Project, in.Stack, in.Environment, in.From, in.To)
		return &body[wire.StateDiff]{out}, err
	})
	type restore struct {
		InstancePath
		Body wire.RestoreState
	}
	add(r, operators, http.MethodPost, one+"/restore", "restore-state", "Make an older version current again", func(ctx context.Context, in *restore) (*body[wire.StateVersion], error) {
		v, err := a.State.Restore(ctx, person(ctx), in.Project, in.Stack, in.Environment, in.Body.Version, in.Body.Reason)
		return &body[wire.StateVersion]{state.Version(v, true)}, err
	})
	type unlock struct {
		InstancePath
		Body wire.Reason
	}
	add(r, operators, http.MethodPost, one+"/unlock", "unlock-state", "Take a state's lock away", func(ctx context.Context, in *unlock) (*none, error) {
		return &none{}, a.State.ForceUnlock(ctx, person(ctx), in.Project, in.Stack, in.Environment, in.Body.Reason)
	})
	r.raw(developers, http.MethodGet, one+"/pull", func(w http.ResponseWriter, req *http.Request) error {
		version, err := strconv.ParseInt(req.FormValue("version"), 10, 64)
		if err != nil && req.FormValue("version") != "" {
			return core.Errorf(core.Invalid, "%q is not the number of a state version", req.FormValue("version"))
		}
		content, v, err := a.State.Pull(req.Context(), person(req.Context()), req.PathValue("project"), req.PathValue("stack"), req.PathValue("environment"), version)
		if err != nil {
			return err
		}
		if md5, err := hex.DecodeString(v.MD5); err == nil {
			w.Header().Set("Content-MD5", base64.StdEncoding.EncodeToString(md5))
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content) // the client is gone; there is nobody to tell
		return nil
	})
	store := func(route string, write func(ctx context.Context, project, stack, environment string, req *http.Request, content []byte) (core.StateVersion, error)) {
		r.raw(operators, http.MethodPost, one+route, func(w http.ResponseWriter, req *http.Request) error {
			content, err := readAll(w, req, a.State.Limit())
			if err != nil {
				return err
			}
			v, err := write(req.Context(), req.PathValue("project"), req.PathValue("stack"), req.PathValue("environment"), req, content)
			if err != nil {
				return err
			}
			writeJSON(w, http.StatusOK, state.Version(v, true))
			return nil
		})
	}
	store("/push", func(ctx context.Context, project, stack, environment string, _ *http.Request, content []byte) (core.StateVersion, error) {
		return a.State.Push(ctx, person(ctx), project, stack, environment, content)
	})
	store("/import", func(ctx context.Context, project, stack, environment string, req *http.Request, content []byte) (core.StateVersion, error) {
		return a.State.Import(ctx, person(ctx), project, stack, environment, req.URL.Query().Get("from"), content)
	})
}
