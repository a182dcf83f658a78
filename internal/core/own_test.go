package core

import "testing"

// TestResourcesDigest: what a moved state keeps is in it, and what it loses is not.
func TestResourcesDigest(t *testing.T) {
	t.Parallel()
	const head = `{"version":4,"serial":1,"lineage":"a","outputs":{"x":{"value":1}},`
	base := ResourcesDigest([]byte(head + `"resources":[{"mode":"managed","type":"t","name":"a","instances":[{"index_key":"k","attributes":{"a":1.0,"b":"x"}}]},
		{"mode":"managed","type":"t","name":"b","instances":[{"attributes":{}}]}]}`))
	for what, same := range map[string]string{
		"lineage, serial, outputs, order and layout": `{"version":4,"serial":9,"lineage":"b","resources":[{"mode":"managed","type":"t","name":"b","instances":[{"attributes":{}}]},
			{"mode":"managed","type":"t","name":"a","instances":[{"index_key":"k","attributes":{ "b":"x", "a":1.0}}]}]}`,
		"a data source": head + `"resources":[{"mode":"data","type":"d","name":"d","instances":[{}]},{"mode":"managed","type":"t","name":"a","instances":[{"index_key":"k","attributes":{"a":1.0,"b":"x"}}]},
			{"mode":"managed","type":"t","name":"b","instances":[{"attributes":{}}]}]}`,
	} {
		if got := ResourcesDigest([]byte(same)); got != base || base == "" {
			t.Errorf("%s: %q, want %q", what, got, base)
		}
	}
	for what, other := range map[string]string{
		"an attribute":     head + `"resources":[{"mode":"managed","type":"t","name":"a","instances":[{"index_key":"k","attributes":{"a":2,"b":"x"}}]},{"mode":"managed","type":"t","name":"b","instances":[{"attributes":{}}]}]}`,
		"a resource less":  head + `"resources":[{"mode":"managed","type":"t","name":"b","instances":[{"attributes":{}}]}]}`,
		"no resources":     head + `"resources":[]}`,
		"not a state":      `[]`,
		"encrypted":        `{"serial":1,"lineage":"a","encrypted_data":"x","encryption_version":"v0"}`,
		"nothing":          ``,
		"strange elements": head + `"resources":[1]}`,
	} {
		if got := ResourcesDigest([]byte(other)); got == base {
			t.Errorf("%s: the same digest", what)
		}
	}
}
