package forge

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Open returns the client of a repository. It asks the forge nothing. Keep the client: the token of a GitHub app, which is good for an
// hour, is in it.
// core.Invalid: see Validate.
func Open(c Config) (Client, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.URL = strings.TrimRight(c.URL, "/")
	switch c.Kind {
	case GitHub:
		return openGitHub(c, time.Now)
	case GitLab:
		return openGitLab(c), nil
	default:
		return openGitea(c), nil
	}
}

// Validate returns core.Invalid with what is missing or wrong, and where to get it.
func (c Config) Validate() error {
	switch c.Kind {
	case GitHub, GitLab, Gitea:
	default:
		return core.Errorf(core.Invalid, "%q is no kind of forge; there are github, gitlab and gitea (Forgejo, too)", c.Kind)
	}
	if err := c.validateURL(); err != nil {
		return err
	}
	if err := c.validateRepo(); err != nil {
		return err
	}
	return c.validateToken()
}

func (c Config) validateURL() error {
	u, err := url.Parse(c.URL)
	switch {
	case c.URL == "":
		return core.Errorf(core.Invalid, "the forge's URL is missing: the address of its pages, as https://gitea.example.com")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return core.Errorf(core.Invalid, "the forge's URL has to be an address like https://gitea.example.com")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return core.Errorf(core.Invalid, "the forge's URL holds a user, a query or a fragment; give only the address of its pages, as https://%s", u.Host)
	}
	return nil
}

// validateRepo: the path becomes part of addresses, where ".." would be another one.
func (c Config) validateRepo() error {
	parts := strings.Split(c.Repo, "/")
	if len(parts) < 2 || len(parts) > 2 && c.Kind != GitLab {
		form := "owner/name"
		if c.Kind == GitLab {
			form = "group/name or group/subgroup/name"
		}
		return core.Errorf(core.Invalid, "the repository's path on the forge is %q; it has to be %s", c.Repo, form)
	}
	for _, part := range parts {
		if !plain(part) {
			return core.Errorf(core.Invalid, "the repository's path on the forge is %q; %q can't be a part of it", c.Repo, part)
		}
	}
	return nil
}

func (c Config) validateToken() error {
	if c.App != nil {
		switch {
		case c.Kind != GitHub:
			return core.Errorf(core.Invalid, "only GitHub has apps; give a token. %s", c.where())
		case c.Token != "":
			return core.Errorf(core.Invalid, "both a token and an app are given; one is what Terrace is on the forge")
		case c.App.ID <= 0:
			return core.Errorf(core.Invalid, "the app's ID is missing; it is on the app's page, under %s/settings/apps", c.URL)
		case c.App.Installation < 0:
			return core.Errorf(core.Invalid, "the installation's ID is negative; 0 looks it up")
		}
		_, err := parseKey(c.App.Key)
		return err
	}
	if c.Token == "" {
		return core.Errorf(core.Invalid, "a token is missing. %s", c.where())
	}
	for _, r := range c.Token {
		if r <= ' ' || r > '~' {
			return core.Errorf(core.Invalid, "the token holds a space, an end of line or something else that no token has; copy it again")
		}
	}
	return nil
}

// where says where to get a token, and what it has to be allowed.
func (c Config) where() string {
	u := strings.TrimRight(c.URL, "/")
	switch c.Kind {
	case GitHub:
		return "A token is made under " + u + "/settings/personal-access-tokens/new (for the repository: contents read, pull requests write, commit statuses write); an app is made under " + u + "/settings/apps, with the same"
	case GitLab:
		return "A project's token is made under " + u + "/" + c.Repo + "/-/settings/access_tokens (role Developer, scope api)"
	default:
		return "A token is made under " + u + "/user/settings/applications (scopes write:repository and write:issue), by a user who may write to the repository"
	}
}

// httpClient is the given one or one with a timeout, which follows redirects only within the forge: one to another host
// would carry the token there, and one that turns a POST into a GET would seem to have worked.
func (c Config) httpClient() *http.Client {
	client := http.Client{}
	if c.Client != nil {
		client = *c.Client
	}
	if client.Timeout == 0 {
		client.Timeout = time.Minute
	}
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		first := via[0]
		if len(via) > 3 || req.Method != first.Method || req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme {
			return http.ErrUseLastResponse
		}
		return nil
	}
	return &client
}
