package store

import "github.com/terrace-cd/terrace/internal/core"

const moveColumns = "project, environment, from_stack, to_stack, release_number, at"

func (t *tx) Moves(project string) ([]core.Move, error) {
	return list(t, func(r row) (m core.Move, err error) {
		return m, r.Scan(&m.Project, &m.Environment, &m.From, &m.To, &m.Release, into(&m.At))
	}, "SELECT "+moveColumns+" FROM moves WHERE project = ? ORDER BY id", project)
}

// moved are the tables whose rows follow an instance to its new name, beside instances. A
// test asks of every other table that names stacks why it stays behind.
var moved = []string{"state_versions", "recovered", "own_states", "exceptions", "drifts", "replacements", "instance_hosts"}

// movable finds what speaks against a move.
const movable = `SELECT CASE
	WHEN EXISTS (SELECT 1 FROM state_locks WHERE project = ? AND environment = ? AND stack IN (?, ?)) THEN 'one of them is locked'
	WHEN EXISTS (SELECT 1 FROM runs WHERE project = ? AND environment = ? AND stack IN (?, ?)
		AND status NOT IN ('succeeded', 'failed', 'errored', 'cancelled', 'superseded', 'unknown')) THEN 'a run works on one of them'
	WHEN EXISTS (SELECT 1 FROM own_states WHERE project = ? AND environment = ? AND stack = ? AND resources > 0)
		OR EXISTS (SELECT 1 FROM state_versions v WHERE project = ? AND environment = ? AND stack = ? AND current = 1 AND resources > 0
			AND NOT EXISTS (SELECT 1 FROM own_states o WHERE o.project = v.project AND o.environment = v.environment AND o.stack = v.stack))
		THEN 'the new one has resources of its own'
	WHEN EXISTS (SELECT 1 FROM state_versions a JOIN state_versions b
		ON b.project = a.project AND b.environment = a.environment AND b.lineage = a.lineage AND b.serial = a.serial
		WHERE a.project = ? AND a.environment = ? AND a.stack = ? AND a.lineage <> '' AND b.stack = ?) THEN 'both have versions of the same state'
	ELSE '' END`

func (t *tx) MoveInstance(m core.Move) error {
	var args []any
	for _, stacks := range [][]string{{m.From, m.To}, {m.From, m.To}, {m.To}, {m.To}, {m.From, m.To}} {
		args = append(args, m.Project, m.Environment)
		for _, s := range stacks {
			args = append(args, s)
		}
	}
	from, to := core.InstanceName(m.From, m.Environment), core.InstanceName(m.To, m.Environment)
	why, err := get(t, "answer", scanString, movable, args...)
	if err != nil {
		return err
	}
	if why != "" {
		return core.Errorf(core.Conflict, "%s cannot become %s: %s", from, to, why)
	}
	// What the new one had without a resource is history, or nothing.
	for _, clear := range []string{
		"UPDATE state_versions SET current = 0" + ofInstance + " AND current = 1",
		"DELETE FROM own_states" + ofInstance,
		"DELETE FROM drifts" + ofInstance,
		"DELETE FROM instance_hosts" + ofInstance,
		"DELETE FROM instances" + ofInstance,
	} {
		if _, err := t.exec(clear, m.Project, m.Environment, m.To); err != nil {
			return err
		}
	}
	rows, err := t.exec(`UPDATE instances SET stack = ?, digest = '', moved_from = CASE moved_from WHEN '' THEN stack WHEN ? THEN '' ELSE moved_from END`+
		ofInstance, m.To, m.To, m.Project, m.Environment, m.From)
	if err != nil {
		return err
	}
	for _, table := range moved {
		n, err := t.exec("UPDATE "+table+" SET stack = ?"+ofInstance, m.To, m.Project, m.Environment, m.From)
		if err != nil {
			return err
		}
		rows += n
	}
	if rows == 0 {
		return missing("instance " + from)
	}
	_, err = t.exec("INSERT INTO moves ("+moveColumns+") VALUES ("+placeholders(6)+")", m.Project, m.Environment, m.From, m.To, m.Release, micros(m.At))
	return err
}
