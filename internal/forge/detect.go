package forge

import (
	"net/url"
	"strings"
)

// Detect reads the address that a repository is cloned from: https://, ssh:// or user@host:path. The kind is "" when the
// host does not tell. ok is false for what is on no forge, like a folder.
func Detect(repoURL string) (kind, url, repo string, ok bool) {
	scheme, host, path, ok := cloneAddress(repoURL)
	if !ok {
		return "", "", "", false
	}
	host = strings.ToLower(host)
	switch host {
	case "github.com", "www.github.com", "ssh.github.com":
		kind, scheme, host = GitHub, "https", "github.com"
	case "gitlab.com", "www.gitlab.com", "altssh.gitlab.com":
		kind, scheme, host = GitLab, "https", "gitlab.com"
	}
	found := Config{Kind: kind, URL: scheme + "://" + host, Repo: strings.TrimSuffix(strings.Trim(path, "/"), ".git")}
	if found.Kind == "" {
		found.Kind = GitLab // takes the longest paths
	}
	if found.validateURL() != nil || found.validateRepo() != nil {
		return "", "", "", false
	}
	return kind, found.URL, found.Repo, true
}

// cloneAddress returns the scheme and the host of the forge's pages, as far as the address tells, and the path. The port of an ssh server is
// none of the pages'.
func cloneAddress(raw string) (scheme, host, path string, ok bool) {
	if strings.Contains(raw, "://") {
		u, err := url.Parse(raw)
		if err != nil || u.Hostname() == "" {
			return "", "", "", false
		}
		switch u.Scheme {
		case "https", "http":
			return u.Scheme, u.Host, u.Path, true
		case "ssh":
			return "https", bracketed(u.Hostname()), u.Path, true
		}
		return "", "", "", false
	}
	host, path, ok = strings.Cut(raw, ":")
	if _, after, found := strings.Cut(host, "@"); found {
		host = after
	}
	// One letter is a drive, and two colons are a remote helper.
	if !ok || len(host) < 2 || strings.ContainsAny(host, "/\\@ ") || strings.HasPrefix(path, ":") || strings.HasPrefix(host, "-") {
		return "", "", "", false
	}
	return "https", host, path, true
}

func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
