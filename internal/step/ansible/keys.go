package ansible

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Hosts are known to SSH by their names in the inventory. An address may be another
// host's tomorrow, and two hosts behind different bastions may have the same.

var plainName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)

// alias is the name under which a host is in known_hosts, where some characters mean
// something and case nothing. terrace_hosts.py has it too.
func alias(host string) string {
	if plainName.MatchString(host) {
		return host
	}
	sum := sha256.Sum256([]byte(host))
	return "host-" + hex.EncodeToString(sum[:])[:24]
}

// bastionName is the name of a bastion among hosts.
func bastionName(b wire.Bastion) string { return wire.BastionName + b.Host }

// known are the keys that hosts have to show, by host. Of a host that was made anew,
// only what its provider says holds.
func known(p wire.Provision) map[string]wire.HostKeys {
	out := map[string]wire.HostKeys{}
	for _, k := range p.HostKeys {
		if len(k.Keys) > 0 && (k.Given || !slices.Contains(p.Anew, k.Host)) {
			out[k.Host] = k
		}
	}
	return out
}

// knownHosts is a known_hosts file.
func knownHosts(keys map[string]wire.HostKeys) ([]byte, error) {
	var b bytes.Buffer
	for host, known := range keys {
		for _, key := range known.Keys {
			kind, blob, err := splitKey(key)
			if err != nil {
				return nil, &Failed{fmt.Sprintf("the host key of %s cannot be read: %v; it has to be as in a known_hosts file: TYPE BASE64", host, err)}
			}
			fmt.Fprintf(&b, "%s %s %s\n", alias(host), kind, blob)
		}
	}
	return b.Bytes(), nil
}

// splitKey reads a public key as an authorized_keys or known_hosts file has it.
func splitKey(key string) (kind, blob string, err error) {
	parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key))
	if err != nil {
		return "", "", fmt.Errorf("%q: %w", strings.TrimSpace(key), err)
	}
	kind, blob, _ = strings.Cut(strings.TrimSpace(string(ssh.MarshalAuthorizedKey(parsed))), " ")
	return kind, blob, nil
}

// learned are the keys in the file that were met for the first time.
func learned(file string, p wire.Provision) ([]wire.HostKeys, error) {
	names := map[string]string{}
	for _, host := range p.Hosts {
		names[alias(host)] = host
	}
	if p.Bastion != nil {
		names[alias(bastionName(*p.Bastion))] = bastionName(*p.Bastion)
	}
	for host := range known(p) {
		delete(names, alias(host)) // nothing else is accepted of them
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	found := map[string][]string{}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 || names[fields[0]] == "" {
			continue
		}
		host, key := names[fields[0]], fields[1]+" "+fields[2]
		if !slices.Contains(found[host], key) {
			found[host] = append(found[host], key)
		}
	}
	var out []wire.HostKeys
	for _, host := range sortedKeys(found) {
		slices.Sort(found[host])
		out = append(out, wire.HostKeys{Host: host, Keys: found[host]})
	}
	return out, lines.Err()
}

// otherKey says that a host shows another key than the one that it had.
func (o Options) otherKey(host, shown string) string {
	had := known(o.Provision)[host]
	var fingerprints []string
	for _, key := range had.Keys {
		if parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key)); err == nil {
			fingerprints = append(fingerprints, parsed.Type()+" "+ssh.FingerprintSHA256(parsed))
		}
	}
	now := ""
	if shown != "" {
		now = ", and it shows " + shown
	}
	what := called(host)
	if had.Given {
		return fmt.Sprintf("%s does not have the host key that host_keys of the ansible block says (%s)%s. Either that is not up to date, or something stands between; nothing was run",
			what, strings.Join(fingerprints, ", "), now)
	}
	if len(fingerprints) == 0 {
		return fmt.Sprintf("%s has another host key than a moment ago%s; something may stand between. Nothing was run", what, now)
	}
	return fmt.Sprintf("%s has another host key than before: it had %s%s. If it was made anew without Terrace, and nothing stands between, forget the old one with: terrace hosts forget %s %s",
		what, strings.Join(fingerprints, ", "), now, o.Instance, host)
}
