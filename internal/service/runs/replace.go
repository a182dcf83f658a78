package runs

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/statefile"
	"github.com/terrace-cd/terrace/internal/wire"
)

const (
	// mostReplacements bounds what is asked for at once, maxAddress an address in bytes.
	mostReplacements = 100
	maxAddress       = 1000
)

// Replace asks the next run of an instance to replace resources. Errors: Invalid;
// NotFound for an address that the state does not have; Denied for a protected one;
// Conflict for one that is asked for already.
func (s *Service) Replace(ctx context.Context, by, project, stack, environment string, addresses []string, reason string) ([]core.Replacement, error) {
	name := core.InstanceName(stack, environment)
	addresses = slices.Clone(addresses)
	slices.Sort(addresses)
	addresses = slices.Compact(addresses)
	if len(addresses) == 0 || len(addresses) > mostReplacements {
		return nil, core.Errorf(core.Invalid, "name from 1 to %d addresses of %s: terrace state show %[2]s lists them", mostReplacements, name)
	}
	if err := s.known(ctx, project, stack, environment, addresses); err != nil {
		return nil, err
	}
	if err := s.mayReplace(ctx, project, stack, environment, addresses); err != nil {
		return nil, err
	}
	var all []core.Replacement
	err := s.Store.Update(ctx, func(tx core.Tx) error {
		all = nil
		for _, address := range addresses {
			now := tx.Now()
			r := core.Replacement{ID: core.NewID(core.PrefixReplace, now), Project: project, Stack: stack, Environment: environment,
				Address: address, Reason: strings.TrimSpace(reason), By: by, Created: now}
			if err := tx.AddReplacement(r); err != nil {
				return err
			}
			if err := tx.AddEvent(core.Event{By: by, Kind: "replacement.asked", Project: project, On: name,
				Data: map[string]string{"replacement": r.ID, "address": address, "reason": r.Reason}}); err != nil {
				return err
			}
			all = append(all, r)
		}
		return nil
	})
	s.Bus.Changed(project)
	return all, err
}

// known refuses addresses that are none of the instance's state.
func (s *Service) known(ctx context.Context, project, stack, environment string, addresses []string) error {
	name := core.InstanceName(stack, environment)
	for _, a := range addresses {
		if len(a) > maxAddress || !strings.Contains(a, ".") || strings.ContainsFunc(a, unicode.IsControl) || strings.TrimSpace(a) != a {
			return core.Errorf(core.Invalid, "%q is not the address of a resource, as in democloud_server.web or module.web.democloud_server.web[0]", a)
		}
		if strings.HasPrefix(a, "data.") || strings.Contains(a, ".data.") {
			return core.Errorf(core.Invalid, "%s is a data source, which is read and never replaced", a)
		}
	}
	own := false
	if err := s.Store.View(ctx, func(tx core.Tx) error {
		if _, err := tx.Project(project); err != nil {
			return err
		}
		_, err := tx.OwnState(project, stack, environment)
		if own = err == nil; core.CodeOf(err) == core.NotFound {
			return nil
		}
		return err
	}); err != nil {
		return err
	}
	if own {
		return nil // only its runs see what is in it; the plan tells what it does not know
	}
	state, err := s.State.Show(ctx, project, stack, environment)
	if err != nil {
		return err
	}
	if len(state.Resources) == 0 {
		return core.Errorf(core.NotFound, "%s has nothing in its state, and so nothing to replace; terrace status lists the instances", name)
	}
	var there []string
	for _, r := range state.Resources {
		there = append(there, r.Address)
	}
	for _, a := range addresses {
		if !slices.Contains(there, a) {
			return core.Errorf(core.NotFound, "%s has no %s in its state%s. terrace state show %[1]s lists what it has", name, a, near(a, there))
		}
	}
	return nil
}

// near suggests what may have been meant.
func near(address string, there []string) string {
	var keys []string
	for _, a := range there {
		if statefile.WithoutKeys(a) == statefile.WithoutKeys(address) {
			keys = append(keys, a)
		}
	}
	if len(keys) == 0 {
		if a := config.Closest(address, there); a != "" {
			keys = append(keys, a)
		}
	}
	if len(keys) == 0 {
		return ""
	}
	return "; did you mean " + some(keys) + "?"
}

// mayReplace refuses at once what would be denied anyway: the replacement of something
// protected (rule 13).
func (s *Service) mayReplace(ctx context.Context, project, stack, environment string, addresses []string) error {
	run := core.Run{Project: project, Stack: stack, Environment: environment, Kind: core.KindDeploy} // judged as one
	l, err := s.law(ctx, run)
	if err != nil {
		return err
	}
	var planned wire.Planned
	var asked []core.Replacement // none is stored yet
	for _, a := range addresses {
		asked = append(asked, core.Replacement{Address: a})
		planned.Plan.Resources = append(planned.Plan.Resources, wire.ResourceChange{Address: a, Type: guard.TypeOf(a), Action: "replace", Order: "create_first", Reason: "replace_by_request"})
	}
	return s.Store.View(ctx, func(tx core.Tx) error {
		judged, err := s.judge(tx, run, planned, asked, l)
		if err != nil {
			return err
		}
		if why := guard.Denials(judged.Checks); why != "" {
			return core.Errorf(core.Denied, "%s", why)
		}
		return nil
	})
}

// Replacements lists a project's, newest first.
func (s *Service) Replacements(ctx context.Context, project string) (all []core.Replacement, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		if _, err := tx.Project(project); err != nil {
			return err
		}
		all, err = tx.Replacements(project, false)
		return err
	})
	return all, err
}

// TakeBack ends a replacement that nobody did. Errors: NotFound; Conflict when it has
// ended, or a run is at it.
func (s *Service) TakeBack(ctx context.Context, by, project, id string) error {
	err := s.Store.Update(ctx, func(tx core.Tx) error {
		if err := tx.EndReplacement(project, id, by, tx.Now()); err != nil {
			return err
		}
		all, err := tx.Replacements(project, false)
		if err != nil {
			return err
		}
		r := all[slices.IndexFunc(all, func(r core.Replacement) bool { return r.ID == id })]
		newest, err := tx.Runs(core.RunFilter{Project: project, Environment: r.Environment, Stack: r.Stack, Limit: 1})
		if err != nil {
			return err
		}
		for _, run := range newest {
			if run.Kind == core.KindDeploy && run.Status.Active() {
				return core.Errorf(core.Conflict, "%s of %s is %s, and may be at it; wait for it, or cancel it first: terrace run cancel %[1]s", run.ID, run.Instance(), run.Status)
			}
		}
		return tx.AddEvent(core.Event{By: by, Kind: "replacement.taken_back", Project: project, On: core.InstanceName(r.Stack, r.Environment),
			Data: map[string]string{"replacement": id, "address": r.Address}})
	})
	s.Bus.Changed(project)
	return err
}

// requests are the replacements that are to be done at a run's instance.
func requests(tx core.Tx, run core.Run) ([]core.Replacement, error) {
	if run.Kind != core.KindDeploy {
		return nil, nil
	}
	all, err := tx.Replacements(run.Project, true)
	return slices.DeleteFunc(all, func(r core.Replacement) bool { return !r.Of(run.Stack, run.Environment) }), err
}

// asked are those of them that a plan was made with.
func asked(tx core.Tx, run core.Run, planned wire.Planned) ([]core.Replacement, error) {
	if len(planned.Replaced) == 0 {
		return nil, nil
	}
	all, err := requests(tx, run)
	return slices.DeleteFunc(all, func(r core.Replacement) bool { return !slices.Contains(planned.Replaced, r.Address) }), err
}

// sign notes in a plan who asked for what.
func sign(p wire.Plan, by []core.Replacement) wire.Plan {
	p.Resources = slices.Clone(p.Resources)
	for i := range p.Resources {
		for _, r := range by {
			if r.Address == p.Resources[i].Address {
				p.Resources[i].RequestedBy = strings.TrimSuffix(fmt.Sprintf("%s (%s)", r.By, r.Reason), " ()")
			}
		}
	}
	return p
}

// begin notes that a run sets out to do what was asked.
func begin(tx core.Tx, run core.Run, asked []core.Replacement) error {
	for _, r := range asked {
		if err := tx.BeginReplacement(run.Project, r.ID, run.ID); err != nil {
			return err
		}
	}
	return nil
}

// replaced ends the replacements that a run set out to do: all of them, or, when its
// apply did not end well, those whose address is among done.
func replaced(tx core.Tx, run core.Run, all bool, done []string) error {
	open, err := requests(tx, run)
	if err != nil {
		return err
	}
	for _, r := range open {
		if r.Run != run.ID || !all && !slices.Contains(done, r.Address) {
			continue
		}
		if err := tx.EndReplacement(run.Project, r.ID, "", tx.Now()); err != nil {
			return err
		}
		if err := tx.AddEvent(core.Event{By: "run:" + run.ID, Kind: "replacement.done", Project: run.Project, On: run.Instance(),
			Data: map[string]string{"replacement": r.ID, "address": r.Address}}); err != nil {
			return err
		}
	}
	return nil
}
