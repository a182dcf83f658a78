package board

import (
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Seen is what is known of the drift of a project's instances, by stack and environment.
type Seen struct {
	Rows    map[[2]string]core.Drift
	Names   map[[2]string]state.Named // of the states that are current
	Looking map[[2]string]string      // the run that looks just now
}

// Drifts reads it.
func Drifts(tx core.Tx, project string) (s Seen, err error) {
	s.Rows, s.Looking = map[[2]string]core.Drift{}, map[[2]string]string{}
	rows, err := tx.Drifts(project)
	if err != nil {
		return s, err
	}
	for _, d := range rows {
		s.Rows[[2]string{d.Stack, d.Environment}] = d
	}
	if s.Names, err = state.Names(tx, project); err != nil {
		return s, err
	}
	active, err := tx.Runs(core.RunFilter{Project: project, Statuses: core.RunsUnderWay()})
	for _, run := range active {
		if run.Kind == core.KindDrift {
			s.Looking[[2]string{run.Stack, run.Environment}] = run.ID
		}
	}
	return s, err
}

// Valid reports whether the newest look at an instance is about the state that it has now.
func (s Seen) Valid(stack, environment string) bool {
	key := [2]string{stack, environment}
	d, ok := s.Rows[key]
	return ok && d.Error == "" && d.State != "" && d.State == s.Names[key].Name
}

// Of is what may be said of an instance.
func (s Seen) Of(stack, environment string) wire.DriftStatus {
	key := [2]string{stack, environment}
	d := s.Rows[key]
	if d.Run == "" {
		d.Looked = time.Time{} // an apply was the last to see it
	}
	out := wire.DriftStatus{Instance: core.InstanceName(stack, environment), State: "unknown", Run: d.Run, Looked: d.Looked, Message: d.Error}
	switch {
	case s.Valid(stack, environment):
		out.Changed, out.Gone, out.ChangedOutputs, out.ChangedHosts = d.Changed, d.Gone, d.Outputs, d.Hosts
		if out.State = "none"; d.Found() {
			out.State = "drifted"
		}
	case d.Error != "":
		out.State = "failed"
	}
	if run := s.Looking[key]; run != "" {
		out.State, out.Run = "looking", run
	}
	return out
}
