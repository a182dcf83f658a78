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
		if err := a.provision(*next.Provision); err != nil {
			return err
		}
		report := wire.Provisioned{Recap: a.recap}
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

func (a *attempt) provision(p wire.Provision) error {
	var err error
	a.recap, err = ansible.Run(a.work, ansible.Options{
		Provision: p, Tree: a.tree.Dir, Root: a.job.Source.Root, Dir: filepath.Join(a.temp(), "ansible"),
		KnownHosts: filepath.Join(a.Work, "known_hosts", a.job.Project, a.job.Environment, a.job.Stack),
		NewHosts:   a.newHosts, Secrets: a.job.Secrets, Env: a.environment(), Output: a.out,
	})
	return err
}
