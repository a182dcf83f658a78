package runner

import (
	"cmp"
	"errors"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/step/ansible"
	"github.com/terrace-cd/terrace/internal/wire"
)

// foresee has check mode tell what Ansible would change on the hosts that are there, so that
// a plan is decided on together with that. Where check mode fails, that is what there is to
// know; it decides nothing.
func (a *attempt) foresee(next wire.Next, planned *wire.Planned) error {
	p := next.Provision
	if p == nil || !p.Check {
		return core.Errorf(core.Internal, "the server asks for check mode without it; are server and runner of the same version?")
	}
	if planned.Foreseen != nil && planned.Foreseen.Digest == p.Digest {
		return core.Errorf(core.Internal, "the server asks for check mode that has run already; are server and runner of the same version?")
	}
	a.say("%s", next.Reason)
	results, why, err := a.checkMode(*p)
	if err != nil {
		return err
	}
	planned.Foreseen = &wire.Foreseen{Digest: p.Digest, Hosts: results, Why: why}
	return nil
}

// lookAtHosts has check mode look for hosts that are not as their playbook left them (rule 25).
func (a *attempt) lookAtHosts(p wire.Provision) (drifted []wire.DriftedHost, err error) {
	results, why, err := a.checkMode(p)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, r := range results {
		seen[r.Host] = true
		d := wire.DriftedHost{Host: r.Host, Status: "changed", Message: r.Message, Changes: r.Changes}
		switch {
		case r.Status == "unreachable" || r.Status == "failed":
			d.Status = r.Status
		case r.Status != "done":
			d.Status, d.Message = "failed", cmp.Or(r.Message, "check mode did not come to its end there")
		case r.Changed == 0:
			continue
		}
		drifted = append(drifted, d)
	}
	for _, host := range p.Limit {
		if !seen[host] && why != "" {
			drifted = append(drifted, wire.DriftedHost{Host: host, Status: "failed", Message: why})
		}
	}
	return drifted, nil
}

// checkMode runs a playbook so that it changes nothing, and returns what it would change.
// why is why it told nothing, or not of every host; an error is one of the run itself.
func (a *attempt) checkMode(p wire.Provision) (results []wire.HostResult, why string, err error) {
	did, err := a.playbook(p)
	var no *ansible.Failed
	switch {
	case err == nil:
	case a.work.Err() != nil:
		return nil, "", err
	case errors.As(err, &no):
		why = no.Message
	default:
		why = core.MessageOf(err)
	}
	if len(did.HostKeys) > 0 {
		a.told(wire.Provisioned{HostKeys: did.HostKeys})
	}
	return did.Hosts, a.mask.String(shorten(why)), nil
}
