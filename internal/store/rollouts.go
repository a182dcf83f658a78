package store

import (
	"cmp"
	"slices"

	"github.com/terrace-cd/terrace/internal/core"
)

const (
	rolloutSelect = "SELECT x.id, " + joinedRelease + ", x.kind, x.status, x.actor, x.manual, x.cancel, x.created, x.finished, x.from_release, x.reason, x.repairs, x.all_hosts FROM rollouts" + joinRelease
	stageColumns  = "id, rollout, project, environment, position, status, waits_for, waits, skips, fence, started, finished, baked, withdrawn"
)

func scanRollout(r row) (v core.Rollout, err error) {
	fields := append([]any{&v.ID}, releaseFields(&v.Release)...)
	err = r.Scan(append(fields, &v.Kind, &v.Status, &v.By, &v.Manual, &v.Cancel, into(&v.Created), into(&v.Finished), &v.From, &v.Reason, (*items[string])(&v.Repairs), &v.AllHosts)...)
	v.Project = v.Release.Project
	return v, err
}

func scanStage(r row) (s core.Stage, err error) {
	return s, r.Scan(&s.ID, &s.Rollout, &s.Project, &s.Environment, &s.Position, &s.Status, &s.WaitsFor, (*items[core.Wait])(&s.Waits), (*items[core.Skip])(&s.Skips), &s.Fence,
		into(&s.Started), into(&s.Finished), &s.Baked, &s.Withdrawn)
}

func (t *tx) AddRollout(v core.Rollout) error {
	if err := t.add("rollout "+v.ID+" exists", `INSERT INTO rollouts (id, project, kind, release_number, release_commit, status, actor, manual, cancel, created, finished, from_release, reason, repairs, all_hosts)
		VALUES (`+placeholders(15)+")",
		v.ID, v.Project, cmp.Or(v.Kind, core.RolloutPromotion), v.Release.Number, v.Release.Commit, v.Status, v.By, v.Manual, v.Cancel,
		micros(v.Created), micros(v.Finished), v.From, prose(v.Reason), items[string](v.Repairs), v.AllHosts); err != nil {
		return err
	}
	for _, s := range v.Stages {
		if err := t.add("stage "+s.ID+" of "+v.ID+" cannot be added: it exists, or another stage holds the lease of "+s.Environment,
			"INSERT INTO stages ("+stageColumns+") VALUES ("+placeholders(14)+")",
			s.ID, v.ID, v.Project, s.Environment, s.Position, s.Status, prose(s.WaitsFor), items[core.Wait](s.Waits), items[core.Skip](s.Skips), s.Fence, micros(s.Started), micros(s.Finished), int64(s.Baked), s.Withdrawn); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) Rollout(id string) (core.Rollout, error) {
	v, err := get(t, "rollout "+id, scanRollout, rolloutSelect+" WHERE x.id = ?", id)
	if err != nil {
		return core.Rollout{}, err
	}
	v.Stages, err = list(t, scanStage, "SELECT "+stageColumns+" FROM stages WHERE rollout = ? ORDER BY position", id)
	return v, err
}

func (t *tx) Rollouts(project string, open bool, n int) ([]core.Rollout, error) {
	condition := " WHERE x.project = ?"
	if open {
		condition += " AND x.status IN ('running', 'unknown')"
	}
	found, err := list(t, scanRollout, rolloutSelect+condition+" ORDER BY x.seq DESC"+limit(n), project)
	if err != nil {
		return nil, err
	}
	index := make(map[string]int, len(found))
	var ids []any
	for i, v := range found {
		index[v.ID], ids = i, append(ids, v.ID)
	}
	for chunk := range slices.Chunk(ids, 1000) {
		stages, err := list(t, scanStage, "SELECT "+stageColumns+" FROM stages WHERE rollout IN ("+placeholders(len(chunk))+") ORDER BY rollout, position", chunk...)
		if err != nil {
			return nil, err
		}
		for _, s := range stages {
			v := &found[index[s.Rollout]]
			v.Stages = append(v.Stages, s)
		}
	}
	return found, nil
}

func (t *tx) SetRollout(id string, from, to core.RolloutStatus) error {
	finished := int64(0)
	if to.Terminal() {
		finished = micros(t.now)
	}
	n, err := t.exec("UPDATE rollouts SET status = ?, finished = ? WHERE id = ? AND status = ?", to, finished, id, from)
	if err != nil || n > 0 {
		return err
	}
	return t.guard("rollout "+id, "SELECT status FROM rollouts WHERE id = ?", id, string(from))
}

func (t *tx) SetRolloutCancel(id string) error {
	return t.change("rollout "+id, "UPDATE rollouts SET cancel = ? WHERE id = ?", true, id)
}

func (t *tx) Stage(id string) (core.Stage, error) {
	return get(t, "stage "+id, scanStage, "SELECT "+stageColumns+" FROM stages WHERE id = ?", id)
}

func (t *tx) UpdateStage(s core.Stage, from core.StageStatus) error {
	n, err := t.exec("UPDATE stages SET status = ?, waits_for = ?, waits = ?, skips = ?, fence = ?, started = ?, finished = ?, baked = ?, withdrawn = ? WHERE id = ? AND status = ?",
		s.Status, prose(s.WaitsFor), items[core.Wait](s.Waits), items[core.Skip](s.Skips), s.Fence, micros(s.Started), micros(s.Finished), int64(s.Baked), s.Withdrawn, s.ID, from)
	switch {
	case core.CodeOf(err) == core.Conflict:
		return core.Errorf(core.Conflict, "another stage holds the lease of %s: %w", s.Environment, err)
	case err != nil || n > 0:
		return err
	}
	return t.guard("stage "+s.ID, "SELECT status FROM stages WHERE id = ?", s.ID, string(from))
}

// guard explains why an update that was bound to a status changed nothing.
func (t *tx) guard(what, query, id, from string) error {
	status, err := get(t, what, scanString, query, id)
	if err != nil {
		return err
	}
	return core.Errorf(core.Conflict, "%s is %s, not %s", what, status, from)
}

const environmentColumns = "project, name, fence, stage, hold_kind, hold_reason, hold_actor, hold_since, hold_release, entered, present, verified, undone, ahead, ahead_of"

func scanEnvironment(r row) (e core.EnvironmentState, err error) {
	var kind *core.HoldKind
	var hold core.Hold
	err = r.Scan(&e.Project, &e.Name, &e.Fence, &e.Stage, &kind, &hold.Reason, &hold.By, into(&hold.Since), &hold.Release, &e.Entered, &e.Present, &e.Verified, &e.Undone, &e.Ahead, (*items[string])(&e.AheadOf))
	if kind != nil {
		hold.Kind = *kind
		e.Hold = &hold
	}
	return e, err
}

func (t *tx) Environments(project string) ([]core.EnvironmentState, error) {
	return list(t, scanEnvironment, "SELECT "+environmentColumns+" FROM environments WHERE project = ? ORDER BY name", project)
}

func (t *tx) Environment(project, name string) (core.EnvironmentState, error) {
	e, err := get(t, "environment "+name, scanEnvironment, "SELECT "+environmentColumns+" FROM environments WHERE project = ? AND name = ?", project, name)
	if core.CodeOf(err) == core.NotFound {
		return core.EnvironmentState{Project: project, Name: name}, nil
	}
	return e, err
}

// PutEnvironment refuses a fence lower than the stored one.
func (t *tx) PutEnvironment(e core.EnvironmentState) error {
	var kind *core.HoldKind
	var hold core.Hold
	if e.Hold != nil {
		hold = *e.Hold
		kind = &hold.Kind
	}
	n, err := t.exec("INSERT INTO environments ("+environmentColumns+") VALUES ("+placeholders(15)+`) ON CONFLICT (project, name) DO UPDATE SET
		fence = excluded.fence, stage = excluded.stage, hold_kind = excluded.hold_kind, hold_reason = excluded.hold_reason, hold_actor = excluded.hold_actor,
		hold_since = excluded.hold_since, hold_release = excluded.hold_release, entered = excluded.entered, present = excluded.present,
		verified = excluded.verified, undone = excluded.undone, ahead = excluded.ahead, ahead_of = excluded.ahead_of
		WHERE excluded.fence >= environments.fence`,
		e.Project, e.Name, e.Fence, e.Stage, kind, prose(hold.Reason), hold.By, micros(hold.Since), hold.Release, e.Entered, e.Present, e.Verified, e.Undone,
		e.Ahead, items[string](e.AheadOf))
	if err == nil && n == 0 {
		return core.Errorf(core.Conflict, "the lease of %s was given again since: fence %d is stale", e.Name, e.Fence)
	}
	return err
}

const verificationSelect = "SELECT " + joinedRelease + ", x.environment, x.rollout, x.at FROM verifications" + joinRelease

func scanVerification(r row) (v core.Verification, err error) {
	err = r.Scan(append(releaseFields(&v.Release), &v.Environment, &v.Rollout, into(&v.At))...)
	v.Project = v.Release.Project
	return v, err
}

func (t *tx) AddVerification(v core.Verification) error {
	return t.add("a verification cannot be added", "INSERT INTO verifications (project, environment, release_number, release_commit, rollout, at) VALUES ("+placeholders(6)+")",
		v.Project, v.Environment, v.Release.Number, v.Release.Commit, v.Rollout, micros(v.At))
}

func (t *tx) Verifications(project, environment string, n int) ([]core.Verification, error) {
	return list(t, scanVerification, verificationSelect+" WHERE x.project = ? AND x.environment = ? ORDER BY x.seq DESC"+limit(n), project, environment)
}

func (t *tx) VerifiedBefore(project, environment string, number int64) (core.Verification, error) {
	return get(t, "an older release that was verified in "+environment, scanVerification,
		verificationSelect+" WHERE x.project = ? AND x.environment = ? AND x.release_number < ? ORDER BY x.seq DESC LIMIT 1", project, environment, number)
}
