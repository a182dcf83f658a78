package runs

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// KnownHosts lists the hosts of an instance, by name: those of the release that Ansible worked
// for last, and what is known beside them.
func (s *Service) KnownHosts(ctx context.Context, project, stack, environment string) ([]wire.Host, error) {
	var p core.Project
	var known []core.Host
	var instance core.InstanceState
	var release core.Release
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		if p, err = tx.Project(project); err != nil {
			return err
		}
		if instance, err = tx.Instance(project, stack, environment); err != nil {
			return err
		}
		if instance.Commit == "" {
			return core.Errorf(core.NotFound, "nothing was applied at %s yet, so it has no hosts", core.InstanceName(stack, environment))
		}
		if release, err = tx.Release(project, instance.Commit); err != nil {
			return err
		}
		// A release that changed no infrastructure is there when Ansible began to work for it,
		// also where that did not end well.
		last, err := tx.Run(instance.Run)
		if err == nil && last.Kind == core.KindDeploy && last.ProvisionDigest != "" {
			release, err = tx.Release(project, last.Release.Commit)
		}
		if err != nil && core.CodeOf(err) != core.NotFound {
			return err
		}
		known, err = tx.Hosts(project, stack, environment)
		return err
	}); err != nil {
		return nil, err
	}
	cfg, err := s.Wanted.Config(ctx, p, release.Commit)
	if err != nil {
		return nil, err
	}
	aim, _, err := s.aimAfter(ctx, p, release, cfg, environment, stack)
	if err != nil {
		return nil, err
	}
	if aim != nil && len(known) == 0 {
		known = adopted(instance, aim)
	}
	return listed(aim, known), nil
}

func listed(a *aim, known []core.Host) []wire.Host {
	out := []wire.Host{}
	wants := map[string]target{}
	if a != nil {
		for _, t := range a.hosts {
			wants[t.name] = t
		}
	}
	for _, h := range known {
		host := wire.Host{Name: h.Name, Status: "gone", Identity: h.Identity, Run: h.Run, At: h.At, Keys: fingerprints(h.Keys)}
		t, wanted := wants[h.Name]
		delete(wants, h.Name)
		switch {
		case strings.HasPrefix(h.Name, wire.BastionName):
			host.Status = "bastion"
		case !wanted:
		case h.Run == "" && h.Digest == "", h.Identity != "" && t.identity != "" && h.Identity != t.identity:
			host.Status = "new"
		case h.Digest == t.digest:
			host.Status = "up_to_date"
		default:
			host.Status = "behind"
		}
		out = append(out, host)
	}
	for _, t := range wants {
		out = append(out, wire.Host{Name: t.name, Status: "new", Identity: t.identity, Keys: []wire.HostKey{}})
	}
	slices.SortFunc(out, func(a, b wire.Host) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// fingerprints are keys as people compare them.
func fingerprints(keys []string) []wire.HostKey {
	out := []wire.HostKey{}
	for _, key := range keys {
		kind, blob, _ := strings.Cut(key, " ")
		raw, err := base64.StdEncoding.DecodeString(blob)
		if err != nil {
			continue // it was never one
		}
		sum := sha256.Sum256(raw)
		out = append(out, wire.HostKey{Type: kind, Fingerprint: "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])})
	}
	return out
}

// ForgetHost forgets the keys of a host, because somebody knows that it may show another one.
// The one that it shows next is trusted. NotFound when none is known.
func (s *Service) ForgetHost(ctx context.Context, by, project, stack, environment, name string) error {
	return s.Store.Update(ctx, func(tx core.Tx) error {
		if _, err := tx.Project(project); err != nil {
			return err
		}
		known, err := tx.Hosts(project, stack, environment)
		if err != nil {
			return err
		}
		h, ok := byName(known)[name]
		if !ok || len(h.Keys) == 0 {
			return core.Errorf(core.NotFound, "no key of a host %s of %s is known; terrace hosts list %[2]s has those that are", name, core.InstanceName(stack, environment))
		}
		var shown []string
		for _, key := range fingerprints(h.Keys) {
			shown = append(shown, key.Fingerprint)
		}
		h.Keys = nil
		if err := tx.PutHost(h); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "host.forgotten", Project: project, On: core.InstanceName(stack, environment),
			Data: map[string]string{"host": name, "keys": strings.Join(shown, " ")}})
	})
}
