package store

import "github.com/terrace-cd/terrace/internal/core"

const ownColumns = "project, stack, environment, backend, lineage, serial, resources, digest, run, seen"

func scanOwn(r row) (o core.OwnState, err error) {
	return o, r.Scan(&o.Project, &o.Stack, &o.Environment, &o.Backend, &o.Lineage, &o.Serial, &o.Resources, &o.Digest, &o.Run, into(&o.Seen))
}

func (t *tx) PutOwnState(o core.OwnState) error {
	_, err := t.exec("INSERT INTO own_states ("+ownColumns+") VALUES ("+placeholders(10)+`) ON CONFLICT (project, environment, stack) DO UPDATE SET
		backend = excluded.backend, lineage = excluded.lineage, serial = excluded.serial, resources = excluded.resources, digest = excluded.digest, run = excluded.run, seen = excluded.seen`,
		o.Project, o.Stack, o.Environment, o.Backend, o.Lineage, o.Serial, o.Resources, o.Digest, o.Run, micros(o.Seen))
	return err
}

func (t *tx) OwnState(project, stack, environment string) (core.OwnState, error) {
	return get(t, "state of "+core.InstanceName(stack, environment)+" in a backend of its own", scanOwn,
		"SELECT "+ownColumns+" FROM own_states"+ofInstance, project, environment, stack)
}

func (t *tx) OwnStates(project string) ([]core.OwnState, error) {
	return list(t, scanOwn, "SELECT "+ownColumns+" FROM own_states WHERE project = ? ORDER BY environment, stack", project)
}

func (t *tx) DeleteOwnState(project, stack, environment string) error {
	_, err := t.exec("DELETE FROM own_states"+ofInstance, project, environment, stack)
	return err
}
