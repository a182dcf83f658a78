package store

import (
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

const freezeColumns = "id, project, environment, begins, ends, reason, actor, created, lifted, lifted_by"

func scanFreeze(r row) (f core.Freeze, err error) {
	return f, r.Scan(&f.ID, &f.Project, &f.Environment, into(&f.From), into(&f.Until), &f.Reason, &f.By, into(&f.Created), into(&f.Lifted), &f.LiftedBy)
}

func (t *tx) AddFreeze(f core.Freeze) error {
	return t.add("the freeze "+f.ID+" exists", "INSERT INTO freezes ("+freezeColumns+") VALUES ("+placeholders(10)+")",
		f.ID, f.Project, f.Environment, micros(f.From), micros(f.Until), prose(f.Reason), f.By, micros(f.Created), micros(f.Lifted), f.LiftedBy)
}

func (t *tx) Freezes(project string) ([]core.Freeze, error) {
	return list(t, scanFreeze, "SELECT "+freezeColumns+" FROM freezes WHERE project = ? ORDER BY created DESC, id DESC", project)
}

func (t *tx) LiftFreeze(project, id, by string, at time.Time) error {
	f, err := get(t, "freeze "+id, scanFreeze, "SELECT "+freezeColumns+" FROM freezes WHERE project = ? AND id = ?", project, id)
	switch {
	case err != nil:
		return err
	case !f.Lifted.IsZero():
		return core.Errorf(core.Conflict, "the freeze %s was lifted by %s", id, f.LiftedBy)
	}
	_, err = t.exec("UPDATE freezes SET lifted = ?, lifted_by = ? WHERE id = ?", micros(at), by, id)
	return err
}
