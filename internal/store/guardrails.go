package store

import (
	"strconv"

	"github.com/terrace-cd/terrace/internal/core"
)

func scanGuardrails(r row) (g core.Guardrails, err error) {
	return g, r.Scan(&g.Version, &g.Digest, (*facts)(&g.Files), &g.By, into(&g.Created))
}

func (t *tx) AddGuardrails(g core.Guardrails) error {
	return t.add("there is a version "+strconv.FormatInt(g.Version, 10)+" of the guardrails already", "INSERT INTO guardrails (version, digest, files, actor, created) VALUES ("+placeholders(5)+")",
		g.Version, g.Digest, facts(g.Files), g.By, micros(g.Created))
}

func (t *tx) Guardrails(version int64) (core.Guardrails, error) {
	const columns = "SELECT version, digest, files, actor, created FROM guardrails"
	if version == 0 {
		return get(t, "version of the guardrails yet", scanGuardrails, columns+" ORDER BY version DESC LIMIT 1")
	}
	return get(t, "version "+strconv.FormatInt(version, 10)+" of the guardrails", scanGuardrails, columns+" WHERE version = ?", version)
}

func (t *tx) GuardrailsVersion() (int64, error) {
	return get(t, "guardrails", func(r row) (version int64, err error) { return version, r.Scan(&version) }, "SELECT coalesce(max(version), 0) FROM guardrails")
}

func (t *tx) GuardrailsHistory() ([]core.Guardrails, error) {
	return list(t, scanGuardrails, "SELECT version, digest, '{}', actor, created FROM guardrails ORDER BY version DESC")
}
