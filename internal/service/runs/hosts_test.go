package runs

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

func TestRule09_OnlyHostsThatAreNotAsWantedRun(t *testing.T) {
	keys := []string{"ssh-ed25519 AAAA"}
	done := func(name, identity, digest string) core.Host {
		return core.Host{Name: name, Identity: identity, Digest: digest, Run: "r-0", Keys: keys}
	}
	for _, c := range []struct {
		name string
		want target
		row  *core.Host
		circumstances
		runs, anew, key bool
	}{
		{name: "never met", want: target{"web-1", "d", "i"}, runs: true, anew: true},
		{name: "up to date", want: target{"web-1", "d", "i"}, row: &core.Host{Identity: "i", Digest: "d", Run: "r-0", Keys: keys}},
		{name: "another content", want: target{"web-1", "e", "i"}, row: &core.Host{Identity: "i", Digest: "d", Run: "r-0", Keys: keys}, runs: true, key: true},
		{name: "another host with its name", want: target{"web-1", "e", "j"}, row: &core.Host{Identity: "i", Digest: "d", Run: "r-0", Keys: keys}, runs: true, anew: true},
		{name: "another host with its name and its digest", want: target{"web-1", "d", "j"}, row: &core.Host{Identity: "i", Digest: "d", Run: "r-0", Keys: keys}, runs: true, anew: true},
		{name: "drifted", want: target{"web-1", "d", "i"}, row: &core.Host{Identity: "i", Run: "r-0", Keys: keys}, runs: true, key: true},
		{name: "failed where it was met", want: target{"web-1", "d", "i"}, row: &core.Host{Identity: "i", Keys: keys}, runs: true, key: true},
		{name: "not reached", want: target{"web-1", "d", "i"}, row: &core.Host{Identity: "i"}, runs: true, anew: true},
		{name: "its key was forgotten", want: target{"web-1", "e", "i"}, row: &core.Host{Identity: "i", Digest: "d", Run: "r-0"}, runs: true},
		{name: "nothing tells, and something was made", want: target{"web-1", "e", ""}, row: &core.Host{Digest: "d", Run: "r-0", Keys: keys}, circumstances: circumstances{fresh: true}, runs: true, anew: true},
		{name: "nothing tells, and nothing was made", want: target{"web-1", "e", ""}, row: &core.Host{Digest: "d", Run: "r-0", Keys: keys}, runs: true, key: true},
		{name: "an identity tells, and something was made", want: target{"web-1", "e", "i"}, row: &core.Host{Identity: "i", Digest: "d", Run: "r-0", Keys: keys}, circumstances: circumstances{fresh: true}, runs: true, key: true},
		{name: "nothing tells, something was made, and it is up to date", want: target{"web-1", "d", ""}, row: &core.Host{Digest: "d", Run: "r-0", Keys: keys}, circumstances: circumstances{fresh: true}},
		{name: "everywhere", want: target{"web-1", "d", "i"}, row: &core.Host{Identity: "i", Digest: "d", Run: "r-0", Keys: keys}, circumstances: circumstances{run: "r-1", all: true}, runs: true, key: true},
		{name: "everywhere, and done by this run", want: target{"web-1", "d", "i"}, row: &core.Host{Identity: "i", Digest: "d", Run: "r-1", Keys: keys}, circumstances: circumstances{run: "r-1", all: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			known := []core.Host{done("other", "x", "y")}
			if c.row != nil {
				c.row.Name = c.want.name
				known = append(known, *c.row)
			}
			var want decision
			if c.runs {
				want.limit = []string{c.want.name}
			}
			if c.anew {
				want.anew = []string{c.want.name}
			}
			if c.key {
				want.keys = []wire.HostKeys{{Host: c.want.name, Keys: keys}}
			}
			got := decide([]target{{"other", "y", "x"}, c.want}, append(known[:1:1], known[1:]...), c.circumstances)
			if c.all {
				// The other one runs too: it is as wanted, and everything is asked for.
				want.limit = append([]string{"other"}, want.limit...)
				want.keys = append([]wire.HostKeys{{Host: "other", Keys: keys}}, want.keys...)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(decision{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestWhatIsNoHostKeyIsNotKept(t *testing.T) {
	long := make([]byte, maxKeyLength)
	for i := range long {
		long[i] = 'A'
	}
	got := plausible([]string{"ssh-ed25519 AAAA comment", "", "nothing", "ssh-rsa " + string(long), "ssh-rsa AAAA\nssh-rsa BBBB", "ssh-rsa AA\x00", "ssh-ed25519  AAAA", "ecdsa BBBB"})
	if diff := cmp.Diff([]string{"ecdsa BBBB", "ssh-ed25519 AAAA"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTheNewestResultOfAHostCounts(t *testing.T) {
	of := func(host, status string) wire.HostResult {
		return wire.HostResult{Recap: wire.Recap{Host: host}, Status: status}
	}
	got := merged([]wire.HostResult{of("a", "done"), of("c", "failed")}, []wire.HostResult{of("b", "done"), of("c", "done")})
	if diff := cmp.Diff([]wire.HostResult{of("a", "done"), of("b", "done"), of("c", "done")}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
