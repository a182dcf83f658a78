package forge

import (
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

func TestValidate(t *testing.T) {
	good := Config{Kind: Gitea, URL: "https://gitea.example.com", Repo: "acme/infra", Token: canary}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(*Config)
		says   string
	}{
		{"kind", func(c *Config) { c.Kind = "svn" }, "github, gitlab and gitea"},
		{"no URL", func(c *Config) { c.URL = "" }, "https://gitea.example.com"},
		{"URL without a scheme", func(c *Config) { c.URL = "gitea.example.com" }, "an address like"},
		{"another scheme", func(c *Config) { c.URL = "ssh://gitea.example.com" }, "an address like"},
		{"a credential in the URL", func(c *Config) { c.URL = "https://u:" + canary + "@gitea.example.com" }, "give only the address"},
		{"a query", func(c *Config) { c.URL = "https://gitea.example.com?x=y" }, "give only the address"},
		{"no path", func(c *Config) { c.Repo = "" }, "owner/name"},
		{"one name", func(c *Config) { c.Repo = "infra" }, "owner/name"},
		{"a subgroup on Gitea", func(c *Config) { c.Repo = "acme/platform/infra" }, "owner/name"},
		{"a way out", func(c *Config) { c.Repo = "../admin" }, `".."`},
		{"a query in the path", func(c *Config) { c.Repo = "acme/infra?x" }, `"infra?x"`},
		{"an escape", func(c *Config) { c.Repo = "acme/%2e%2e" }, "can't be a part"},
		{"no token", func(c *Config) { c.Token = "" }, "https://gitea.example.com/user/settings/applications"},
		{"a token with an end of line", func(c *Config) { c.Token = canary + "\n" }, "copy it again"},
		{"an app on Gitea", func(c *Config) { c.Token, c.App = "", &App{ID: 1} }, "only GitHub has apps"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := good
			test.change(&c)
			err := c.Validate()
			noCanary(t, err)
			if core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Validate() = %v, which does not say %q", err, test.says)
			}
			if _, opened := Open(c); core.CodeOf(opened) != core.Invalid {
				t.Errorf("Open() = %v", opened)
			}
		})
	}
	for _, test := range []struct {
		app  App
		says string
	}{
		{App{}, "the app's ID is missing"},
		{App{ID: 1, Installation: -1}, "negative"},
		{App{ID: 1}, "no RSA key"},
		{App{ID: 1, Key: "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\n"}, "no RSA key"},
	} {
		err := Config{Kind: GitHub, URL: "https://github.com", Repo: "acme/infra", App: &test.app}.Validate()
		if core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v: %v, which does not say %q", test.app, err, test.says)
		}
	}
}

func TestAddressOfTheAPI(t *testing.T) {
	for page, want := range map[string]string{
		"https://github.com":          "https://api.github.com",
		"https://www.GitHub.com":      "https://api.github.com",
		"https://acme.ghe.com":        "https://api.acme.ghe.com",
		"https://git.example.com":     "https://git.example.com/api/v3",
		"http://git.example.com:8080": "http://git.example.com:8080/api/v3",
	} {
		client := open(t, Config{Kind: GitHub, URL: page + "/", Repo: "acme/infra", Token: canary}).(*github)
		if client.api != want {
			t.Errorf("the API of %s is at %s, not %s", page, client.api, want)
		}
	}
	if api := open(t, Config{Kind: GitLab, URL: "https://example.com/gitlab/", Repo: "a/b/c", Token: canary}).(*gitlab).api; api != "https://example.com/gitlab/api/v4" {
		t.Error(api)
	}
}

func TestDetect(t *testing.T) {
	for _, test := range []struct{ address, kind, url, repo string }{
		{"https://github.com/acme/infra.git", GitHub, "https://github.com", "acme/infra"},
		{"https://github.com/acme/infra", GitHub, "https://github.com", "acme/infra"},
		{"http://www.github.com/acme/infra/", GitHub, "https://github.com", "acme/infra"},
		{"git@github.com:acme/infra.git", GitHub, "https://github.com", "acme/infra"},
		{"ssh://git@ssh.github.com:443/acme/infra.git", GitHub, "https://github.com", "acme/infra"},
		{"https://gitlab.com/acme/platform/infra.git", GitLab, "https://gitlab.com", "acme/platform/infra"},
		{"git@gitlab.com:acme/platform/infra.git", GitLab, "https://gitlab.com", "acme/platform/infra"},
		{"https://gitea.example.com/acme/infra.git", "", "https://gitea.example.com", "acme/infra"},
		{"http://127.0.0.1:3000/acme/infra.git", "", "http://127.0.0.1:3000", "acme/infra"},
		{"ssh://git@Git.example.com:2222/acme/infra.git", "", "https://git.example.com", "acme/infra"},
		{"ssh://git@[::1]:2222/acme/infra.git", "", "https://[::1]", "acme/infra"},
		{"git.example.com:acme/infra", "", "https://git.example.com", "acme/infra"},
		{"git@git.example.com:/acme/infra.git", "", "https://git.example.com", "acme/infra"},
	} {
		kind, url, repo, ok := Detect(test.address)
		if !ok || kind != test.kind || url != test.url || repo != test.repo {
			t.Errorf("Detect(%q) = %q, %q, %q, %v", test.address, kind, url, repo, ok)
		}
	}
	for _, address := range []string{"", "/srv/git/infra.git", "./infra", "file:///srv/git/infra.git", `C:\git\infra`, "c:/git/infra", "ext::sh -c id", "host::a/b", "https://github.com",
		"https://github.com/acme", "https://github.com/acme/infra/tree", "https:///a/b", "git@github.com:acme/..", "git@github.com:acme/a b", "-oProxyCommand=x:acme/infra",
		"https://git.example.com/a/../b", "https://git.example.com/a//b", "https://git.example.com/a/%00", "git://git.example.com/acme/infra", "https://%zz/a/b"} {
		if kind, url, repo, ok := Detect(address); ok {
			t.Errorf("Detect(%q) = %q, %q, %q", address, kind, url, repo)
		}
	}
}

// FuzzDetect: what is found can be opened.
func FuzzDetect(f *testing.F) {
	for _, seed := range []string{"https://github.com/acme/infra.git", "git@gitlab.com:a/b/c.git", "ssh://git@h:22/a/b", "c:\\x", "a:b/c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		kind, url, repo, ok := Detect(address)
		if !ok {
			if kind != "" || url != "" || repo != "" {
				t.Errorf("Detect(%q) = %q, %q, %q, false", address, kind, url, repo)
			}
			return
		}
		c := Config{Kind: kind, URL: url, Repo: repo, Token: "x"}
		if kind == "" {
			c.Kind = GitLab
		}
		if err := c.Validate(); err != nil {
			t.Errorf("Detect(%q) = %q, %q, %q: %v", address, kind, url, repo, err)
		}
	})
}
