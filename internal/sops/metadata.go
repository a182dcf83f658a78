package sops

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// metadata is what a file says of its own encryption.
type metadata struct {
	age              []recipient
	others           []string // keys of other kinds, for people
	mac              string
	modified         time.Time
	macOnlyEncrypted bool
	// encrypts says of the way to a value whether it is encrypted.
	encrypts func(at []string) bool
}

// recipient is the key of the values, for one age recipient.
type recipient struct{ recipient, enc string }

// otherKinds are the kinds of keys that are not used: each would ask a service, or a program,
// with whatever credentials the server happens to have. The value is what names a key.
var otherKinds = []struct{ field, word, names string }{
	{"pgp", "PGP", "fp"}, {"kms", "AWS KMS", "arn"}, {"gcp_kms", "GCP KMS", "resource_id"}, {"azure_kv", "Azure Key Vault", "name"},
	{"hc_vault", "Vault", "key_name"}, {"hckms", "Huawei Cloud KMS", "key_id"},
}

func readMetadata(raw map[string]any) (m metadata, err error) {
	if _, ok := raw["key_groups"]; ok {
		return m, errors.New("its key is divided among groups of keys (Shamir), which is not supported; encrypt it for one group")
	}
	for _, entry := range entries(raw, "age") {
		m.age = append(m.age, recipient{text(entry, "recipient"), text(entry, "enc")})
	}
	for _, kind := range otherKinds {
		for _, entry := range entries(raw, kind.field) {
			m.others = append(m.others, strings.TrimSpace(kind.word+" "+text(entry, kind.names)))
		}
	}
	slices.Sort(m.others)
	if len(m.age) == 0 {
		return m, fmt.Errorf("it is encrypted for %s, and only age keys are used here; add an age recipient to .sops.yaml, then: sops updatekeys", orNobody(m.others))
	}
	if m.mac = text(raw, "mac"); m.mac == "" {
		return m, errors.New("it has no MAC")
	}
	if m.modified, err = time.Parse(time.RFC3339, text(raw, "lastmodified")); err != nil {
		return m, errors.New("lastmodified is no time")
	}
	m.macOnlyEncrypted = strings.EqualFold(text(raw, "mac_only_encrypted"), "true")
	m.encrypts, err = selection(raw)
	return m, err
}

// selection reads which values are encrypted: all, but where one rule says otherwise.
func selection(raw map[string]any) (func(at []string) bool, error) {
	for _, unsupported := range []string{"encrypted_comment_regex", "unencrypted_comment_regex"} {
		if text(raw, unsupported) != "" {
			return nil, fmt.Errorf("%s is not supported; name the values with encrypted_regex", unsupported)
		}
	}
	suffix := func(end string) func(string) bool {
		return func(name string) bool { return strings.HasSuffix(name, end) }
	}
	all := func([]string) bool { return true }
	choose := all
	for _, rule := range []struct {
		field     string
		regex     bool
		encrypted bool
	}{{"unencrypted_suffix", false, false}, {"encrypted_suffix", false, true}, {"unencrypted_regex", true, false}, {"encrypted_regex", true, true}} {
		written := text(raw, rule.field)
		if written == "" {
			continue
		}
		matches := suffix(written)
		if rule.regex {
			re, err := regexp.Compile(written)
			if err != nil {
				return nil, fmt.Errorf("%s is no regular expression", rule.field)
			}
			matches = re.MatchString
		}
		before := choose
		if rule.encrypted {
			choose = func(at []string) bool { return slices.ContainsFunc(at, matches) }
		} else {
			choose = func(at []string) bool { return before(at) && !slices.ContainsFunc(at, matches) }
		}
	}
	return choose, nil
}

// entries are the objects in a list.
func entries(raw map[string]any, name string) (out []map[string]any) {
	list, _ := raw[name].([]any)
	for _, e := range list {
		if entry, ok := e.(map[string]any); ok {
			out = append(out, entry)
		}
	}
	return out
}

// text is a value as a text, "" without one.
func text(raw map[string]any, name string) string {
	if raw[name] == nil {
		return ""
	}
	return strings.TrimSpace(fmt.Sprint(raw[name]))
}
