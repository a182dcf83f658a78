package parity

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/terrace-cd/terrace/internal/statefile"
)

// What a text stands for is written in its place as ${…}. What is in such a place already
// stays as it is, and a text is gone over until nothing more is found, so that normalising
// twice is normalising once.
var placeholder = regexp.MustCompile(`\$\{[^{}]*\}`)

// depth is how much is taken for an identity.
type depth uint8

const (
	// asWritten is for what code gives: the environment's name, what other resources are,
	// and the host part of an address range.
	asWritten depth = iota
	// asChosen is for what a provider chose: everything that has the shape of an identity
	// as well.
	asChosen
)

// normaliser says what the texts of one environment stand for.
type normaliser struct {
	names []string // of the environment, in lower case, longest first
	refs  references
}

func newNormaliser(environment string, more []string) *normaliser {
	n := &normaliser{refs: references{values: map[string]owner{}}}
	for _, name := range append([]string{environment}, more...) {
		name = strings.ToLower(name)
		for _, form := range []string{name, strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "_", "-"), strings.NewReplacer("-", "", "_", "").Replace(name)} {
			if form != "" && !slices.Contains(n.names, form) {
				n.names = append(n.names, form)
			}
		}
	}
	slices.SortStableFunc(n.names, func(a, b string) int { return len(b) - len(a) })
	return n
}

// value normalises a value. self is the attribute that it is of.
func (n *normaliser) value(v any, d depth, self place) any {
	switch v := v.(type) {
	case string:
		return n.text(v, d, self)
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = n.value(e, d, self)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[n.environment(k)] = n.value(e, d, self)
		}
		return out
	}
	return v
}

// passes bounds how often a text is gone over. Each takes something away that none brings
// back, so it comes to rest by itself long before.
const passes = 20

func (n *normaliser) text(s string, d depth, self place) string {
	if len(s) > maxText {
		return s
	}
	for range passes {
		next := outside(s, func(part string) string { return n.pass(part, d, self) })
		if next == s {
			break
		}
		s = next
	}
	return s
}

// maxText is the longest text that is looked into; what is longer is data.
const maxText = 64 << 10

func (n *normaliser) pass(s string, d depth, self place) string {
	s = n.refs.replace(s, self)
	s = outside(s, ranges)
	s = outside(s, n.environment)
	if d == asChosen {
		s = outside(s, chosen)
	}
	return s
}

// outside changes what is not in a placeholder.
func outside(s string, f func(string) string) string {
	if !strings.Contains(s, "${") {
		return f(s)
	}
	var out strings.Builder
	from := 0
	for _, at := range placeholder.FindAllStringIndex(s, -1) {
		if from < at[0] {
			out.WriteString(f(s[from:at[0]]))
		}
		out.WriteString(s[at[0]:at[1]])
		from = at[1]
	}
	if from < len(s) {
		out.WriteString(f(s[from:]))
	}
	return out.String()
}

// theEnvironment stands for the environment's name.
const theEnvironment = "${environment}"

// anywhere is the length from which a name is found inside of words, as in
// "shopproductiondata". A shorter one has to be a word: "dev" is not in "device".
const anywhere = 6

// environment replaces the environment's name, in whatever case.
func (n *normaliser) environment(s string) string {
	lower := strings.ToLower(s)
	if len(lower) != len(s) {
		return s // letters that change their size with their case
	}
	var out strings.Builder
	for i := 0; i < len(s); {
		name := ""
		for _, candidate := range n.names {
			if strings.HasPrefix(lower[i:], candidate) && isWord(s, i, i+len(candidate)) {
				name = candidate
				break
			}
		}
		if name == "" {
			out.WriteByte(s[i])
			i++
			continue
		}
		out.WriteString(theEnvironment)
		i += len(name)
	}
	return out.String()
}

// isWord reports whether s[from:to] stands for itself: between other characters than
// letters, or where the case changes as in webDev and devServer.
func isWord(s string, from, to int) bool {
	if to-from >= anywhere {
		return true
	}
	lower := func(c byte) bool { return c >= 'a' && c <= 'z' }
	upper := func(c byte) bool { return c >= 'A' && c <= 'Z' }
	begins := from == 0 || !lower(s[from-1]) && !upper(s[from-1]) || lower(s[from-1]) && upper(s[from])
	ends := to == len(s) || !lower(s[to]) && !upper(s[to]) || lower(s[to-1]) && upper(s[to])
	return begins && ends
}

var cidr = regexp.MustCompile(`[0-9a-fA-F:.]*[0-9a-fA-F:]/\d{1,3}\b`)

// ranges takes the host part out of address ranges: 10.0.3.7/16 is 10.0.0.0/16. The network
// itself is no identity: 0.0.0.0/0 instead of an office's network is what must be found.
func ranges(s string) string {
	if !strings.Contains(s, "/") {
		return s
	}
	return cidr.ReplaceAllStringFunc(s, func(text string) string {
		if p, err := netip.ParsePrefix(text); err == nil && p.Addr() != p.Masked().Addr() {
			return p.Masked().String()
		}
		return text
	})
}

// shape is what identities look like, whoever gives them.
type shape struct {
	pattern *regexp.Regexp
	stands  func(text string) string // "" when it is none after all
}

func always(placeholder string) func(string) string {
	return func(string) string { return placeholder }
}

var shapes = []shape{
	{regexp.MustCompile(`\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b`), always("${uuid}")},
	{regexp.MustCompile(`\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2}| ?UTC)?`), always("${time}")},
	{regexp.MustCompile(`\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} (?:GMT|UTC)\b`), always("${time}")},
	{regexp.MustCompile(`\b(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}\b`), always("${mac}")},
	{regexp.MustCompile(`\b\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2}|:\d{1,5})?\b`), addressOf},
	{regexp.MustCompile(`\[?[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}\]?(?:/\d{1,3})?`), addressOf},
	{regexp.MustCompile(`\b[0-9A-Za-z]{10,}\b`), generated},
}

// chosen replaces what has the shape of an identity.
func chosen(s string) string {
	for _, sh := range shapes {
		s = outside(s, func(part string) string {
			return sh.pattern.ReplaceAllStringFunc(part, func(text string) string {
				if p := sh.stands(text); p != "" {
					return p
				}
				return text
			})
		})
	}
	return s
}

// addressOf tells the kind of an IP address, with or without a port. A range is no
// address.
func addressOf(text string) string {
	if strings.Contains(text, "/") {
		return ""
	}
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		port, err := netip.ParseAddrPort(text)
		if err != nil {
			return ""
		}
		addr = port.Addr()
	}
	switch {
	case addr.IsUnspecified():
		return "" // everybody is no identity
	case addr.IsLoopback():
		return "${loopback address}"
	case addr.IsLinkLocalUnicast():
		return "${link-local address}"
	case addr.IsMulticast():
		return "${multicast address}"
	case addr.IsPrivate():
		return "${private address}"
	}
	return "${public address}"
}

// generated recognises what a machine made up: hexadecimal digits, capitals with digits, a
// mixture of all, or nothing but digits.
func generated(text string) string {
	digits, lower, upper, hex := 0, 0, 0, true
	for _, c := range []byte(text) {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'z':
			lower++
			hex = hex && c <= 'f'
		default:
			upper++
			hex = hex && c <= 'F'
		}
	}
	switch {
	case digits == len(text) && len(text) >= 12,
		hex && digits > 0 && digits < len(text),
		lower == 0 && digits > 0 && upper > 0,
		len(text) >= 16 && digits > 1 && lower > 1 && upper > 1:
		return "${generated " + strconv.Itoa(len(text)) + "}"
	}
	return ""
}

// secretShape is what is compared of a secret that a machine made up: how long it is, or what
// kind of thing. It is never shown.
func secretShape(v any) any {
	s, ok := v.(string)
	if !ok {
		return v
	}
	if rest, ok := strings.CutPrefix(strings.TrimSpace(s), "-----BEGIN "); ok {
		kind, _, _ := strings.Cut(rest, "-----")
		return "${" + kind + "}"
	}
	return "${secret of " + strconv.Itoa(len(s)) + "}"
}

// withoutSecrets puts what a thing's own secrets look like in the place of them, in a text
// such as an address to log in at.
func (it *item) withoutSecrets(v any) any {
	s, ok := v.(string)
	if !ok {
		return v
	}
	for path, value := range statefile.Flat(it.attributes) {
		secret, ok := value.(string)
		if ok && len(secret) >= shortestInside && strings.Contains(s, secret) && (it.marked(path) || statefile.NamedSecret(path)) {
			s = strings.ReplaceAll(s, secret, text(secretShape(secret)))
		}
	}
	return s
}

// moment recognises attributes with seconds since 1970.
var moment = regexp.MustCompile(`(?i)(^|_)(at|time|timestamp|date|epoch)$`)

// chosenNumber normalises a number that a provider chose.
func chosenNumber(path string, v any) any {
	n, ok := v.(json.Number)
	if !ok || !moment.MatchString(path) {
		return v
	}
	if f, err := n.Float64(); err == nil && f > 1e9 {
		return "${time}"
	}
	return v
}
