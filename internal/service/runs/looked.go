package runs

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Documents of a run of kind drift: what it found, as it may be shown, and the values
// behind that, secrets included.
const (
	DriftDoc       = "drift"
	driftValuesDoc = "drift-values"
)

// Looked takes what a look found (rule 25). Said again after a lost reply, it is taken again.
func (s *Service) Looked(ctx context.Context, c Caller, id string, looked wire.Looked) error {
	var run core.Run
	err := s.Store.Update(ctx, func(tx core.Tx) (err error) {
		if run, err = mine(tx, c, id); err != nil {
			return err
		}
		if run.Kind != core.KindDrift {
			return core.Errorf(core.Conflict, "%s is a %s run; a look is not expected", id, run.Kind)
		}
		if err := expect(run, core.RunChecking); err != nil {
			return err
		}
		if looked.Own != nil {
			if why, err := s.State.Strange(ctx, tx, run, *looked.Own); err != nil {
				return err
			} else if why != "" {
				return core.Errorf(core.Conflict, "%s", why)
			}
		}
		drift := core.Drift{Project: run.Project, Stack: run.Stack, Environment: run.Environment, Run: id, Outputs: len(looked.Drift.Outputs), Looked: tx.Now()}
		for _, r := range looked.Drift.Resources {
			if r.What == "gone" {
				drift.Gone++
			} else {
				drift.Changed++
			}
		}
		if drift.State, err = state.NameSince(tx, run.Project, run.Stack, run.Environment, run.Started); err != nil {
			return err
		}
		var blind []string
		if drift.Hosts, blind, err = strayed(tx, run, looked.Drift.Hosts); err != nil {
			return err
		}
		switch {
		case drift.State == "":
			drift.Error = "the state changed while somebody looked"
		case !drift.Found() && len(blind) > 0:
			drift.Error = "nothing is known to have drifted, but not everything was seen: " + strings.Join(blind, "; ")
		}
		if err := s.putDoc(tx, id, DriftDoc, looked.Drift); err != nil {
			return err
		}
		if err := s.putDoc(tx, id, driftValuesDoc, looked.Values); err != nil {
			return err
		}
		if err := tx.PutDrift(drift); err != nil {
			return err
		}
		run.NoChanges = !drift.Found() && drift.Error == ""
		if err := tx.UpdateRun(run, run.Status); err != nil || !drift.Found() {
			return err
		}
		return tx.AddEvent(core.Event{By: "run:" + id, Kind: "drift.found", Project: run.Project, On: run.Instance(),
			Data: map[string]string{"run": id, "changed": strconv.Itoa(drift.Changed), "gone": strconv.Itoa(drift.Gone), "outputs": strconv.Itoa(drift.Outputs), "hosts": strconv.Itoa(drift.Hosts)}})
	})
	if err == nil {
		s.Bus.Changed(run.Project)
	}
	return err
}

// undid makes the newest look void once something was applied, or Ansible ran: where that undid what drifted,
// the state is what it was, and keeps its name.
func undid(tx core.Tx, run core.Run) error {
	if !run.Applied && run.ProvisionDigest == "" {
		return nil
	}
	return tx.PutDrift(core.Drift{Project: run.Project, Stack: run.Stack, Environment: run.Environment, Looked: tx.Now()})
}

// toldNothing notes that a look ended without having found out, so that it is not begun
// again at once. One that gave way to a release does not count.
func toldNothing(tx core.Tx, run core.Run) error {
	if run.Kind != core.KindDrift || run.Status != core.RunFailed && run.Status != core.RunErrored && run.Status != core.RunCancelled {
		return nil
	}
	drift := core.Drift{Project: run.Project, Stack: run.Stack, Environment: run.Environment, Run: run.ID, Looked: tx.Now(), Error: string(run.Status)}
	if run.Error != nil {
		drift.Error = run.Error.Message
	}
	return tx.PutDrift(drift)
}

// lookAt tells a look what Ansible's check mode is to look for: whether the hosts that the
// release has now still are what its playbook makes of them.
func (s *Service) lookAt(ctx context.Context, p core.Project, r core.Release, cfg *config.Config, run core.Run, job *wire.Job) error {
	aim, after, err := s.aimAfter(ctx, p, r, cfg, run.Environment, run.Stack)
	if err != nil || aim == nil || len(aim.hosts) == 0 {
		return err
	}
	var known []core.Host
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		known, err = tx.Hosts(run.Project, run.Stack, run.Environment)
		return err
	}); err != nil {
		return err
	}
	d := decide(aim.hosts, known, circumstances{run: run.ID, all: true})
	if job.Provision, err = aim.provision(d, known); err != nil {
		return err
	}
	job.Provision.Check, job.Provision.Twice = true, false
	job.Mask = append(job.Mask, after.Sensitive...)
	return nil
}

// strayed notes hosts that are not as their playbook left them, so that the next run goes
// there, and returns how many they are, and why others were not seen.
func strayed(tx core.Tx, run core.Run, looked []wire.DriftedHost) (n int, blind []string, err error) {
	if len(looked) == 0 {
		return 0, nil, nil
	}
	known, err := tx.Hosts(run.Project, run.Stack, run.Environment)
	if err != nil {
		return 0, nil, err
	}
	rows := byName(known)
	for _, h := range looked {
		if h.Status != "changed" {
			blind = append(blind, fmt.Sprintf("could not look at %s: %s", h.Host, h.Message))
			continue
		}
		n++
		if row, ok := rows[h.Host]; ok {
			row.Digest = ""
			if err := tx.PutHost(row); err != nil {
				return 0, nil, err
			}
		}
	}
	return n, blind, nil
}
