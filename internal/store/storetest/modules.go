package storetest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func modules(t *testing.T, s core.Store) {
	vpc := core.Module{Address: "platform/vpc/aws", Repo: "https://git.example.com/vpc.git", Path: ".", Tags: "v*", By: "user:ana", Created: at}
	dns := core.Module{Address: "platform/dns/aws", Repo: "https://git.example.com/all.git", Path: "dns", Tags: "dns/v*", By: "user:ana", Created: at}
	update(t, s, func(tx core.Tx) error { return errors.Join(tx.AddModule(vpc), tx.AddModule(dns)) })
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.AddModule(vpc) })
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Modules()
		equal(t, "modules", all, []core.Module{dns, vpc})
		return err
	})
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.Module("a/b/c"); return err })
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.CheckedModule("a/b/c", "", at) })
	refused(t, s, core.NotFound, func(tx core.Tx) error {
		return tx.AddModuleVersion(core.ModuleVersion{Module: "a/b/c", Version: "1.0.0"})
	})
	update(t, s, func(tx core.Tx) error { return tx.CheckedModule(vpc.Address, "no route\x00 to host", at) })
	vpc.Checked, vpc.CheckError = at, "no route  to host"

	commit := strings.Repeat("a", 40)
	first := core.ModuleVersion{Module: vpc.Address, Version: "1.10.0", Tag: "v1.10.0", Commit: commit, Seen: at}
	second := core.ModuleVersion{Module: vpc.Address, Version: "1.9.0", Tag: "v1.9.0", Commit: commit, Seen: at.Add(time.Second)}
	update(t, s, func(tx core.Tx) error { return errors.Join(tx.AddModuleVersion(second), tx.AddModuleVersion(first)) })
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.AddModuleVersion(first) })
	first.Moved, second.Gone = strings.Repeat("b", 40), true
	update(t, s, func(tx core.Tx) error { return errors.Join(tx.NoteModuleTag(first), tx.NoteModuleTag(second)) })
	refused(t, s, core.NotFound, func(tx core.Tx) error {
		return tx.NoteModuleTag(core.ModuleVersion{Module: vpc.Address, Version: "3.0.0"})
	})
	view(t, s, func(tx core.Tx) error {
		m, err := tx.Module(vpc.Address)
		equal(t, "module", m, vpc)
		versions, err2 := tx.ModuleVersions(vpc.Address)
		equal(t, "versions", versions, []core.ModuleVersion{first, second})
		none, err3 := tx.ModuleVersions(dns.Address)
		equal(t, "versions of another module", len(none), 0)
		return errors.Join(err, err2, err3)
	})
	update(t, s, func(tx core.Tx) error { return tx.RemoveModule(vpc.Address) })
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.RemoveModule(vpc.Address) })
	view(t, s, func(tx core.Tx) error {
		gone, err := tx.ModuleVersions(vpc.Address)
		equal(t, "versions of a removed module", len(gone), 0)
		return err
	})
}

func releaseModules(t *testing.T, s core.Store) {
	seed(t, s, "shop", 0)
	folders := map[string][]core.ResolvedModule{"net": {{Module: "platform/vpc/aws", Constraint: "~> 1.0", Version: "1.9.0", Commit: strings.Repeat("a", 40)}}}
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.PutReleaseModules("nowhere", "c1", folders) })
	update(t, s, func(tx core.Tx) error {
		return errors.Join(tx.PutReleaseModules("shop", "c1", folders), tx.PutReleaseModules("shop", "c2", folders))
	})
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.PutReleaseModules("shop", "c1", nil) })
	view(t, s, func(tx core.Tx) error {
		for _, commit := range []string{"c1", "c2"} {
			got, err := tx.ReleaseModules("shop", commit)
			if err != nil {
				return err
			}
			equal(t, "modules of "+commit, got, folders)
		}
		none, err := tx.ReleaseModules("shop", "c3")
		equal(t, "modules of a release without", len(none), 0)
		return err
	})
	update(t, s, func(tx core.Tx) error { return tx.RemoveProject("shop") })
	view(t, s, func(tx core.Tx) error {
		none, err := tx.ReleaseModules("shop", "c1")
		equal(t, "modules of a removed project", len(none), 0)
		return err
	})
}
