package httpapi

import (
	"context"
	"net/http"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/board"
	"github.com/terrace-cd/terrace/internal/service/rollouts"
	"github.com/terrace-cd/terrace/internal/wire"
)

// onStage is where routes about a stage begin.
const onStage = "/api/v1/stages/{id}"

func (a *API) promoteRoutes(r *routes) {
	const environment = "/api/v1/projects/{project}/environments/{environment}"
	type EnvironmentPath struct {
		ProjectPath
		Environment string `path:"environment" maxLength:"63"`
	}
	type look struct {
		EnvironmentPath
		Release  int64    `query:"release" minimum:"0" doc:"its number; missing: the candidate"`
		SkipGate []string `query:"skip_gate" maxItems:"16" doc:"gates that promoting would skip"`
	}
	add(r, viewers, http.MethodGet, environment+"/candidate", "show-candidate", "The release that promoting an environment means, and what is in its way", func(ctx context.Context, in *look) (*body[wire.Candidate], error) {
		c, err := a.Rollouts.Candidate(ctx, rollouts.Ask{Project: in.Project, Environment: in.Environment, Release: in.Release, Skip: gates(in.SkipGate)})
		return &body[wire.Candidate]{wireCandidate(in.Environment, c)}, err
	})
	type promote struct {
		EnvironmentPath
		Body wire.Promote
	}
	add(r, operators, http.MethodPost, environment+"/promote", "promote", "Let a release enter an environment on purpose", func(ctx context.Context, in *promote) (*body[wire.Promoted], error) {
		ask := rollouts.Ask{Project: in.Project, Environment: in.Environment, Release: in.Body.Release, Skip: gates(in.Body.SkipGate), Reason: in.Body.Reason, Lift: in.Body.LiftHold}
		c, rollout, err := a.Rollouts.Promote(ctx, by(ctx), ask)
		if err != nil {
			return nil, err
		}
		out := wire.Promoted{Candidate: wireCandidate(in.Environment, c), Journey: board.Rollout(rollout)}
		out.Lifted, out.Hold = out.Hold, nil
		if n := len(c.Stage.Skips); len(ask.Skip) > 0 && n > 0 {
			skip := board.Skip(c.Stage.Skips[n-1])
			out.Skipped = &skip
		}
		return &body[wire.Promoted]{out}, nil
	})
	add(r, viewers, http.MethodGet, "/api/v1/projects/{project}/skips", "list-pending-skips", "Skips that wait for a second person", func(ctx context.Context, in *ProjectPath) (*body[[]wire.PendingSkip], error) {
		all, err := a.Rollouts.PendingSkips(ctx, in.Project)
		out := []wire.PendingSkip{}
		for _, p := range all {
			w := wire.PendingSkip{Skip: board.Skip(p.Skip), Project: in.Project, Rollout: p.Rollout.ID, Stage: p.Stage.ID, Environment: p.Stage.Environment, Release: board.Release(p.Rollout.Release)}
			if err := may(ctx, core.RoleOperator, in.Project, p.Stage.Environment); err != nil {
				w.MayNot = err.Error()
			} else if p.Skip.By == by(ctx) {
				w.MayNot = "you asked for it"
			}
			out = append(out, w)
		}
		return &body[[]wire.PendingSkip]{out}, err
	})
	type agree struct {
		ID   string       `path:"id" maxLength:"64"`
		Body *wire.Reason `required:"false"`
	}
	add(r, operators, http.MethodPost, onStage+"/agree", "agree-to-skip", "Agree, as a second person, to skip gates of a stage", func(ctx context.Context, in *agree) (*none, error) {
		reason := ""
		if in.Body != nil {
			reason = in.Body.Reason
		}
		_, err := a.Rollouts.AgreeToSkip(ctx, by(ctx), in.ID, reason)
		return &none{}, err
	})
}

func gates(names []string) (out []core.Gate) {
	for _, name := range names {
		out = append(out, core.Gate(name))
	}
	return out
}

func wireCandidate(environment string, c rollouts.Candidate) wire.Candidate {
	out := wire.Candidate{Environment: environment, Release: board.Release(c.Release), Rollout: c.Rollout, Stage: c.Stage.ID, Status: string(c.Stage.Status),
		Waits: board.Waits(c.Waits), SecondPerson: c.SecondPerson}
	if out.Waits == nil {
		out.Waits = []wire.Wait{}
	}
	if h := c.Hold; h != nil {
		out.Hold = &wire.Hold{Environment: environment, Kind: string(h.Kind), Reason: h.Reason, By: h.By, Since: h.Since}
	}
	return out
}
