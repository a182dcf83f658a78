package runner

import (
	"path/filepath"

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
	a.recap = did.Recap
	if err != nil {
		a.unwell = &did
	}
	return did, err
}

// playbook runs ansible-playbook.
func (a *attempt) playbook(p wire.Provision) (wire.Provisioned, error) {
	recap, err := ansible.Run(a.work, ansible.Options{
		Provision: p, Tree: a.tree.Dir, Root: a.job.Source.Root, Dir: filepath.Join(a.temp(), "ansible"),
		KnownHosts: filepath.Join(a.Work, "known_hosts", a.job.Project, a.job.Environment, a.job.Stack),
		NewHosts:   a.newHosts && !p.Check, Secrets: a.job.Secrets, Env: a.environment(), Output: a.out, Check: p.Check,
	})
	did := wire.Provisioned{Recap: recap}
	for _, r := range recap {
		result := wire.HostResult{Recap: r, Status: "left"}
		switch {
		case r.Unreachable > 0:
			result.Status = "unreachable"
		case r.Failed > 0:
			result.Status = "failed"
		case err == nil:
			result.Status = "done"
		}
		did.Hosts = append(did.Hosts, result)
	}
	return did, err
}

// told tells the server how far Ansible is. What is lost of that is told again at the end.
func (a *attempt) told(did wire.Provisioned) {
	if err := a.api.Hosts(a.work, a.Run, did); err != nil && a.work.Err() == nil {
		a.say("the server did not hear how far Ansible is: %v", err)
	}
}
