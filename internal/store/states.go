package store

import (
	"fmt"

	"github.com/terrace-cd/terrace/internal/core"
)

// leastVersions is how many versions of a state are kept whatever is asked for.
const leastVersions = 100

const (
	versionColumns = "project, stack, environment, serial, lineage, md5, size, resources, blob, run, actor, fence, created"
	versionSelect  = "SELECT id, " + versionColumns + " FROM state_versions"
	ofInstance     = " WHERE project = ? AND environment = ? AND stack = ?"
)

func scanVersion(r row) (v core.StateVersion, err error) {
	return v, r.Scan(&v.ID, &v.Project, &v.Stack, &v.Environment, &v.Serial, &v.Lineage, &v.MD5, &v.Size, &v.Resources, &v.Blob, &v.Run, &v.By, &v.Fence, into(&v.Created))
}

func (t *tx) AddStateVersion(v core.StateVersion) (id int64, err error) {
	if _, err := t.exec("UPDATE state_versions SET current = ?"+ofInstance+" AND current = 1", false, v.Project, v.Environment, v.Stack); err != nil {
		return 0, err
	}
	ids, err := list(t, func(r row) (id int64, err error) { return id, r.Scan(&id) },
		"INSERT INTO state_versions ("+versionColumns+", current) VALUES ("+placeholders(14)+") ON CONFLICT DO NOTHING RETURNING id",
		v.Project, v.Stack, v.Environment, v.Serial, v.Lineage, v.MD5, v.Size, v.Resources, v.Blob, v.Run, v.By, v.Fence, micros(v.Created), true)
	if err != nil {
		return 0, err
	}
	if len(ids) == 0 {
		return 0, core.Errorf(core.Conflict, "%s has a state version with serial %d already", core.InstanceName(v.Stack, v.Environment), v.Serial)
	}
	return ids[0], nil
}

func (t *tx) CurrentState(project, stack, environment string) (core.StateVersion, error) {
	return get(t, "state of "+core.InstanceName(stack, environment)+" yet", scanVersion,
		versionSelect+ofInstance+" AND current = 1 AND blob <> ''", project, environment, stack)
}

// Held is one statement, because an engine waits for it, and all who write wait with it.
func (t *tx) Held(project, stack, environment string) (core.Held, error) {
	return get(t, "project "+project, func(r row) (h core.Held, err error) {
		v, l, o := core.StateVersion{Project: project, Stack: stack, Environment: environment}, core.StateLock{Project: project, Stack: stack, Environment: environment},
			core.OwnState{Project: project, Stack: stack, Environment: environment}
		var locked, own bool
		if err := r.Scan(&v.ID, &v.Serial, &v.Lineage, &v.MD5, &v.Size, &v.Resources, &v.Blob, &v.Run, &v.By, &v.Fence, into(&v.Created),
			&locked, &l.ID, &l.Info, &l.Fence, &l.By, &l.Run, into(&l.Created),
			&own, &o.Backend, &o.Lineage, &o.Serial, &o.Resources, &o.Digest, &o.Run, into(&o.Seen), &h.Unknown); err != nil {
			return h, err
		}
		if v.ID != 0 {
			h.Current = &v
		}
		if locked {
			h.Lock = &l
		}
		if own {
			h.Own = &o
		}
		return h, nil
	}, `SELECT coalesce(v.id, 0), coalesce(v.serial, 0), coalesce(v.lineage, ''), coalesce(v.md5, ''), coalesce(v.size, 0), coalesce(v.resources, 0),
			coalesce(v.blob, ''), coalesce(v.run, ''), coalesce(v.actor, ''), coalesce(v.fence, 0), coalesce(v.created, 0),
		l.id IS NOT NULL, coalesce(l.id, ''), coalesce(l.info, ''), coalesce(l.fence, 0), coalesce(l.actor, ''), coalesce(l.run, ''), coalesce(l.created, 0),
		o.backend IS NOT NULL, coalesce(o.backend, ''), coalesce(o.lineage, ''), coalesce(o.serial, 0), coalesce(o.resources, 0), coalesce(o.digest, ''),
			coalesce(o.run, ''), coalesce(o.seen, 0), coalesce(i.unknown_run, '')
		FROM projects p
		LEFT JOIN state_versions v ON v.project = p.name AND v.environment = ? AND v.stack = ? AND v.current = 1 AND v.blob <> ''
		LEFT JOIN state_locks l ON l.project = p.name AND l.environment = ? AND l.stack = ?
		LEFT JOIN own_states o ON o.project = p.name AND o.environment = ? AND o.stack = ?
		LEFT JOIN instances i ON i.project = p.name AND i.environment = ? AND i.stack = ?
		WHERE p.name = ?`, environment, stack, environment, stack, environment, stack, environment, stack, project)
}

func (t *tx) StateVersion(project, stack, environment string, id int64) (core.StateVersion, error) {
	return get(t, fmt.Sprintf("state version %d of %s", id, core.InstanceName(stack, environment)), scanVersion,
		versionSelect+ofInstance+" AND id = ?", project, environment, stack, id)
}

func (t *tx) StateVersions(project, stack, environment string, n int) ([]core.StateVersion, error) {
	return list(t, scanVersion, versionSelect+ofInstance+" ORDER BY id DESC"+limit(n), project, environment, stack)
}

func (t *tx) CurrentStates(project string) ([]core.StateVersion, error) {
	return list(t, scanVersion, versionSelect+" WHERE project = ? AND current = 1 AND blob <> '' ORDER BY environment, stack", project)
}

func (t *tx) PruneStateVersions(project, stack, environment string, keep int) ([]string, error) {
	keep = max(keep, leastVersions)
	return list(t, scanString, `DELETE FROM state_versions WHERE current = 0 AND id IN (SELECT id FROM state_versions`+ofInstance+
		` AND id <= (SELECT id FROM state_versions`+ofInstance+` ORDER BY id DESC LIMIT 1 OFFSET ?)) RETURNING blob`,
		project, environment, stack, project, environment, stack, keep)
}

func scanLock(r row) (l core.StateLock, err error) {
	return l, r.Scan(&l.Project, &l.Stack, &l.Environment, &l.ID, &l.Info, &l.Fence, &l.By, &l.Run, into(&l.Created))
}

const lockColumns = "project, stack, environment, id, info, fence, actor, run, created"

func (t *tx) Lock(project, stack, environment string) (core.StateLock, error) {
	return get(t, "lock on "+core.InstanceName(stack, environment), scanLock,
		"SELECT "+lockColumns+" FROM state_locks"+ofInstance, project, environment, stack)
}

func (t *tx) PutLock(l core.StateLock) error {
	return t.add(core.InstanceName(l.Stack, l.Environment)+" is locked", "INSERT INTO state_locks ("+lockColumns+") VALUES ("+placeholders(9)+")",
		l.Project, l.Stack, l.Environment, l.ID, prose(l.Info), l.Fence, l.By, l.Run, micros(l.Created))
}

func (t *tx) DeleteLock(project, stack, environment string) error {
	_, err := t.exec("DELETE FROM state_locks"+ofInstance, project, environment, stack)
	return err
}

const recoveredColumns = "project, stack, environment, serial, lineage, md5, size, blob, run, actor, reason, created, used"

func scanRecovered(r row) (v core.Recovered, err error) {
	return v, r.Scan(&v.ID, &v.Project, &v.Stack, &v.Environment, &v.Serial, &v.Lineage, &v.MD5, &v.Size, &v.Blob, &v.Run, &v.By, &v.Reason, into(&v.Created), &v.Used)
}

func (t *tx) AddRecovered(v core.Recovered) (id int64, err error) {
	return get(t, "recovered state", func(r row) (id int64, err error) { return id, r.Scan(&id) },
		"INSERT INTO recovered ("+recoveredColumns+") VALUES ("+placeholders(13)+") RETURNING id",
		v.Project, v.Stack, v.Environment, v.Serial, v.Lineage, v.MD5, v.Size, v.Blob, v.Run, v.By, prose(v.Reason), micros(v.Created), v.Used)
}

func (t *tx) Recovereds(project, stack, environment string) ([]core.Recovered, error) {
	return list(t, scanRecovered, "SELECT id, "+recoveredColumns+" FROM recovered"+ofInstance+" ORDER BY id DESC", project, environment, stack)
}

func (t *tx) MarkRecovered(id int64) error {
	return t.change(fmt.Sprintf("recovered state %d", id), "UPDATE recovered SET used = ? WHERE id = ?", true, id)
}
