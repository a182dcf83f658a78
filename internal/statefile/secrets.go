package statefile

import (
	"encoding/json"
	"regexp"
	"strings"
)

// secretName is how attributes are called that states do not always mark.
var secretName = regexp.MustCompile(`(?i)passw|secret|token|private_?key|credential|passphrase|access_?key|api_?key|connection_?string|certificate_?key|user_?data`)

// NamedSecret reports whether an attribute's name says that it is secret.
func NamedSecret(path string) bool { return secretName.MatchString(path) }

// Marked reports whether the state says that an attribute is sensitive, or what it is in.
func (i Instance) Marked(path string) bool {
	for _, steps := range i.Sensitive {
		prefix := ""
		for _, s := range steps {
			switch v := s.Value.(type) {
			case string:
				prefix = Join(prefix, v)
			case map[string]any: // an index: {"value": 0, "type": "number"}
				if n, ok := v["value"].(json.Number); ok {
					prefix += "[" + n.String() + "]"
				} else if text, ok := v["value"].(string); ok {
					prefix = Join(prefix, text)
				}
			}
		}
		if path == prefix || len(path) > len(prefix) && path[:len(prefix)] == prefix && (path[len(prefix)] == '.' || path[len(prefix)] == '[') {
			return true
		}
	}
	return false
}

// shortest is the length from which a value is looked for elsewhere: "1" or "true" would
// hide half a state.
const shortest = 6

// Secrets are texts that must not be shown, wherever they turn up. The zero value has none.
type Secrets struct{ texts map[string]bool }

// Learn adds what is sensitive in a file: outputs, marked attributes, and those whose name
// says so.
func (s *Secrets) Learn(f File) {
	for _, o := range f.Outputs {
		if o.Sensitive {
			s.Keep(o.Value)
		}
	}
	for _, r := range f.Resources {
		for _, i := range r.Instances {
			for path, value := range Flat(i.Attributes) {
				if i.Marked(path) || NamedSecret(path) {
					s.Keep(value)
				}
			}
		}
	}
}

// Keep adds the texts in a value.
func (s *Secrets) Keep(value any) {
	if s.texts == nil {
		s.texts = map[string]bool{}
	}
	for _, v := range Flat(value) {
		if text, ok := v.(string); ok && len(text) >= shortest {
			s.texts[text] = true
		}
	}
}

// In reports whether a value holds something secret.
func (s *Secrets) In(value any) bool {
	for _, v := range Flat(value) {
		if text, ok := v.(string); ok && s.hides(text) {
			return true
		}
	}
	return false
}

func (s *Secrets) hides(text string) bool {
	if s.texts[text] {
		return true
	}
	for secret := range s.texts {
		if strings.Contains(text, secret) {
			return true
		}
	}
	return false
}
