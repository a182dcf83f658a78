package store

import (
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

const exceptionColumns = "id, project, environment, stack, address, reason, actor, confirmed_by, created, expires, ended, used_by"

func scanException(r row) (e core.Exception, err error) {
	return e, r.Scan(&e.ID, &e.Project, &e.Environment, &e.Stack, &e.Address, &e.Reason, &e.By, &e.ConfirmedBy, into(&e.Created), into(&e.Expires), into(&e.Ended), &e.UsedBy)
}

func (t *tx) AddException(e core.Exception) error {
	return t.add("the exception "+e.ID+" exists", "INSERT INTO exceptions ("+exceptionColumns+") VALUES ("+placeholders(12)+")",
		e.ID, e.Project, e.Environment, e.Stack, e.Address, prose(e.Reason), e.By, e.ConfirmedBy, micros(e.Created), micros(e.Expires), micros(e.Ended), e.UsedBy)
}

func (t *tx) Exceptions(project string) ([]core.Exception, error) {
	return list(t, scanException, "SELECT "+exceptionColumns+" FROM exceptions WHERE project = ? ORDER BY created DESC, id DESC", project)
}

// openException is an exception that has not ended.
func (t *tx) openException(project, id string) (core.Exception, error) {
	e, err := get(t, "exception "+id, scanException, "SELECT "+exceptionColumns+" FROM exceptions WHERE project = ? AND id = ?", project, id)
	switch {
	case err != nil:
		return e, err
	case e.UsedBy != "":
		return e, core.Errorf(core.Conflict, "the exception %s was used by %s", id, e.UsedBy)
	case !e.Ended.IsZero():
		return e, core.Errorf(core.Conflict, "the exception %s was taken back", id)
	}
	return e, nil
}

func (t *tx) ConfirmException(project, id, by string) error {
	e, err := t.openException(project, id)
	switch {
	case err != nil:
		return err
	case e.ConfirmedBy != "":
		return core.Errorf(core.Conflict, "the exception %s was confirmed by %s", id, e.ConfirmedBy)
	}
	_, err = t.exec("UPDATE exceptions SET confirmed_by = ? WHERE id = ?", by, id)
	return err
}

func (t *tx) EndException(project, id, usedBy string, at time.Time) error {
	if _, err := t.openException(project, id); err != nil {
		return err
	}
	_, err := t.exec("UPDATE exceptions SET ended = ?, used_by = ? WHERE id = ?", micros(at), usedBy, id)
	return err
}
