package httpapi

import (
	"context"
	"net/http"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/wire"
)

// planLimit bounds a plan's readable form, in bytes.
const planLimit = 64 << 20

// runnerRoutes are what a runner says about its run. Each is good for repeating.
func (a *API) runnerRoutes(r *routes) {
	type in[T any] struct {
		RunPath
		Body T
	}
	add(r, forRunners, http.MethodPost, "/api/v1/runs/{id}/claim", "claim-run", "Begin an attempt", func(ctx context.Context, i *in[wire.Claim]) (*body[wire.Job], error) {
		job, err := a.Runs.Claim(ctx, runner(ctx), i.ID, i.Body)
		return &body[wire.Job]{job}, err
	})
	add(r, forRunners, http.MethodPost, "/api/v1/runs/{id}/phase", "report-phase", "A phase begins", func(ctx context.Context, i *in[wire.Phase]) (*none, error) {
		return &none{}, a.Runs.Phase(ctx, runner(ctx), i.ID, core.RunStatus(i.Body.Status))
	})
	add(r, forRunners, http.MethodPost, "/api/v1/runs/{id}/planned", "report-plan", "A plan is made", func(ctx context.Context, i *in[wire.Planned]) (*body[wire.Next], error) {
		next, err := a.Runs.Planned(ctx, runner(ctx), i.ID, i.Body)
		return &body[wire.Next]{next}, err
	}, limit(planLimit))
	add(r, forRunners, http.MethodPost, "/api/v1/runs/{id}/looked", "report-look", "A look found what it found", func(ctx context.Context, i *in[wire.Looked]) (*none, error) {
		return &none{}, a.Runs.Looked(ctx, runner(ctx), i.ID, i.Body)
	}, limit(planLimit))
	add(r, forRunners, http.MethodPost, "/api/v1/runs/{id}/applied", "report-applied", "The apply ended well", func(ctx context.Context, i *in[wire.Applied]) (*body[wire.After], error) {
		after, err := a.Runs.Applied(ctx, runner(ctx), i.ID, i.Body)
		return &body[wire.After]{after}, err
	}, limit(planLimit))
	add(r, forRunners, http.MethodPost, "/api/v1/runs/{id}/during", "ask-during", "What to provision in the middle of the apply", func(ctx context.Context, i *in[wire.During]) (*body[wire.After], error) {
		after, err := a.Runs.During(ctx, runner(ctx), i.ID, i.Body)
		return &body[wire.After]{after}, err
	}, limit(planLimit))
	add(r, forRunners, http.MethodPost, "/api/v1/runs/{id}/provisioned", "report-provisioned", "Ansible ended well", func(ctx context.Context, i *in[wire.Provisioned]) (*body[wire.After], error) {
		after, err := a.Runs.Provisioned(ctx, runner(ctx), i.ID, i.Body)
		return &body[wire.After]{after}, err
	}, limit(planLimit))
	add(r, forRunners, http.MethodPost, "/api/v1/runs/{id}/hosts", "report-hosts", "How far Ansible is", func(ctx context.Context, i *in[wire.Provisioned]) (*none, error) {
		return &none{}, a.Runs.Hosts(ctx, runner(ctx), i.ID, i.Body)
	}, limit(planLimit))
	add(r, forRunners, http.MethodPost, "/api/v1/runs/{id}/finish", "finish-run", "An attempt ends", func(ctx context.Context, i *in[wire.Finish]) (*none, error) {
		return &none{}, a.Runs.Finish(ctx, runner(ctx), i.ID, i.Body)
	}, limit(planLimit))
	add(r, forRunners, http.MethodPost, "/api/v1/runs/{id}/heartbeat", "heartbeat", "The runner lives", func(ctx context.Context, i *RunPath) (*body[wire.Beat], error) {
		run, err := a.Runs.Heartbeat(ctx, runner(ctx), i.ID)
		over := run.Kind == core.KindVerify && run.CancelBy == runs.BakeOver
		return &body[wire.Beat]{wire.Beat{Cancel: run.Cancel && !over, Stop: run.Cancel && over}}, err
	})
	add(r, forRunners, http.MethodPost, "/api/v1/runs/{id}/logs", "append-log", "More of the log", func(ctx context.Context, i *in[[]wire.LogChunk]) (*none, error) {
		var chunks []core.LogChunk
		for _, c := range i.Body {
			chunks = append(chunks, core.LogChunk{Seq: c.Seq, Offset: c.Offset, Phase: c.Phase, Text: c.Text})
		}
		return &none{}, a.Runs.AddLogs(ctx, runner(ctx), i.ID, chunks)
	})
	r.raw(forRunners, http.MethodGet, "/api/v1/runs/{id}/recovered", func(w http.ResponseWriter, req *http.Request) error {
		content, err := a.Runs.RecoveredState(req.Context(), runner(req.Context()), req.PathValue("id"))
		if err != nil {
			return err
		}
		writeState(w, content)
		return nil
	})
	r.raw(forRunners, http.MethodPost, "/api/v1/runs/{id}/recovered", func(w http.ResponseWriter, req *http.Request) error {
		body, err := readAll(w, req, stateLimit)
		if err != nil {
			return err
		}
		caller := runner(req.Context())
		if err := a.Runs.Recovered(req.Context(), caller, req.PathValue("id"), body); err != nil {
			return err
		}
		writeJSON(w, http.StatusOK, struct{}{})
		return nil
	})
}

// stateLimit bounds a state, in bytes.
const stateLimit = 256 << 20

// readAll reads a body of at most limit bytes.
func readAll(w http.ResponseWriter, req *http.Request, limit int64) ([]byte, error) {
	data, err := readWhole(http.MaxBytesReader(w, req.Body, limit), min(req.ContentLength, limit))
	if err != nil {
		return nil, core.Errorf(core.Invalid, "at most %d bytes are accepted: %w", limit, err)
	}
	return data, nil
}
