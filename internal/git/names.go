package git

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ValidOID reports whether s is a full object name, SHA-1 or SHA-256.
func ValidOID(s string) bool {
	if len(s) != 40 && len(s) != 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// ValidBranch says why name cannot be a branch, by the rules of git check-ref-format
// and one more: it never starts with "-".
func ValidBranch(name string) error {
	switch {
	case name == "":
		return errors.New("it is empty")
	case len(name) > 200:
		return errors.New("it is longer than 200 bytes")
	case !utf8.ValidString(name):
		return errors.New("it is not UTF-8")
	case strings.HasPrefix(name, "-"):
		return errors.New(`it starts with "-"`)
	case name == "@" || name == "HEAD":
		return errors.New("git reserves that name")
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, "/") || strings.HasPrefix(name, "/"):
		return errors.New(`it starts with "/", or ends with "/" or "."`)
	}
	for _, part := range []string{"..", "//", "@{", "\\"} {
		if strings.Contains(name, part) {
			return fmt.Errorf("it contains %q", part)
		}
	}
	for _, r := range name {
		if unicode.IsControl(r) || strings.ContainsRune(" ~^:?*[", r) {
			return fmt.Errorf("it contains %q", r)
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock") {
			return fmt.Errorf("its part %q starts with \".\" or ends with \".lock\"", part)
		}
	}
	return nil
}

// CheckURL says why raw cannot be the address of a repository. It takes https, http,
// ssh, git and file URLs, scp-like addresses (user@host:path) and absolute paths. What
// git would run as a command, take for an option or show in a process list is refused.
func CheckURL(raw string) error {
	if raw == "" {
		return errors.New("it is empty")
	}
	if len(raw) > 2000 || !utf8.ValidString(raw) {
		return errors.New("it is longer than 2000 bytes or not UTF-8")
	}
	if strings.HasPrefix(raw, "-") {
		return errors.New(`it starts with "-"`)
	}
	for _, r := range raw {
		if unicode.IsControl(r) {
			return errors.New("it contains a control character")
		}
	}
	if filepath.IsAbs(raw) {
		return nil
	}
	if strings.Contains(raw, "://") {
		return checkURL(raw)
	}
	if helper, _, ok := strings.Cut(raw, "::"); ok && !strings.ContainsAny(helper, "/@:[") {
		return fmt.Errorf("%s:: is a remote helper, which would run a command", helper)
	}
	host, path, ok := strings.Cut(raw, ":")
	if !ok || strings.Contains(host, "/") {
		return errors.New("it is neither a URL, nor user@host:path, nor an absolute path")
	}
	return checkHost(host, path)
}

func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("it does not parse as a URL")
	}
	switch u.Scheme {
	case "https", "http", "ssh", "git", "file":
	default:
		return fmt.Errorf("%s is not one of the transports https, http, ssh, git and file", u.Scheme)
	}
	if _, ok := u.User.Password(); ok || u.User != nil && strings.HasPrefix(u.Scheme, "http") {
		return errors.New("it holds a credential, which lists of processes would show; " +
			"give the user that runs the server a git credential helper or an SSH key instead")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return errors.New("it has a query or a fragment")
	}
	if u.Scheme == "file" {
		if u.Host != "" && u.Host != "localhost" || !strings.HasPrefix(u.Path, "/") {
			return errors.New("a file URL is file:///absolute/path")
		}
		return nil
	}
	host := u.Hostname()
	if u.User != nil {
		host = u.User.Username() + "@" + host
	}
	return checkHost(host, u.Path)
}

func checkHost(host, path string) error {
	user, name, ok := strings.Cut(host, "@")
	if !ok {
		user, name = "", host
	}
	switch {
	case name == "":
		return errors.New("it names no host")
	case strings.HasPrefix(name, "-") || strings.HasPrefix(user, "-"):
		return errors.New(`its host or user starts with "-"`)
	case strings.HasPrefix(path, "-"):
		return errors.New(`its path starts with "-"`)
	case strings.Trim(path, "/") == "":
		return errors.New("it names no path")
	case strings.ContainsAny(host, " \t'\"\\;|&$`<>(){}*?!"):
		return errors.New("its host has characters that no host name has")
	}
	return nil
}
