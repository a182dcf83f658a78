package runs

import (
	"context"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// HostsDoc is how Ansible went on each host that it ran on in a run, and its warnings: a
// wire.Provisioned.
const HostsDoc = "hosts"

// statusDone is the wire.HostResult of a host on which a playbook came to a good end.
const statusDone = "done"

// Provisioned notes that Ansible ended well.
func (s *Service) Provisioned(ctx context.Context, c Caller, id string, report wire.Provisioned) (wire.After, error) {
	var run core.Run
	var project core.Project
	during := false // the apply goes on
	err := s.Store.Update(ctx, func(tx core.Tx) (err error) {
		if run, err = mine(tx, c, id); err != nil {
			return err
		}
		if project, err = tx.Project(run.Project); err != nil {
			return err
		}
		during = run.Status == core.RunApplying && run.ProvisionDigest != ""
		if err := expect(run, core.RunProvisioning, core.RunVerifying); err != nil && !during {
			return err
		}
		return s.record(tx, run, report, true)
	})
	if err != nil {
		return wire.After{}, err
	}
	defer s.Bus.Changed(run.Project)
	if during {
		return wire.After{Status: string(run.Status)}, nil
	}
	return s.after(ctx, project, c, id)
}

// Hosts notes how far Ansible is, while it runs. What it changed counts when it ends.
func (s *Service) Hosts(ctx context.Context, c Caller, id string, report wire.Provisioned) error {
	var run core.Run
	err := s.Store.Update(ctx, func(tx core.Tx) (err error) {
		if run, err = mine(tx, c, id); err != nil {
			return err
		}
		if run.Status.Terminal() {
			return core.Errorf(core.Conflict, "%s is over (%s)", id, run.Status)
		}
		if err := s.learn(tx, run, report.HostKeys); err != nil || run.Status != core.RunProvisioning && run.Status != core.RunApplying {
			return err // check mode's results come with what it was for
		}
		return s.results(tx, run, report)
	})
	if err == nil {
		s.Bus.Changed(run.Project)
	}
	return err
}

// record notes how Ansible ended: on which hosts well, also where it failed on others, so
// that a retry runs only on those that are left (rule 18).
func (s *Service) record(tx core.Tx, run core.Run, report wire.Provisioned, well bool) error {
	if err := s.results(tx, run, report); err != nil {
		return err
	}
	var o order
	if err := s.Doc(tx, run.ID, provisionDoc, &o); core.CodeOf(err) == core.NotFound {
		return nil // nothing was asked for
	} else if err != nil || o.Done || o.Provision == nil {
		return err
	}
	if err := s.learn(tx, run, report.HostKeys); err != nil {
		return err
	}
	known, err := tx.Hosts(run.Project, run.Stack, run.Environment)
	if err != nil {
		return err
	}
	rows, everywhere, ended := byName(known), true, make(map[string]string, len(report.Hosts))
	for _, r := range report.Hosts {
		ended[r.Host] = r.Status
	}
	for _, name := range o.Provision.Limit {
		// A good end without a word of single hosts is one on all.
		if status, told := ended[name]; told && status != statusDone || !told && !well {
			everywhere = false
			continue
		}
		h := core.Host{Project: run.Project, Stack: run.Stack, Environment: run.Environment, Name: name,
			Identity: o.Identities[name], Digest: o.Digests[name], Run: run.ID, At: tx.Now(), Keys: rows[name].Keys}
		if err := tx.PutHost(h); err != nil {
			return err
		}
	}
	if !well {
		return nil
	}
	if everywhere {
		if err := s.complete(tx, run, o, known); err != nil {
			return err
		}
	}
	o.Done = true
	return s.putDoc(tx, run.ID, provisionDoc, o)
}

// complete notes that Ansible did all that it was ordered to.
func (s *Service) complete(tx core.Tx, run core.Run, o order, known []core.Host) error {
	instance, err := tx.Instance(run.Project, run.Stack, run.Environment)
	if err != nil {
		return err
	}
	if o.For != afterApply {
		instance.Provision = o.Provision.Digest
		return tx.PutInstance(instance) // there may be hosts that its inventory does not have yet
	}
	a := &aim{digest: o.Provision.Digest}
	for _, name := range o.Provision.Hosts {
		a.hosts = append(a.hosts, target{name: name})
	}
	return provisioned(tx, instance, a, known)
}

// learn keeps the keys of hosts that were met for the first time. Of hosts that no order and
// no inventory named, nothing is believed.
func (s *Service) learn(tx core.Tx, run core.Run, met []wire.HostKeys) error {
	if len(met) == 0 {
		return nil
	}
	var o order
	if err := s.Doc(tx, run.ID, provisionDoc, &o); err != nil && core.CodeOf(err) != core.NotFound {
		return err
	}
	known, err := tx.Hosts(run.Project, run.Stack, run.Environment)
	if err != nil {
		return err
	}
	rows := byName(known)
	for _, m := range met {
		h, ok := rows[m.Host]
		if !ok {
			h = core.Host{Project: run.Project, Stack: run.Stack, Environment: run.Environment, Name: m.Host}
		}
		keys := plausible(m.Keys)
		if !ok && !o.names(m.Host) || len(keys) == 0 || len(h.Keys) > 0 || o.given(m.Host) {
			continue
		}
		h.Keys = keys
		if err := tx.PutHost(h); err != nil {
			return err
		}
		rows[m.Host] = h
	}
	return nil
}

// names reports whether an order is about a host or goes through a bastion of that name.
func (o order) names(host string) bool {
	p := o.Provision
	if p == nil {
		return false
	}
	if address, ok := strings.CutPrefix(host, wire.BastionName); ok {
		return p.Bastion != nil && p.Bastion.Host == address
	}
	return slices.Contains(p.Limit, host)
}

// given reports whether a host's keys are told by its provider.
func (o order) given(host string) bool {
	return o.Provision != nil && slices.ContainsFunc(o.Provision.HostKeys, func(k wire.HostKeys) bool { return k.Host == host && k.Given })
}

// results keeps how Ansible went, for people.
func (s *Service) results(tx core.Tx, run core.Run, report wire.Provisioned) error {
	var had wire.Provisioned
	if err := s.Doc(tx, run.ID, HostsDoc, &had); err != nil && core.CodeOf(err) != core.NotFound {
		return err
	}
	if len(report.Hosts)+len(report.Warnings) > 0 {
		had.Hosts = merged(had.Hosts, report.Hosts)
		for _, w := range report.Warnings {
			if !slices.Contains(had.Warnings, w) {
				had.Warnings = append(had.Warnings, w)
			}
		}
		if err := s.putDoc(tx, run.ID, HostsDoc, had); err != nil {
			return err
		}
	}
	recap := report.Recap
	if len(had.Hosts) > 0 {
		recap = nil
		for _, h := range had.Hosts {
			recap = append(recap, h.Recap)
		}
	}
	if len(recap) == 0 {
		return nil
	}
	return s.putDoc(tx, run.ID, "recap", recap)
}
