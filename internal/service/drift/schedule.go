package drift

import (
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/promotion"
	"github.com/terrace-cd/terrace/internal/service/board"
)

// Sights are the instances of a project that can be looked at, in environments that want it
// every so often.
func Sights(tx core.Tx, project string, every map[string]time.Duration) ([]promotion.Sight, error) {
	instances, err := tx.Instances(project)
	if err != nil {
		return nil, err
	}
	seen, err := board.Drifts(tx, project)
	if err != nil {
		return nil, err
	}
	active, err := tx.Runs(core.RunFilter{Project: project, Statuses: core.RunsUnderWay()})
	if err != nil {
		return nil, err
	}
	busy := map[[2]string]bool{}
	for _, run := range active {
		if run.Kind == core.KindDrift || !run.Kind.OnlyLooks() {
			busy[[2]string{run.Stack, run.Environment}] = true
		}
	}
	var all []promotion.Sight
	for _, i := range instances {
		key := [2]string{i.Stack, i.Environment}
		state, kept := seen.Names[key]
		if every[i.Environment] == 0 || !kept || Blind(i) != "" {
			continue
		}
		at := promotion.Sight{Environment: i.Environment, Stack: i.Stack, Every: every[i.Environment], Seen: state.At, Busy: busy[key]}
		if looked := seen.Rows[key].Looked; looked.After(at.Seen) {
			at.Seen = looked
		}
		all = append(all, at)
	}
	return all, nil
}
