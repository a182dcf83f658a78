package runs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/plan"
	"github.com/terrace-cd/terrace/internal/wire"
)

// ForeseenDoc is what Ansible would do after the apply of a run's plan: a wire.Foreseen.
const ForeseenDoc = "foreseen"

// outlook is what Ansible would be aimed at once a plan is applied.
type outlook struct {
	aim   *aim
	fresh []string // hosts that are not there yet, or what they come from
	why   string   // why nothing of it is known, or not all
	// unseen are hosts that check mode cannot look at yet.
	unseen map[string]bool
	mask   []string
}

// checks reports whether a stack wants check mode with its plans, and looks at its hosts.
func checks(cfg *config.Config, environment, stack string) bool {
	return slices.ContainsFunc(cfg.Instances(environment), func(in config.Instance) bool { return in.Stack == stack && in.ChecksHosts })
}

// outlook evaluates what follows the apply of a plan; nil when nobody wants to know, or when
// nothing follows. The plan of a preview is not asked about: a commit that nobody has
// accepted runs nothing on hosts.
func (s *Service) outlook(ctx context.Context, p core.Project, run core.Run, planned wire.Planned) (*outlook, error) {
	if run.Kind != core.KindDeploy {
		return nil, nil
	}
	cfg, err := s.Wanted.Config(ctx, p, run.Release.Commit)
	if err != nil || !checks(cfg, run.Environment, run.Stack) {
		return nil, err
	}
	then, err := s.Wanted.Planned(ctx, p, run.Release, cfg, run.Environment, run.Stack, planned.Outputs, planned.Resources)
	switch {
	case core.CodeOf(err) == core.Invalid || core.CodeOf(err) == core.Conflict:
		return &outlook{why: "which hosts there will be cannot be told before the apply: " + core.MessageOf(err)}, nil
	case err != nil || then.Ansible == nil:
		return nil, err
	}
	o := &outlook{aim: aimAt(then), fresh: then.Ansible.New, mask: then.Sensitive}
	o.hide(then.Ansible)
	return o, nil
}

// hide leaves out of check mode what it cannot look at: hosts of which, or of the way to which,
// only the apply tells all that the playbook needs.
func (o *outlook) hide(a *config.Ansible) {
	if len(a.UnknownVariables) == 0 {
		return
	}
	o.why, o.unseen = "only the apply tells "+some(a.UnknownVariables), map[string]bool{}
	all := slices.ContainsFunc(a.UnknownVariables, func(name string) bool { return !strings.Contains(name, ": ") }) // not of one host
	for _, hosts := range a.Inventory {
		for _, h := range hosts {
			o.unseen[h.Name] = all || h.Unknown
		}
	}
}

// foresight is an outlook beside what is known of the hosts.
type foresight struct {
	wire.Foreseen
	check *wire.Provision // nil when there is nothing to run
}

// foresee decides on which hosts Ansible would run, and what is not known. Its digest is of
// what would be run there, and not of what check mode says: that need not be the same twice.
func foresee(o *outlook, known []core.Host, c circumstances) (f foresight, err error) {
	if o == nil {
		return f, nil
	}
	f.New, f.Why = o.fresh, o.why
	inputs := map[string]any{"new": o.fresh, "why": o.why}
	if o.aim != nil {
		would := decide(o.aim.hosts, known, c)
		digests := map[string]string{}
		for _, t := range o.aim.hosts {
			if slices.Contains(would.limit, t.name) {
				digests[t.name] = t.digest
			}
		}
		inputs["hosts"] = digests
		f.Same = len(o.aim.hosts) - len(would.limit)
		there := would
		hidden := func(name string) bool { return o.unseen[name] || slices.Contains(o.fresh, name) }
		there.limit = slices.DeleteFunc(slices.Clone(would.limit), hidden)
		there.anew = slices.DeleteFunc(slices.Clone(would.anew), hidden)
		if len(there.limit) > 0 {
			if f.check, err = o.aim.provision(there, known); err != nil {
				return f, err
			}
			f.check.Check, f.check.Twice = true, false
		}
	}
	if f.check == nil && len(f.New) == 0 && f.Why == "" {
		return f, nil // nothing would be run
	}
	text, err := json.Marshal(inputs)
	if err != nil {
		return f, err
	}
	sum := sha256.Sum256(text)
	f.Digest = hex.EncodeToString(sum[:])
	if f.check != nil {
		f.check.Digest = f.Digest
	}
	return f, nil
}

// bound is the digest that an approval of a plan is for: with what Ansible would do.
func bound(plan, foreseen string) string {
	if foreseen == "" {
		return plan
	}
	sum := sha256.Sum256([]byte(plan + "\n" + foreseen))
	return hex.EncodeToString(sum[:])
}

// foresee is how it stands with an outlook now.
func (s *Service) foresee(tx core.Tx, run core.Run, o *outlook) (foresight, error) {
	if o == nil {
		return foresight{}, nil
	}
	known, err := tx.Hosts(run.Project, run.Stack, run.Environment)
	if err != nil {
		return foresight{}, err
	}
	instance, err := tx.Instance(run.Project, run.Stack, run.Environment)
	if err != nil {
		return foresight{}, err
	}
	if o.aim != nil && len(known) == 0 {
		known = adopted(instance, o.aim)
	}
	c, err := circumstancesOf(tx, run)
	if err != nil {
		return foresight{}, err
	}
	return foresee(o, known, c)
}

// told is what check mode said with a plan: now, or with an earlier one of the run after
// which the same would be run. It is nil when nobody has asked yet.
func (s *Service) told(tx core.Tx, run core.Run, f foresight, planned wire.Planned) (*wire.Foreseen, error) {
	if said := planned.Foreseen; said != nil && said.Digest == f.Digest {
		f.Hosts = said.Hosts
		if said.Why != "" {
			f.Why = said.Why
		}
		return &f.Foreseen, nil
	}
	if f.check == nil {
		return &f.Foreseen, nil
	}
	var before wire.Foreseen
	err := s.Doc(tx, run.ID, ForeseenDoc, &before)
	if core.CodeOf(err) == core.NotFound || err == nil && before.Digest != f.Digest {
		return nil, nil
	}
	return &before, err
}

// decided is the digest of a plan that was decided on already, and that its runner reports
// again after a lost reply: with what was foreseen then.
func (s *Service) decided(tx core.Tx, run core.Run, planned wire.Planned) (string, error) {
	var then wire.Foreseen
	if err := s.Doc(tx, run.ID, ForeseenDoc, &then); err != nil && core.CodeOf(err) != core.NotFound {
		return "", err
	}
	return bound(planned.Digest, then.Digest), nil
}

// ask has check mode run before the plan is decided on.
func (f foresight) ask(o *outlook) wire.Next {
	n := len(f.check.Limit)
	hosts := fmt.Sprintf("%d hosts", n)
	if n == 1 {
		hosts = f.check.Limit[0]
	}
	return wire.Next{Do: "foresee", Reason: "Ansible would run on " + hosts + ": check mode tells what it would change there", After: wire.After{Provision: f.check, Mask: o.mask}}
}

// difference says how a plan differs from one that was approved.
func (s *Service) difference(tx core.Tx, vote core.Vote, planned wire.Planned, f foresight) (string, error) {
	var approved wire.Plan
	if err := s.Doc(tx, vote.Run, "plan", &approved); err != nil {
		return "", err
	}
	var foreseen wire.Foreseen
	if err := s.Doc(tx, vote.Run, ForeseenDoc, &foreseen); err != nil && core.CodeOf(err) != core.NotFound {
		return "", err
	}
	const otherwise = "Ansible would run on other hosts, or something else there"
	switch {
	case foreseen.Digest == f.Digest:
		return plan.Difference(approved, planned.Plan), nil
	case vote.Plan == bound(planned.Digest, foreseen.Digest):
		return otherwise, nil
	}
	return plan.Difference(approved, planned.Plan) + ", and " + otherwise, nil
}
