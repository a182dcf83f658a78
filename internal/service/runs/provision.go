package runs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Inventory writes an evaluated inventory in the form of Ansible's dynamic inventory
// protocol (--list), with every host's variables under _meta.
// https://docs.ansible.com/ansible/latest/dev_guide/developing_inventory.html
func Inventory(groups map[string][]config.Host) (json.RawMessage, error) {
	type group struct {
		Hosts []string `json:"hosts"`
	}
	out := map[string]any{}
	hostvars := map[string]map[string]json.RawMessage{}
	for name, hosts := range groups {
		g := group{Hosts: []string{}}
		for _, h := range hosts {
			g.Hosts = append(g.Hosts, h.Name)
			if hostvars[h.Name] == nil {
				hostvars[h.Name] = map[string]json.RawMessage{}
			}
			for k, v := range h.Vars {
				hostvars[h.Name][k] = v
			}
		}
		out[name] = g
	}
	out["_meta"] = map[string]any{"hostvars": hostvars}
	return json.Marshal(out)
}

// aimAt is what a release wants Ansible to make of its hosts, nil for nothing.
func aimAt(p wanted.Provisioning) *aim {
	if p.Ansible == nil {
		return nil
	}
	a := &aim{block: p.Ansible, digest: p.Digest, requirements: p.Requirements, given: givenKeys(p.Ansible)}
	for _, name := range slices.Sorted(maps.Keys(p.Hosts)) {
		a.hosts = append(a.hosts, target{name: name, digest: p.Hosts[name], identity: p.Identity[name]})
	}
	return a
}

// givenKeys are the host keys that the configuration tells, of hosts and of a bastion.
func givenKeys(a *config.Ansible) (out []wire.HostKeys) {
	if b := a.Bastion; b != nil && len(b.Keys) > 0 {
		out = append(out, wire.HostKeys{Host: wire.BastionName + b.Host, Keys: b.Keys, Given: true})
	}
	seen := map[string]bool{}
	for _, group := range slices.Sorted(maps.Keys(a.Inventory)) {
		for _, h := range a.Inventory[group] {
			if len(h.Keys) > 0 && !seen[h.Name] {
				seen[h.Name] = true
				out = append(out, wire.HostKeys{Host: h.Name, Keys: h.Keys, Given: true})
			}
		}
	}
	return out
}

// provision is what a runner is told of a decision.
func (a *aim) provision(d decision, known []core.Host) (*wire.Provision, error) {
	inventory, err := Inventory(a.block.Inventory)
	if err != nil {
		return nil, err
	}
	p := &wire.Provision{Digest: a.digest, Playbook: a.block.Playbook, Inventory: inventory, Hosts: a.names(), Limit: d.limit, Anew: d.anew, HostKeys: slices.Clone(a.given),
		Variables: a.block.Variables, Secrets: a.block.Secrets, Requirements: a.requirements, Twice: a.block.Twice, Mitogen: a.block.Mitogen, Within: a.block.Within.String()}
	met := d.keys
	if b := a.block.Bastion; b != nil {
		p.Bastion = &wire.Bastion{Host: b.Host, Port: b.Port, User: b.User}
		if row := byName(known)[wire.BastionName+b.Host]; len(row.Keys) > 0 {
			met = append(met, wire.HostKeys{Host: row.Name, Keys: row.Keys})
		}
	}
	for _, keys := range met { // what the configuration tells wins
		if !slices.ContainsFunc(a.given, func(given wire.HostKeys) bool { return given.Host == keys.Host }) {
			p.HostKeys = append(p.HostKeys, keys)
		}
	}
	return p, nil
}

// provisionDoc is what a run was told to provision last.
const provisionDoc = "provision"

// afterApply is what an order is for that is given when everything is applied.
const afterApply = "after"

// order is what a run was told to provision. It is kept, so that a run that asks again after
// a lost reply is told the same, whatever has changed since.
type order struct {
	For       string // afterApply, or what an apply knew in its middle
	Provision *wire.Provision
	// Digests and Identities are what the hosts of the limit shall be, by name.
	Digests    map[string]string
	Identities map[string]string
	Done       bool
}

// left is what is left to do of it, nil for nothing.
func (o order) left() *wire.Provision {
	if o.Done {
		return nil
	}
	return o.Provision
}

// order gives an order, or finds the one that was given.
func (s *Service) order(tx core.Tx, run core.Run, a *aim, purpose string) (o order, err error) {
	if err = s.Doc(tx, run.ID, provisionDoc, &o); err == nil && o.For == purpose {
		return o, nil
	} else if err != nil && core.CodeOf(err) != core.NotFound {
		return o, err
	}
	o = order{For: purpose}
	known, err := tx.Hosts(run.Project, run.Stack, run.Environment)
	if err != nil {
		return o, err
	}
	instance, err := tx.Instance(run.Project, run.Stack, run.Environment)
	if err != nil {
		return o, err
	}
	if a == nil {
		return o, provisioned(tx, instance, nil, known)
	}
	if known, err = adopt(tx, instance, a, known); err != nil {
		return o, err
	}
	c, err := circumstancesOf(tx, run)
	if err != nil {
		return o, err
	}
	d := decide(a.hosts, known, c)
	switch {
	case len(d.limit) > 0:
		if o.Provision, err = a.provision(d, known); err != nil {
			return o, err
		}
		o.Digests, o.Identities = map[string]string{}, map[string]string{}
		for _, t := range a.hosts {
			if slices.Contains(d.limit, t.name) {
				o.Digests[t.name], o.Identities[t.name] = t.digest, t.identity
			}
		}
		err = undo(tx, run, a, d, known)
	case purpose == afterApply:
		err = provisioned(tx, instance, a, known)
	}
	if err != nil {
		return o, err
	}
	return o, s.putDoc(tx, run.ID, provisionDoc, o)
}

func circumstancesOf(tx core.Tx, run core.Run) (circumstances, error) {
	c := circumstances{run: run.ID, fresh: run.Changes.Create+run.Changes.Replace > 0}
	if run.Rollout == "" {
		return c, nil
	}
	ro, err := tx.Rollout(run.Rollout)
	c.all = ro.AllHosts
	return c, err
}

// adopt takes hosts that were provisioned before anything was known of single ones for what
// they are: as their instance wants them.
func adopt(tx core.Tx, instance core.InstanceState, a *aim, known []core.Host) ([]core.Host, error) {
	if len(known) > 0 {
		return known, nil
	}
	known = adopted(instance, a)
	for _, h := range known {
		if err := tx.PutHost(h); err != nil {
			return nil, err
		}
	}
	return known, nil
}

func adopted(instance core.InstanceState, a *aim) (known []core.Host) {
	if instance.Provision == "" || instance.Provision != a.digest {
		return nil
	}
	for _, t := range a.hosts {
		known = append(known, core.Host{Project: instance.Project, Stack: instance.Stack, Environment: instance.Environment, Name: t.name, Identity: t.identity, Digest: t.digest})
	}
	return known
}

// undo notes what is not true any more of hosts on which the playbook runs: what was known
// of one that has another's name, and that one is done on which it is to run all the same.
// So a retry knows it, too.
func undo(tx core.Tx, run core.Run, a *aim, d decision, known []core.Host) error {
	rows := byName(known)
	for _, t := range a.hosts {
		row := rows[t.name]
		switch {
		case slices.Contains(d.anew, t.name):
			row = core.Host{Project: run.Project, Stack: run.Stack, Environment: run.Environment, Name: t.name, Identity: t.identity}
		case slices.Contains(d.limit, t.name) && row.Digest == t.digest:
			row.Digest = ""
		default:
			continue
		}
		if err := tx.PutHost(row); err != nil {
			return err
		}
	}
	return nil
}

// provisioned notes that all hosts are as their release wants them, and forgets those that it
// does not have any more. A nil aim is that of a release without Ansible.
func provisioned(tx core.Tx, instance core.InstanceState, a *aim, known []core.Host) error {
	for _, h := range known {
		if a.keeps(h) {
			continue
		}
		if err := tx.DeleteHost(h.Project, h.Stack, h.Environment, h.Name); err != nil {
			return err
		}
	}
	digest := ""
	if a != nil {
		digest = a.digest
	}
	if instance.Provision == digest {
		return nil
	}
	instance.Provision = digest
	return tx.PutInstance(instance)
}

// aimAfter evaluates what follows an apply.
func (s *Service) aimAfter(ctx context.Context, p core.Project, r core.Release, cfg *config.Config, environment, stack string) (*aim, wanted.After, error) {
	after, err := s.Wanted.After(ctx, p, r, cfg, environment, stack)
	if err != nil {
		return nil, after, err
	}
	return aimAt(after.Provisioning), after, nil
}

// During answers what Ansible is to do in the middle of an apply, for hosts that shall be
// ready before the engine goes on. What was provisioned then is not provisioned again
// when the apply ends, unless its outputs turn out to be others.
func (s *Service) During(ctx context.Context, c Caller, id string, asked wire.During) (wire.After, error) {
	var run core.Run
	var project core.Project
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		if run, err = mine(tx, c, id); err != nil {
			return err
		}
		project, err = tx.Project(run.Project)
		return err
	}); err != nil {
		return wire.After{}, err
	}
	if err := expect(run, core.RunApplying); err != nil {
		return wire.After{}, err
	}
	cfg, err := s.Wanted.Config(ctx, project, run.Release.Commit)
	if err != nil {
		return wire.After{}, err
	}
	during, err := s.Wanted.During(ctx, project, run.Release, cfg, run.Environment, run.Stack, asked.Outputs)
	if err != nil {
		return wire.After{}, err
	}
	if during.Ansible == nil {
		return wire.After{}, core.Errorf(core.Invalid, "the stack %s has no ansible block, so there is nothing to provision with", run.Stack)
	}
	purpose, err := purposeOf(asked)
	if err != nil {
		return wire.After{}, err
	}
	out := wire.After{Status: string(run.Status), Mask: during.Sensitive}
	return out, s.Store.Update(ctx, func(tx core.Tx) error {
		run, err := mine(tx, c, id)
		if err != nil {
			return err
		}
		if err := expect(run, core.RunApplying); err != nil {
			return err
		}
		o, err := s.order(tx, run, aimAt(during), purpose)
		if out.Provision = o.left(); err != nil || out.Provision == nil {
			return err
		}
		run.ProvisionDigest = out.Provision.Digest
		return tx.UpdateRun(run, run.Status)
	})
}

// purposeOf tells one order in the middle of an apply from another.
func purposeOf(during wire.During) (string, error) {
	text, err := json.Marshal(during.Outputs)
	if err != nil {
		return "", core.Errorf(core.Invalid, "the outputs are not JSON: %w", err)
	}
	sum := sha256.Sum256(text)
	return "during " + hex.EncodeToString(sum[:]), nil
}
