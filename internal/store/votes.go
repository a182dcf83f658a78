package store

import "github.com/terrace-cd/terrace/internal/core"

const voteColumns = "id, project, environment, stage, run, stack, release_number, plan_digest, plan_lineage, plan_serial, guardrails, actor, at, reason, approves, void"

func scanVote(r row) (v core.Vote, err error) {
	return v, r.Scan(&v.ID, &v.Project, &v.Environment, &v.Stage, &v.Run, &v.Stack, &v.Release, &v.Plan, &v.State.Lineage, &v.State.Serial, &v.Guardrails,
		&v.By, into(&v.At), &v.Reason, &v.Approves, &v.Void)
}

func (t *tx) AddVote(v core.Vote) error {
	return t.add("the vote "+v.ID+" exists", "INSERT INTO votes ("+voteColumns+") VALUES ("+placeholders(16)+")",
		v.ID, v.Project, v.Environment, v.Stage, v.Run, v.Stack, v.Release, v.Plan, v.State.Lineage, v.State.Serial, v.Guardrails,
		v.By, micros(v.At), prose(v.Reason), v.Approves, prose(v.Void))
}

func (t *tx) VoidVote(id, why string) error {
	n, err := t.exec("UPDATE votes SET void = ? WHERE id = ? AND void = ''", prose(why), id)
	if err != nil || n > 0 {
		return err
	}
	if _, err := get(t, "vote "+id, scanVote, "SELECT "+voteColumns+" FROM votes WHERE id = ?", id); err != nil {
		return err
	}
	return core.Errorf(core.Conflict, "the vote %s is void already", id)
}

func (t *tx) VotesOn(stage, stack string) ([]core.Vote, error) {
	return list(t, scanVote, "SELECT "+voteColumns+" FROM votes WHERE stage = ? AND stack = ? ORDER BY seq", stage, stack)
}

func (t *tx) VotesOf(run string) ([]core.Vote, error) {
	return list(t, scanVote, "SELECT "+voteColumns+" FROM votes WHERE run = ? ORDER BY seq", run)
}
