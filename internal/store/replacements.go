package store

import (
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

const replacementColumns = "id, project, environment, stack, address, reason, actor, created, run, ended, taken_back"

func scanReplacement(r row) (p core.Replacement, err error) {
	return p, r.Scan(&p.ID, &p.Project, &p.Environment, &p.Stack, &p.Address, &p.Reason, &p.By, into(&p.Created), &p.Run, into(&p.Ended), &p.TakenBack)
}

func (t *tx) AddReplacement(r core.Replacement) error {
	return t.add("a replacement of "+r.Address+" at "+core.InstanceName(r.Stack, r.Environment)+" is asked for already",
		"INSERT INTO replacements ("+replacementColumns+") VALUES ("+placeholders(11)+")",
		r.ID, r.Project, r.Environment, r.Stack, r.Address, prose(r.Reason), r.By, micros(r.Created), r.Run, micros(r.Ended), r.TakenBack)
}

func (t *tx) Replacements(project string, open bool) ([]core.Replacement, error) {
	where := ""
	if open {
		where = " AND ended = 0"
	}
	return list(t, scanReplacement, "SELECT "+replacementColumns+" FROM replacements WHERE project = ?"+where+" ORDER BY created DESC, id DESC", project)
}

func (t *tx) BeginReplacement(project, id, run string) error {
	return t.openReplacement(project, id, "UPDATE replacements SET run = ? WHERE id = ?", run, id)
}

func (t *tx) EndReplacement(project, id, takenBack string, at time.Time) error {
	return t.openReplacement(project, id, "UPDATE replacements SET ended = ?, taken_back = ? WHERE id = ?", micros(at), takenBack, id)
}

func (t *tx) openReplacement(project, id, statement string, args ...any) error {
	r, err := get(t, "replacement "+id, scanReplacement, "SELECT "+replacementColumns+" FROM replacements WHERE project = ? AND id = ?", project, id)
	switch {
	case err != nil:
		return err
	case r.TakenBack != "":
		return core.Errorf(core.Conflict, "the replacement %s was taken back by %s", id, r.TakenBack)
	case !r.Open():
		return core.Errorf(core.Conflict, "the replacement %s was done by %s", id, r.Run)
	}
	_, err = t.exec(statement, args...)
	return err
}
