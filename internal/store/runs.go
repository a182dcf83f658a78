package store

import (
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

const runSelect = "SELECT x.id, " + joinedRelease + `, x.stage, x.rollout, x.preview, x.stack, x.environment, x.kind, x.status, x.attempt, x.fence,
	x.input_digest, x.components, x.provision_digest, x.to_create, x.to_update, x.to_replace, x.to_delete, x.has_plan, x.no_changes, x.applied,
	x.plan_digest, x.plan_lineage, x.plan_serial, x.guardrails, x.error_code, x.error_message, x.refuted, x.cancel, x.cancel_actor, x.created, x.started, x.finished, x.heartbeat, x.phase_at,
	x.pid, x.pid_start, x.host, x.not_before FROM runs` + joinRelease

func scanRun(r row) (v core.Run, err error) {
	var code *string
	var message string
	fields := append([]any{&v.ID}, releaseFields(&v.Release)...)
	err = r.Scan(append(fields, &v.Stage, &v.Rollout, &v.Preview, &v.Stack, &v.Environment, &v.Kind, &v.Status, &v.Attempt, &v.Fence,
		&v.InputDigest, (*facts)(&v.Components), &v.ProvisionDigest, &v.Changes.Create, &v.Changes.Update, &v.Changes.Replace, &v.Changes.Delete, &v.HasPlan, &v.NoChanges, &v.Applied,
		&v.PlanDigest, &v.PlanState.Lineage, &v.PlanState.Serial, &v.Guardrails, &code, &message, &v.Refuted, &v.Cancel, &v.CancelBy, into(&v.Created), into(&v.Started), into(&v.Finished), into(&v.Heartbeat), into(&v.PhaseAt),
		&v.PID, &v.PIDStart, &v.Host, into(&v.NotBefore))...)
	v.Project = v.Release.Project
	if code != nil {
		v.Error = &core.RunError{Code: *code, Message: message}
	}
	return v, err
}

// changeable are the columns that UpdateRun writes, in the order of runValues.
var changeable = []string{
	"status", "attempt", "fence", "input_digest", "components", "provision_digest", "to_create", "to_update", "to_replace", "to_delete",
	"has_plan", "no_changes", "applied", "plan_digest", "plan_lineage", "plan_serial", "guardrails", "error_code", "error_message", "refuted", "cancel", "cancel_actor",
	"started", "finished", "heartbeat", "phase_at", "pid", "pid_start", "host", "not_before",
}

func runValues(v core.Run) []any {
	var code *string
	var message string
	if v.Error != nil {
		code, message = &v.Error.Code, prose(v.Error.Message)
	}
	return []any{
		v.Status, v.Attempt, v.Fence, v.InputDigest, facts(v.Components), v.ProvisionDigest, v.Changes.Create, v.Changes.Update, v.Changes.Replace, v.Changes.Delete,
		v.HasPlan, v.NoChanges, v.Applied, v.PlanDigest, v.PlanState.Lineage, v.PlanState.Serial, v.Guardrails, code, message, v.Refuted, v.Cancel, v.CancelBy,
		micros(v.Started), micros(v.Finished), micros(v.Heartbeat), micros(v.PhaseAt), v.PID, v.PIDStart, v.Host, micros(v.NotBefore),
	}
}

func (t *tx) AddRun(v core.Run) error {
	args := []any{v.ID, v.Project, v.Stage, v.Rollout, v.Preview, v.Stack, v.Environment, v.Kind, v.Release.Number, v.Release.Commit, micros(v.Created)}
	args = append(args, runValues(v)...)
	return t.add("run "+v.ID+" cannot be added: it exists, or another run works on "+v.Instance(),
		"INSERT INTO runs (id, project, stage, rollout, preview, stack, environment, kind, release_number, release_commit, created, "+
			strings.Join(changeable, ", ")+") VALUES ("+placeholders(len(args))+")", args...)
}

func (t *tx) Run(id string) (core.Run, error) {
	return get(t, "run "+id, scanRun, runSelect+" WHERE x.id = ?", id)
}

func (t *tx) Runs(f core.RunFilter) ([]core.Run, error) {
	var w where
	w.is("x.project", f.Project)
	w.is("x.environment", f.Environment)
	w.is("x.stack", f.Stack)
	w.is("x.rollout", f.Rollout)
	w.is("x.stage", f.Stage)
	w.is("x.preview", f.Preview)
	if len(f.Stacks) > 0 {
		w.conditions = append(w.conditions, "x.stack IN ("+placeholders(len(f.Stacks))+")")
		for _, s := range f.Stacks {
			w.args = append(w.args, s)
		}
	}
	if len(f.Statuses) > 0 {
		w.conditions = append(w.conditions, "x.status IN ("+placeholders(len(f.Statuses))+")")
		for _, s := range f.Statuses {
			w.args = append(w.args, s)
		}
	}
	return list(t, scanRun, runSelect+w.String()+" ORDER BY x.seq DESC"+limit(f.Limit), w.args...)
}

func (t *tx) UpdateRun(v core.Run, from core.RunStatus) error {
	n, err := t.exec("UPDATE runs SET "+strings.Join(changeable, " = ?, ")+" = ? WHERE id = ? AND status = ?", append(runValues(v), v.ID, from)...)
	switch {
	case core.CodeOf(err) == core.Conflict:
		return core.Errorf(core.Conflict, "another run works on %s: %w", v.Instance(), err)
	case err != nil || n > 0:
		return err
	}
	return t.guard("run "+v.ID, "SELECT status FROM runs WHERE id = ?", v.ID, string(from))
}

func (t *tx) Heartbeat(id string, fence int64) (core.Run, error) {
	v, err := t.Run(id)
	switch {
	case err != nil:
		return core.Run{}, err
	case v.Fence != fence:
		return core.Run{}, core.Errorf(core.Conflict, "another attempt of %s took over: fence %d is stale", id, fence)
	case v.Status.Terminal():
		return core.Run{}, core.Errorf(core.Conflict, "%s is over: %s", id, v.Status)
	}
	v.Heartbeat = t.now
	return v, t.change("run "+id, "UPDATE runs SET heartbeat = ? WHERE id = ? AND fence = ? AND status = ?", micros(t.now), id, fence, v.Status)
}

func (t *tx) PutRunDoc(run, kind string, sealed []byte) error {
	_, err := t.exec("INSERT INTO run_docs (run, kind, sealed) VALUES (?, ?, ?) ON CONFLICT (run, kind) DO UPDATE SET sealed = excluded.sealed", run, kind, sealed)
	return err
}

func (t *tx) RunDoc(run, kind string) ([]byte, error) {
	return get(t, kind+" of run "+run, scanBytes, "SELECT sealed FROM run_docs WHERE run = ? AND kind = ?", run, kind)
}
