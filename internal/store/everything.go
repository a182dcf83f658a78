package store

import "github.com/terrace-cd/terrace/internal/core"

// What is read by those who look at everything: "terrace admin check", a rotation of keys.

func (t *tx) AllStateVersions(after int64, n int) ([]core.StateVersion, error) {
	return list(t, scanVersion, versionSelect+" WHERE id > ? ORDER BY id"+limit(n), after)
}

func (t *tx) AllRecovereds(after int64, n int) ([]core.Recovered, error) {
	return list(t, scanRecovered, "SELECT id, "+recoveredColumns+" FROM recovered WHERE id > ? ORDER BY id"+limit(n), after)
}

func (t *tx) RunDocs(after core.RunDoc, n int) ([]core.RunDoc, error) {
	return list(t, func(r row) (d core.RunDoc, err error) { return d, r.Scan(&d.Run, &d.Kind, &d.Sealed) },
		"SELECT run, kind, sealed FROM run_docs WHERE run > ? OR run = ? AND kind > ? ORDER BY run, kind"+limit(n), after.Run, after.Run, after.Kind)
}

func (t *tx) AllSecrets() ([]core.Secret, error) {
	return list(t, func(r row) (s core.Secret, err error) {
		return s, r.Scan(&s.Project, &s.Environment, &s.Name, &s.Sealed)
	},
		"SELECT project, environment, name, sealed FROM secrets ORDER BY project, environment, name")
}
