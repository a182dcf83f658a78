package store

import "github.com/terrace-cd/terrace/internal/core"

const hostColumns = "project, stack, environment, name, identity, digest, run, at, keys"

func scanHost(r row) (h core.Host, err error) {
	return h, r.Scan(&h.Project, &h.Stack, &h.Environment, &h.Name, &h.Identity, &h.Digest, &h.Run, into(&h.At), (*items[string])(&h.Keys))
}

func (t *tx) PutHost(h core.Host) error {
	_, err := t.exec("INSERT INTO instance_hosts ("+hostColumns+") VALUES ("+placeholders(9)+`) ON CONFLICT (project, environment, stack, name) DO UPDATE SET
		identity = excluded.identity, digest = excluded.digest, run = excluded.run, at = excluded.at, keys = excluded.keys`,
		h.Project, h.Stack, h.Environment, h.Name, prose(h.Identity), h.Digest, h.Run, micros(h.At), items[string](h.Keys))
	return err
}

func (t *tx) Hosts(project, stack, environment string) ([]core.Host, error) {
	return list(t, scanHost, "SELECT "+hostColumns+" FROM instance_hosts"+ofInstance+" ORDER BY name", project, environment, stack)
}

func (t *tx) DeleteHost(project, stack, environment, name string) error {
	_, err := t.exec("DELETE FROM instance_hosts"+ofInstance+" AND name = ?", project, environment, stack, name)
	return err
}
