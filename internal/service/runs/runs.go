// Package runs is what runners and people do to runs: a runner claims one, reports
// its phases, its plan and its end; a person cancels, approves or recovers one. Each
// call is one transaction: check, transition, event.
package runs

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/service/guardrails"
	"github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/source"
)

// maxAttempts is how often a run is started again after its runner was lost before
// anything was changed.
const maxAttempts = 3

// Service is safe for concurrent use.
type Service struct {
	Store      core.Store
	Guardrails *guardrails.Service
	Wanted     *wanted.Evaluator
	Source     *source.Source
	State      *state.Service
	Seal       core.Sealer
	Bus        *bus.Bus
	Log        *slog.Logger

	// URL is where runners reach the server.
	URL func() string
	// RegistryHost is what people write as the host of a module of the registry.
	RegistryHost string
	// Interrupt asks the runner of a run to stop now; it hears of it with its next
	// heartbeat anyway.
	Interrupt func(core.Run)
	// Kill ends the runner of a run at once, with all that it started. An error says why
	// it could not.
	Kill func(core.Run) error
	// Host is where the runners of this server run, until they say so themselves.
	Host string
	// Grace is how long an interrupted engine may take.
	Grace time.Duration
	// VerifyEvery is how often a bake asks.
	VerifyEvery time.Duration
}

// Begin gives a queued run a new attempt: a fence and a token that is good for this
// attempt alone. Conflict when the run is not queued any more.
func (s *Service) Begin(ctx context.Context, id string) (run core.Run, token string, err error) {
	var secret [24]byte
	if _, err := rand.Read(secret[:]); err != nil {
		return core.Run{}, "", err
	}
	token = "trr_" + hex.EncodeToString(secret[:])
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		run, err = tx.Run(id)
		if err != nil {
			return err
		}
		if run.Status != core.RunQueued {
			return core.Errorf(core.Conflict, "%s is %s, not queued", id, run.Status)
		}
		if run.Fence, err = tx.NextFence(); err != nil {
			return err
		}
		run.Attempt++
		run.PID, run.PIDStart, run.Host = 0, "", s.Host
		run.Heartbeat = tx.Now()
		if err := tx.UpdateRun(run, core.RunQueued); err != nil {
			return err
		}
		if err := tx.RevokeRunTokens(id); err != nil {
			return err
		}
		return tx.AddToken(core.Token{ID: core.NewID(core.PrefixToken, tx.Now()), Hash: HashToken(token), Kind: core.TokenRun,
			Name: id, Run: id, Fence: run.Fence, Created: tx.Now()})
	})
	return run, token, err
}

// HashToken is how a token is stored.
func HashToken(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Caller is the run token behind a runner's request.
type Caller struct {
	Run   string
	Fence int64
}

// mine loads the caller's run, and refuses a stale attempt.
func mine(tx core.Tx, c Caller, id string) (core.Run, error) {
	if c.Run != id {
		return core.Run{}, core.Errorf(core.Denied, "this token is for run %s", c.Run)
	}
	run, err := tx.Run(id)
	if err != nil {
		return core.Run{}, err
	}
	if run.Fence != c.Fence {
		return core.Run{}, core.Errorf(core.Conflict, "attempt %d of %s took over; this runner is too late", run.Attempt, id)
	}
	return run, nil
}

// expect refuses a report that does not fit what the run is doing.
func expect(run core.Run, statuses ...core.RunStatus) error {
	if slices.Contains(statuses, run.Status) {
		return nil
	}
	return core.Errorf(core.Conflict, "%s is %s; this report is not expected", run.ID, run.Status)
}

// Queue makes a run of what it is to do: its place, kind and release, and what else its kind needs.
func Queue(tx core.Tx, by string, run core.Run) (core.Run, error) {
	now := tx.Now()
	run.ID, run.Status, run.Created, run.PhaseAt = core.NewID(core.PrefixRun, now), core.RunQueued, now, now
	if err := tx.AddRun(run); err != nil {
		return core.Run{}, err
	}
	return run, tx.AddEvent(core.Event{By: by, Kind: "run.queued", Project: run.Project, On: run.ID,
		Data: map[string]string{"instance": run.Instance(), "kind": string(run.Kind), "release": fmt.Sprint(run.Release.Number)}})
}

// move is the only place where a run's status changes: the table, the guard, the
// event and the times.
func move(tx core.Tx, run *core.Run, to core.RunStatus, who core.Actor, by string) error {
	from := run.Status
	if err := core.CheckMove(from, to, who); err != nil {
		return err
	}
	now := tx.Now()
	run.Status, run.PhaseAt = to, now
	if run.Started.IsZero() && to == core.RunPreparing {
		run.Started = now
	}
	if to.Terminal() {
		run.Finished = now
	}
	if err := tx.UpdateRun(*run, from); err != nil {
		return err
	}
	data := map[string]string{"from": string(from), "to": string(to), "release": fmt.Sprint(run.Release.Number)}
	if to.Terminal() && run.Error != nil {
		data["error"] = run.Error.Code
	}
	if err := tx.AddEvent(core.Event{By: by, Kind: "run." + string(to), Project: run.Project, On: run.ID, Data: data}); err != nil {
		return err
	}
	switch {
	case !to.Terminal():
		return nil
	case run.Kind.OnlyLooks():
		return toldNothing(tx, *run)
	case run.Kind == core.KindImage:
		return nil
	}
	if err := undid(tx, *run); err != nil {
		return err
	}
	instance, err := tx.Instance(run.Project, run.Stack, run.Environment)
	if err != nil {
		return err
	}
	instance.Run, instance.RunStatus = run.ID, to
	return tx.PutInstance(instance)
}

// Move is move for the reconciler, which decides on supersession and cancelling.
func (s *Service) Move(tx core.Tx, run *core.Run, to core.RunStatus) error {
	if err := move(tx, run, to, core.ByReconciler, "server"); err != nil {
		return err
	}
	if to.Terminal() {
		return s.ended(tx, *run)
	}
	return nil
}

// ended takes away what a run that is over must not keep.
func (s *Service) ended(tx core.Tx, run core.Run) error {
	if run.Status != core.RunUnknown {
		// An unknown run keeps its lock: nobody may write before somebody recovered.
		if err := s.State.ReleaseRunLocks(tx, run); err != nil {
			return err
		}
	}
	// The token stays readable to the state service, so that a late write is refused
	// for its fence and kept, instead of being thrown away as unauthenticated.
	return nil
}

// Heartbeat notes that the runner lives and tells it what is wanted of it.
func (s *Service) Heartbeat(ctx context.Context, c Caller, id string) (run core.Run, err error) {
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		if _, err := mine(tx, c, id); err != nil {
			return err
		}
		run, err = tx.Heartbeat(id, c.Fence)
		return err
	})
	return run, err
}

// AddLogs stores chunks of a run's log.
func (s *Service) AddLogs(ctx context.Context, c Caller, id string, chunks []core.LogChunk) error {
	err := s.Store.Update(ctx, func(tx core.Tx) error {
		if _, err := mine(tx, c, id); err != nil {
			return err
		}
		for _, chunk := range chunks {
			chunk.Run, chunk.At = id, tx.Now()
			if err := tx.AddLog(chunk); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.Bus.Changed(bus.LogTopic(id))
	}
	return err
}

// Phase moves a run on to planning, checking, or what its kind has instead.
func (s *Service) Phase(ctx context.Context, c Caller, id string, to core.RunStatus) error {
	var project string
	err := s.Store.Update(ctx, func(tx core.Tx) error {
		run, err := mine(tx, c, id)
		if err != nil {
			return err
		}
		project = run.Project
		if to != core.RunPlanning && to != core.RunChecking && (to != core.RunVerifying || run.Kind != core.KindVerify) && (to != core.RunBuilding || run.Kind != core.KindImage) {
			return core.Errorf(core.Invalid, "a runner does not report the phase %q", to)
		}
		if run.Status == to {
			return nil // said again after a lost reply
		}
		return move(tx, &run, to, core.ByRunner, "run:"+id)
	})
	if err == nil {
		s.Bus.Changed(project)
	}
	return err
}

// putDoc seals and stores a document of a run.
func (s *Service) putDoc(tx core.Tx, run, kind string, doc any) error {
	plain, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	sealed, err := s.Seal.Seal(state.DocPurpose(run, kind), plain)
	if err != nil {
		return err
	}
	return tx.PutRunDoc(run, kind, sealed)
}

// Doc reads a document of a run into doc. NotFound when the run has none.
func (s *Service) Doc(tx core.Tx, run, kind string, doc any) error {
	sealed, err := tx.RunDoc(run, kind)
	if err != nil {
		return err
	}
	plain, err := s.Seal.Open(state.DocPurpose(run, kind), sealed)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, doc)
}
