package runner

import (
	"path/filepath"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/spool"
	"github.com/terrace-cd/terrace/internal/step/ansible"
	"github.com/terrace-cd/terrace/internal/wire"
)

// after does what the server says follows an apply: provisioning, verification.
func (a *attempt) after(next wire.After) error {
	a.mask.Add(next.Mask...)
	if next.Provision != nil {
		a.clock.enter(phaseProvision)
		report, err := a.provision(*next.Provision)
		if err != nil {
			return err
		}
		a.keep(spool.Provisioned, report)
		answer, err := a.api.Provisioned(a.report, a.Run, report)
		if err != nil {
			return err
		}
		a.mask.Add(answer.Mask...)
		next.Verify = answer.Verify
	}
	return a.verify(next.Verify)
}

// provision runs a playbook. How far it came, when it does not end well, is reported with
// the end of the run.
func (a *attempt) provision(p wire.Provision) (wire.Provisioned, error) {
	did, err := a.playbook(p)
	a.recap, a.unwell = did.Recap, nil
	if err != nil {
		a.unwell = &did
	}
	return did, err
}

// playbook runs ansible-playbook, and tells the server how far it is.
func (a *attempt) playbook(p wire.Provision) (wire.Provisioned, error) {
	o := ansible.Options{
		Provision: p, Instance: core.InstanceName(a.job.Stack, a.job.Environment), Tree: a.tree.Dir, Root: a.job.Source.Root, Dir: filepath.Join(a.temp(), "ansible"),
		Store: filepath.Join(a.Work, "ansible"), Secrets: a.job.Secrets, Env: a.environment(), Output: a.out, Mask: a.mask.String,
	}
	if !p.Check {
		teller := startTeller(tellEvery, a.told)
		defer teller.stop()
		o.Progress = func(hosts []wire.HostResult) { teller.tell(wire.Provisioned{Hosts: hosts}) }
	}
	return ansible.Run(a.work, o)
}

// told tells the server how far Ansible is. What is lost of that is told again at the end.
func (a *attempt) told(did wire.Provisioned) {
	if err := a.api.Hosts(a.work, a.Run, did); err != nil && a.work.Err() == nil {
		a.say("the server did not hear how far Ansible is: %v", err)
	}
}
