package store

import (
	"slices"

	"github.com/terrace-cd/terrace/internal/core"
)

// HasState is not stored: it is read from the current state version, so that it
// cannot disagree with it.
const instanceSelect = "SELECT " + joinedRelease + `, x.stack, x.environment, x.digest, x.components, x.provision, x.since, x.run, x.run_status,
	x.unknown_run, x.applied, x.applied_commit, x.kept, x.moved_from, EXISTS (SELECT 1 FROM state_versions v
		WHERE v.project = x.project AND v.environment = x.environment AND v.stack = x.stack AND v.current = 1 AND v.resources > 0)
	FROM instances` + joinRelease

func scanInstance(r row) (i core.InstanceState, err error) {
	err = r.Scan(append(releaseFields(&i.Release), &i.Stack, &i.Environment, &i.Digest, (*facts)(&i.Components), &i.Provision, into(&i.Since), &i.Run, &i.RunStatus,
		&i.Unknown, &i.Applied, &i.Commit, (*facts)(&i.Kept), &i.MovedFrom, &i.HasState)...)
	i.Project = i.Release.Project
	if i.Release.Number == 0 {
		i.Release = core.Release{}
	}
	return i, err
}

func (t *tx) Instances(project string) ([]core.InstanceState, error) {
	return list(t, scanInstance, instanceSelect+" WHERE x.project = ? ORDER BY x.environment, x.stack", project)
}

func (t *tx) Instance(project, stack, environment string) (core.InstanceState, error) {
	i, err := get(t, "instance", scanInstance, instanceSelect+" WHERE x.project = ? AND x.environment = ? AND x.stack = ?", project, environment, stack)
	if core.CodeOf(err) != core.NotFound {
		return i, err
	}
	current, err := t.CurrentState(project, stack, environment)
	if err != nil && core.CodeOf(err) != core.NotFound {
		return core.InstanceState{}, err
	}
	return core.InstanceState{Project: project, Stack: stack, Environment: environment, HasState: current.Resources > 0}, nil
}

func (t *tx) PutInstance(i core.InstanceState) error {
	_, err := t.exec(`INSERT INTO instances (project, environment, stack, digest, components, provision, release_number, release_commit, since, run, run_status,
		unknown_run, applied, applied_commit, kept, moved_from) VALUES (`+placeholders(16)+`) ON CONFLICT (project, environment, stack) DO UPDATE SET
		digest = excluded.digest, components = excluded.components, provision = excluded.provision, release_number = excluded.release_number,
		release_commit = excluded.release_commit, since = excluded.since, run = excluded.run, run_status = excluded.run_status,
		unknown_run = excluded.unknown_run, applied = excluded.applied, applied_commit = excluded.applied_commit,
		kept = excluded.kept, moved_from = excluded.moved_from`,
		i.Project, i.Environment, i.Stack, i.Digest, facts(i.Components), i.Provision, i.Release.Number, i.Release.Commit, micros(i.Since), i.Run, i.RunStatus,
		i.Unknown, i.Applied, i.Commit, facts(i.Kept), i.MovedFrom)
	return err
}

func (t *tx) DeleteInstance(project, stack, environment string) error {
	if _, err := t.exec("DELETE FROM instance_hosts"+ofInstance, project, environment, stack); err != nil {
		return err
	}
	_, err := t.exec("DELETE FROM instances"+ofInstance, project, environment, stack)
	return err
}

func (t *tx) AdvanceInstances(project, environment string, stacks []string, r core.Release) error {
	for chunk := range slices.Chunk(stacks, 1000) { // databases bound the number of placeholders
		args := []any{r.Number, r.Commit, r.Number, r.Commit, r.Number, r.Number, project, environment}
		for _, s := range chunk {
			args = append(args, s)
		}
		if _, err := t.exec(`UPDATE instances SET release_number = ?, release_commit = ?,
			applied_commit = CASE WHEN applied > ? THEN ? ELSE applied_commit END, applied = CASE WHEN applied > ? THEN ? ELSE applied END
			WHERE project = ? AND environment = ? AND stack IN (`+
			placeholders(len(chunk))+")", args...); err != nil {
			return err
		}
	}
	return nil
}
