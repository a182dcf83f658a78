package state

import (
	"fmt"

	"github.com/terrace-cd/terrace/internal/core"
)

// MayMove says why an instance cannot get its other name now, and what would let it; ""
// when it can (rule 27).
func MayMove(tx core.Tx, m core.Move) (why, opensBy string, err error) {
	for _, stack := range []string{m.From, m.To} {
		name := core.InstanceName(stack, m.Environment)
		lock, err := tx.Lock(m.Project, stack, m.Environment)
		if err == nil {
			return "is locked by " + lock.By, "terrace state unlock " + name, nil
		} else if core.CodeOf(err) != core.NotFound {
			return "", "", err
		}
		runs, err := tx.Runs(core.RunFilter{Project: m.Project, Environment: m.Environment, Stack: stack, Statuses: underWay, Limit: 1})
		if err != nil {
			return "", "", err
		}
		if len(runs) > 0 {
			return "is worked on by " + runs[0].ID, "the end of " + runs[0].ID, nil
		}
	}
	return sameState(tx, m)
}

var underWay = func() (all []core.RunStatus) {
	for _, s := range core.RunStatuses() {
		if !s.Terminal() {
			all = append(all, s)
		}
	}
	return all
}()

// sameState finds two histories of one state: somebody copied it by hand.
func sameState(tx core.Tx, m core.Move) (why, opensBy string, err error) {
	theirs, err := tx.StateVersions(m.Project, m.To, m.Environment, 0)
	if err != nil || len(theirs) == 0 {
		return "", "", err
	}
	ours, err := tx.StateVersions(m.Project, m.From, m.Environment, 0)
	if err != nil {
		return "", "", err
	}
	type key struct {
		lineage string
		serial  int64
	}
	has := map[key]bool{}
	for _, v := range theirs {
		has[key{v.Lineage, v.Serial}] = v.Lineage != ""
	}
	for _, v := range ours {
		if has[key{v.Lineage, v.Serial}] {
			return fmt.Sprintf("has a version of a state that the other one has too (lineage %s, serial %d): somebody copied it", v.Lineage, v.Serial),
				"a release without moved_from, for which a person puts the state where it belongs (terrace state pull, terrace state push)", nil
		}
	}
	return "", "", nil
}

// Move gives an instance its other name, with all that is stored of it. Conflict when it
// cannot be now.
func Move(tx core.Tx, m core.Move) error {
	if why, _, err := MayMove(tx, m); err != nil {
		return err
	} else if why != "" {
		return core.Errorf(core.Conflict, "%s cannot become %s: it %s", core.InstanceName(m.From, m.Environment), core.InstanceName(m.To, m.Environment), why)
	}
	if err := tx.MoveInstance(m); err != nil {
		return err
	}
	return tx.AddEvent(core.Event{By: "server", Kind: "instance.moved", Project: m.Project, On: core.InstanceName(m.To, m.Environment),
		Data: map[string]string{"from": core.InstanceName(m.From, m.Environment), "release": fmt.Sprint(m.Release)}})
}

// otherName refuses an engine on a laptop that still uses the name before: to find no state
// there would make it create everything a second time.
func otherName(tx core.Tx, project, stack, environment string) error {
	moves, err := tx.Moves(project)
	if err != nil {
		return err
	}
	now := stack
	for _, m := range moves {
		if m.Environment == environment && m.From == now {
			now = m.To
		}
	}
	if now == stack {
		return nil
	}
	return core.Errorf(core.Conflict, "%s has the name %s now, and its state goes with it: terrace state env %[2]s", core.InstanceName(stack, environment), core.InstanceName(now, environment))
}

// Clash refuses a run of a stack that took another one's name while both have a state:
// which of the two it is, only a person can say.
func Clash(tx core.Tx, run core.Run, movedFrom string) error {
	if movedFrom == "" {
		return nil
	}
	was, err := Resources(tx, run.Project, movedFrom, run.Environment)
	if err != nil || was == 0 {
		return err
	}
	is, err := Resources(tx, run.Project, run.Stack, run.Environment)
	if err != nil || is == 0 {
		return err
	}
	old := core.InstanceName(movedFrom, run.Environment)
	return core.Errorf(core.Conflict, "%s is moved from %s (moved_from in terrace.hcl), and both have a state: %d resources and %d. Nothing was changed. If %[1]s is right as it is, take moved_from out; %[2]s is destroyed then, behind an approval. If %[2]s is, make %[1]s empty first: take it out in a commit of its own, approve its destruction, then rename",
		run.Instance(), old, is, was)
}
