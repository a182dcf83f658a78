package git

import (
	"strings"
	"testing"
)

func TestValidBranch(t *testing.T) {
	for _, name := range []string{"main", "feature/x-1", "release/2.0", "ümläut", "a;id", "$(id)", "v1.0", "a'b", "x@y"} {
		if err := ValidBranch(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"", "-x", "--upload-pack=touch x", "a..b", "a b", "a\nb", "a\x00b", "a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "/a", "a/", "a//b",
		"a.", ".a", "a/.b", "a.lock", "a.lock/b", "@", "a@{b", "HEAD", "a\x7f", "\xff", strings.Repeat("x", 201),
	} {
		if ValidBranch(name) == nil {
			t.Errorf("%q is allowed", name)
		}
	}
}

// What ValidBranch lets pass, git takes for a branch, whatever it is.
func FuzzValidBranch(f *testing.F) {
	for _, s := range []string{"main", "-x", "a/b.lock", "é", "a@{b", "x\u0085y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if ValidBranch(name) != nil {
			return
		}
		if _, err := Run(t.Context(), Cmd{Args: []string{"check-ref-format", "refs/heads/" + name}}); err != nil {
			t.Errorf("git refuses %q: %v", name, err)
		}
	})
}

func TestCheckURL(t *testing.T) {
	for _, url := range []string{
		"/srv/git/shop.git", "/srv/with space;id/x", "file:///srv/git/shop.git", "https://git.example.org/team/shop.git", "http://127.0.0.1:3000/a/b",
		"ssh://git@git.example.org:2222/team/shop.git", "git@github.com:team/shop.git", "host:path/x", "ssh://[::1]/x", "git://h/x",
	} {
		if err := CheckURL(url); err != nil {
			t.Errorf("%q: %v", url, err)
		}
	}
	for _, url := range []string{
		"", "--upload-pack=touch /tmp/x", "-oProxyCommand=id:x", "ext::sh -c id", "fd::17", "https::x", "ssh://-oProxyCommand=id/x", "-h@host:x",
		"git@-oProxyCommand=id:x", "ssh://-x@host/y", "host:-x", "relative/path", "./x", "../x", "ftp://h/x", "transport://h/x", "https://h/x\nHost: y",
		"https://ana:secret@h/x", "https://token@h/x", "ssh://u:p@h/x", "https:///x", "https://h/x?y=z", "https://h", "file://other/x", "file://relative",
		"$(id)@h:x", "a\x00b:c", "%zz://",
	} {
		if CheckURL(url) == nil {
			t.Errorf("%q is allowed", url)
		}
	}
}

func TestValidOID(t *testing.T) {
	for s, want := range map[string]bool{
		strings.Repeat("a", 40): true, strings.Repeat("0", 64): true,
		"": false, "HEAD": false, strings.Repeat("A", 40): false, strings.Repeat("a", 41): false, strings.Repeat("a", 39) + "\n": false,
	} {
		if ValidOID(s) != want {
			t.Errorf("%q: %t", s, !want)
		}
	}
}
