package store

import "github.com/terrace-cd/terrace/internal/core"

const driftColumns = "project, stack, environment, run, state, changed, gone, outputs, hosts, looked, error"

func scanDrift(r row) (d core.Drift, err error) {
	return d, r.Scan(&d.Project, &d.Stack, &d.Environment, &d.Run, &d.State, &d.Changed, &d.Gone, &d.Outputs, &d.Hosts, into(&d.Looked), &d.Error)
}

func (t *tx) PutDrift(d core.Drift) error {
	_, err := t.exec("INSERT INTO drifts ("+driftColumns+") VALUES ("+placeholders(11)+`) ON CONFLICT (project, environment, stack) DO UPDATE SET
		run = excluded.run, state = excluded.state, changed = excluded.changed, gone = excluded.gone, outputs = excluded.outputs, hosts = excluded.hosts, looked = excluded.looked, error = excluded.error`,
		d.Project, d.Stack, d.Environment, d.Run, d.State, d.Changed, d.Gone, d.Outputs, d.Hosts, micros(d.Looked), prose(d.Error))
	return err
}

func (t *tx) Drift(project, stack, environment string) (core.Drift, error) {
	d, err := get(t, "look at "+core.InstanceName(stack, environment), scanDrift, "SELECT "+driftColumns+" FROM drifts"+ofInstance, project, environment, stack)
	if core.CodeOf(err) == core.NotFound {
		return core.Drift{Project: project, Stack: stack, Environment: environment}, nil
	}
	return d, err
}

func (t *tx) Drifts(project string) ([]core.Drift, error) {
	return list(t, scanDrift, "SELECT "+driftColumns+" FROM drifts WHERE project = ? ORDER BY environment, stack", project)
}
