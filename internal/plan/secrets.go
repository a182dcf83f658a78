package plan

// marks are the names under which the engine's JSON has values, with the names beside
// them of what says which parts of those are sensitive.
var marks = map[string]string{
	"before":        "before_sensitive", // of a change
	"after":         "after_sensitive",
	"values":        "sensitive_values", // of a resource in the state
	"config_values": "config_sensitive", // of an action
}

// Secrets lists the sensitive texts anywhere in the engine's JSON: what it says changes,
// and beyond Parsed.Sensitive the whole state before and after, and the variables. For
// those who show what somebody picks out of it.
func Secrets(document map[string]any) []string {
	found := map[string]bool{}
	secretsIn(document, found)
	for name, declared := range object(document, "configuration", "root_module", "variables") {
		if d, ok := declared.(map[string]any); ok && d["sensitive"] == true {
			texts(object(document, "variables", name)["value"], found)
			texts(d["default"], found)
		}
	}
	out := make([]string, 0, len(found))
	for text := range found {
		out = append(out, text)
	}
	return out
}

func secretsIn(v any, found map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for value, mark := range marks {
			collect(v[value], v[mark], found)
		}
		if v["sensitive"] == true { // an output
			texts(v["value"], found)
		}
		for _, inner := range v {
			secretsIn(inner, found)
		}
	case []any:
		for _, inner := range v {
			secretsIn(inner, found)
		}
	}
}

// object is what is at a path, nil where that is no object.
func object(v map[string]any, path ...string) map[string]any {
	for _, name := range path {
		v, _ = v[name].(map[string]any)
	}
	return v
}
