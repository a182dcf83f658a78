package guard

import (
	"regexp"
	"strings"

	"github.com/terrace-cd/terrace/internal/statefile"
)

// Matches reports whether a pattern such as "democloud_server.*" means a resource.
//
// A * stands for any text. The pattern is compared with the resource's whole address, with
// the address without its module, with both without the keys of count and for_each, and
// with its type: what protects had better mean too much than too little.
func Matches(pattern, address, resourceType string) bool {
	parts := strings.Split(pattern, "*")
	for _, candidate := range candidates(address, resourceType) {
		if glob(parts, candidate) {
			return true
		}
	}
	return false
}

// deposed is what a plan adds to the address of an object that a replacement has left.
var deposed = regexp.MustCompile(` \(deposed [0-9a-f]+\)$`)

func withoutDeposed(address string) string { return deposed.ReplaceAllString(address, "") }

// plain is an address as the code writes it.
func plain(address string) string { return statefile.WithoutKeys(withoutDeposed(address)) }

func candidates(address, resourceType string) []string {
	address = withoutDeposed(address)
	all := []string{address, plain(address), afterModules(address), afterModules(plain(address))}
	if resourceType != "" {
		all = append(all, resourceType)
	}
	return all
}

// afterModules is the part of an address after module.NAME, any number of times.
func afterModules(address string) string {
	for strings.HasPrefix(address, "module.") {
		rest := address[len("module."):]
		end := 0
		for quoted := false; end < len(rest) && (quoted || rest[end] != '.'); end++ {
			switch {
			case quoted && rest[end] == '\\':
				end++
			case rest[end] == '"':
				quoted = !quoted
			}
		}
		if end >= len(rest) {
			return address
		}
		address = rest[end+1:]
	}
	return address
}

// TypeOf is the type of the resource at an address.
func TypeOf(address string) string {
	resource := afterModules(plain(address))
	kind, _, _ := strings.Cut(resource, ".")
	return kind
}

// glob compares text with the parts of a pattern between its stars.
func glob(parts []string, text string) bool {
	if len(parts) == 1 {
		return parts[0] == text
	}
	if !strings.HasPrefix(text, parts[0]) {
		return false
	}
	text = text[len(parts[0]):]
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return strings.HasSuffix(text, last)
}
