package parity

import (
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/statefile"
)

// Rules are what a project adds to what is compared how.
type Rules struct {
	Ignore   []Pattern // not compared
	Identity []Pattern // compared only for being there
	Derived  []Pattern // chosen by the provider after what is written of the same resource
	// Names are further names of environments, as they turn up in those of resources.
	Names map[string][]string
}

// Pattern means attributes of resources: "cloud_server.*.image_id", "*.*.tags.Owner".
type Pattern struct{ text, resource, attribute string }

// ParsePattern reads a pattern: the address of a resource with * for any text, as for what is
// stateful, and behind it the path of an attribute, likewise. An Invalid error says
// how one looks.
func ParsePattern(s string) (Pattern, error) {
	parts := split(s)
	n := 2
	for len(parts) > n+1 && parts[n-2] == "module" {
		n += 2
	}
	if len(parts) > n && parts[n-2] == "data" {
		n++
	}
	if len(parts) <= n || slices.Contains(parts, "") {
		return Pattern{}, core.Errorf(core.Invalid, "%q does not name an attribute; write TYPE.NAME.ATTRIBUTE, inside modules module.NAME.TYPE.NAME.ATTRIBUTE, with * for any text: \"democloud_server.*.image\"", s)
	}
	return Pattern{text: s, resource: strings.Join(parts[:n], "."), attribute: strings.Join(parts[n:], ".")}, nil
}

// split cuts a pattern at the dots that are not in a key.
func split(s string) (parts []string) {
	from, depth, quoted := 0, 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == '.' && depth == 0:
			parts, from = append(parts, s[from:i]), i+1
		}
	}
	return append(parts, s[from:])
}

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

// matches reports whether it means an attribute, or something that it is in.
func (p Pattern) matches(address, resourceType, path string) bool {
	if !guard.Matches(p.resource, address, resourceType) {
		return false
	}
	plain := statefile.WithoutKeys(path)
	for _, candidate := range []string{path, plain} {
		if glob(p.attribute, candidate) || glob(p.attribute+".*", candidate) || glob(p.attribute+"[*", candidate) {
			return true
		}
	}
	return false
}

// glob matches text with * for any text.
func glob(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	if !strings.HasPrefix(text, parts[0]) {
		return false
	}
	text = text[len(parts[0]):]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return strings.HasSuffix(text, parts[len(parts)-1])
}

func anyMatches(patterns []Pattern, address, resourceType, path string) bool {
	return slices.ContainsFunc(patterns, func(p Pattern) bool { return p.matches(address, resourceType, path) })
}

// identities are attributes that tell one thing from another of its kind, whatever the
// provider is.
var identities = map[string]bool{
	"id": true, "arn": true, "urn": true, "uid": true, "uuid": true, "guid": true, "unique_id": true, "self_link": true, "resource_id": true,
	"etag": true, "fingerprint": true, "label_fingerprint": true, "metadata_fingerprint": true, "tags_fingerprint": true, "generation": true, "resource_version": true, "version_id": true,
	"created": true, "created_at": true, "created_time": true, "created_date": true, "create_date": true, "creation_date": true, "creation_time": true, "creation_timestamp": true,
	"updated_at": true, "update_time": true, "updated_time": true, "last_modified": true, "last_updated": true, "last_modified_date": true, "last_modified_time": true,
	"owner_id": true, "account_id": true, "zone_id": true, "hosted_zone_id": true, "unique_name": true, "serial_number": true,
}

// isIdentity reports whether an attribute is compared only for being there. What is
// written in the code has a value that matters.
func (r Rules) isIdentity(address, resourceType, path string, written bool) bool {
	return !written && identities[path] || anyMatches(r.Identity, address, resourceType, path)
}
