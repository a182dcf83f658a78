package runs

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/seal"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/store"
	"github.com/terrace-cd/terrace/internal/wire"
)

// bench is a service with an instance, web@dev, and a run of it.
type bench struct {
	*Service
	t *testing.T
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(t.Context(), filepath.Join(dir, "terrace.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	ring, err := seal.Open(filepath.Join(dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{&Service{Store: db, Seal: ring, Bus: bus.New()}, t}
	b.do(func(tx core.Tx) error {
		return errors.Join(tx.AddProject(core.Project{Name: "shop", Branch: "main"}), tx.AddRelease(core.Release{Project: "shop", Number: 1, Commit: "abc"}),
			tx.AddRollout(core.Rollout{ID: "ro-all", Project: "shop", Release: core.Release{Number: 1, Commit: "abc"}, Status: core.RolloutRunning, AllHosts: true}))
	})
	return b
}

func (b *bench) do(f func(core.Tx) error) {
	b.t.Helper()
	if err := b.Store.Update(b.t.Context(), f); err != nil {
		b.t.Fatal(err)
	}
}

// run adds a run that provisions.
func (b *bench) run(id string, change func(*core.Run)) core.Run {
	b.t.Helper()
	run := core.Run{ID: id, Project: "shop", Stack: "web", Environment: "dev", Kind: core.KindDeploy, Status: core.RunProvisioning, Release: core.Release{Number: 1, Commit: "abc"}, Fence: 1}
	if change != nil {
		change(&run)
	}
	b.do(func(tx core.Tx) error { return tx.AddRun(run) })
	return run
}

// over takes the run out of the way of the next.
func (b *bench) over(run core.Run) {
	b.t.Helper()
	b.do(func(tx core.Tx) error {
		from := run.Status
		run.Status = core.RunFailed
		return tx.UpdateRun(run, from)
	})
}

// wants is an aim at hosts, written NAME:DIGEST:IDENTITY.
func wants(hosts ...string) *aim {
	a := &aim{block: &config.Ansible{Playbook: "site.yml", Inventory: map[string][]config.Host{}}, digest: "all " + strings.Join(hosts, " ")}
	for _, h := range hosts {
		parts := strings.Split(h, ":")
		a.hosts = append(a.hosts, target{parts[0], parts[1], parts[2]})
		a.block.Inventory["web"] = append(a.block.Inventory["web"], config.Host{Name: parts[0]})
	}
	return a
}

// order gives an order, and says where it goes, and which hosts are new.
func (b *bench) order(run core.Run, a *aim, purpose string) string {
	b.t.Helper()
	var o order
	b.do(func(tx core.Tx) (err error) {
		o, err = b.Service.order(tx, run, a, purpose)
		return err
	})
	p := o.left()
	if p == nil {
		return ""
	}
	said := strings.Join(p.Limit, " ")
	if len(p.Anew) > 0 {
		said += " anew " + strings.Join(p.Anew, " ")
	}
	for _, k := range p.HostKeys {
		said += fmt.Sprintf(" %s=%s", k.Host, strings.Join(k.Keys, ","))
	}
	return said
}

// ends reports how Ansible ended, by host.
func (b *bench) ends(run core.Run, well bool, statuses map[string]string, keys ...wire.HostKeys) {
	b.t.Helper()
	report := wire.Provisioned{HostKeys: keys}
	for host, status := range statuses {
		report.Hosts = append(report.Hosts, wire.HostResult{Recap: wire.Recap{Host: host, OK: 1}, Status: status})
	}
	b.do(func(tx core.Tx) error { return b.record(tx, run, report, well) })
}

// known is what the store has of the hosts, as NAME:DIGEST:IDENTITY:RUN:KEYS.
func (b *bench) known(want ...string) {
	b.t.Helper()
	var got []string
	b.do(func(tx core.Tx) error {
		hosts, err := tx.Hosts("shop", "web", "dev")
		for _, h := range hosts {
			got = append(got, strings.Join([]string{h.Name, h.Digest, h.Identity, h.Run, strings.Join(h.Keys, ",")}, ":"))
		}
		return err
	})
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("the hosts (-want +got):\n%s", diff)
	}
}

func (b *bench) provision() (digest string) {
	b.do(func(tx core.Tx) error {
		i, err := tx.Instance("shop", "web", "dev")
		digest = i.Provision
		return err
	})
	return digest
}

func is(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestRule18_HostsThatAreDoneStayDone(t *testing.T) {
	b := newBench(t)
	key := wire.HostKeys{Host: "b", Keys: []string{"ssh-ed25519 AAAA"}}
	all := wants("a:1:x", "b:1:y", "c:1:")
	first := b.run("r-1", nil)
	is(t, "the first order", b.order(first, all, afterApply), "a b c anew a b c")
	b.ends(first, false, map[string]string{"a": "done", "b": "failed", "c": "left"}, key, wire.HostKeys{Host: "stranger", Keys: []string{"ssh-ed25519 AAAA"}})
	b.known("a:1:x:r-1:", "b::y::ssh-ed25519 AAAA", "c::::")
	is(t, "the digest of all", b.provision(), "")
	is(t, "the same again", b.order(first, wants("z:1:"), afterApply), "a b c anew a b c")
	b.over(first)

	second := b.run("r-2", nil)
	is(t, "the retry", b.order(second, all, afterApply), "b c anew c b=ssh-ed25519 AAAA")
	b.ends(second, true, nil)
	b.ends(second, true, nil) // after a lost reply
	b.known("a:1:x:r-1:", "b:1:y:r-2:ssh-ed25519 AAAA", "c:1::r-2:")
	is(t, "the digest of all", b.provision(), all.digest)
	is(t, "nothing is left in the run", b.order(second, all, afterApply), "")
	b.over(second)

	third := b.run("r-3", nil)
	is(t, "a host that left", b.order(third, wants("a:1:x", "b:1:y"), afterApply), "")
	b.known("a:1:x:r-1:", "b:1:y:r-2:ssh-ed25519 AAAA")
	b.over(third)

	fourth := b.run("r-4", func(r *core.Run) { r.Changes.Replace = 1 })
	is(t, "another host with that name", b.order(fourth, wants("a:1:x", "b:1:z"), afterApply), "b anew b")
	b.known("a:1:x:r-1:", "b::z::") // what is known is of another, whatever comes of the run
	b.over(fourth)

	fifth := b.run("r-5", func(r *core.Run) { r.Rollout = "ro-all" })
	is(t, "everywhere", b.order(fifth, wants("a:1:x", "b:1:z"), afterApply), "a b anew b")
	b.ends(fifth, false, map[string]string{"a": "unreachable", "b": "done"})
	b.over(fifth)
	sixth := b.run("r-6", nil)
	is(t, "what is left of everywhere", b.order(sixth, wants("a:1:x", "b:1:z"), afterApply), "a")
	b.ends(sixth, true, map[string]string{"a": "done"})
	b.over(sixth)

	is(t, "no Ansible any more", b.order(b.run("r-7", nil), nil, afterApply), "")
	b.known()
	is(t, "the digest of all", b.provision(), "")
}

func TestHostsFromBeforeThereWereRowsAreDone(t *testing.T) {
	b := newBench(t)
	all := wants("a:1:x", "b:1:y")
	b.do(func(tx core.Tx) error {
		return tx.PutInstance(core.InstanceState{Project: "shop", Stack: "web", Environment: "dev", Provision: all.digest})
	})
	run := b.run("r-1", nil)
	is(t, "the order", b.order(run, all, afterApply), "")
	b.known("a:1:x::", "b:1:y::")
	b.over(run)
	is(t, "then one changes", b.order(b.run("r-2", nil), wants("a:1:x", "b:2:y"), afterApply), "b")
}

func TestWhatWasDoneInTheMiddleOfAnApplyIsNotDoneAgain(t *testing.T) {
	b := newBench(t)
	run := b.run("r-1", func(r *core.Run) { r.Status = core.RunApplying })
	one, err := purposeOf(wire.During{Outputs: map[string]json.RawMessage{"a": json.RawMessage(`1`), "b": json.RawMessage(`2`)}})
	if err != nil {
		t.Fatal(err)
	}
	is(t, "in the middle", b.order(run, wants("a:1:x"), one), "a anew a")
	is(t, "after a lost reply", b.order(run, wants("a:2:x"), one), "a anew a")
	b.ends(run, true, nil)
	is(t, "asked once more", b.order(run, wants("a:2:x"), one), "")
	is(t, "with other outputs", b.order(run, wants("a:1:x", "b:1:y"), "during something else"), "b anew b")
	b.ends(run, true, nil)
	b.known("a:1:x:r-1:", "b:1:y:r-1:")
	is(t, "in the end", b.order(run, wants("a:1:x", "b:1:y"), afterApply), "")
}

func TestRule11_AnApprovalIsForWhatAnsibleWouldDo(t *testing.T) {
	known := []core.Host{{Name: "a", Digest: "1", Identity: "x", Run: "r-0"}, {Name: "b", Digest: "0", Identity: "y", Run: "r-0"}}
	would := func(o *outlook, known []core.Host) foresight {
		f, err := foresee(o, known, circumstances{run: "r-1"})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	aim := wants("a:1:x", "b:1:y")
	f := would(&outlook{aim: aim}, known)
	if f.check == nil || !f.check.Check || cmp.Diff(f.check.Limit, []string{"b"}) != "" || f.Same != 1 || f.Digest == "" || f.check.Digest != f.Digest {
		t.Errorf("foreseen: %+v, %+v", f.Foreseen, f.check)
	}
	again := would(&outlook{aim: aim}, known)
	is(t, "the same again", again.Digest, f.Digest)
	for what, o := range map[string]*outlook{
		"other content":    {aim: wants("a:1:x", "b:2:y")},
		"one host more":    {aim: wants("a:2:x", "b:1:y")},
		"a host to come":   {aim: aim, fresh: []string{"web[2]"}},
		"something hidden": {aim: aim, why: "who knows"},
	} {
		if other := would(o, known); other.Digest == f.Digest || bound("plan", other.Digest) == bound("plan", f.Digest) {
			t.Errorf("%s is approved with it", what)
		}
	}
	if done := would(&outlook{aim: aim}, []core.Host{known[0], {Name: "b", Digest: "1", Identity: "y", Run: "r-0"}}); done.check != nil || done.Digest != "" {
		t.Errorf("with nothing to do: %+v", done)
	}
	is(t, "a plan alone", bound("plan", would(nil, known).Digest), "plan")
	hidden := &outlook{aim: wants("a:1:x", "b::y", "c::z")}
	hidden.hide(&config.Ansible{UnknownVariables: []string{"b: token"}, Inventory: map[string][]config.Host{"web": {{Name: "a"}, {Name: "b", Unknown: true}, {Name: "c"}}}})
	if f := would(hidden, known); f.check == nil || cmp.Diff(f.check.Limit, []string{"c"}) != "" || !strings.Contains(f.Why, "b: token") {
		t.Errorf("with a host of which only the apply tells all: %+v, %+v", f.Foreseen, f.check)
	}
	hidden.hide(&config.Ansible{UnknownVariables: []string{"said"}, Inventory: map[string][]config.Host{"web": {{Name: "a"}, {Name: "b"}, {Name: "c"}}}})
	if f := would(hidden, known); f.check != nil || f.Digest == "" {
		t.Errorf("with a variable of all that only the apply tells: %+v, %+v", f.Foreseen, f.check)
	}
	if only := would(&outlook{aim: wants("c:1:"), fresh: []string{"c"}}, known); only.check != nil || only.Digest == "" {
		t.Errorf("with nothing but new hosts: %+v", only)
	}
}

func TestCheckModeRunsOnceForTheSame(t *testing.T) {
	b := newBench(t)
	run := b.run("r-1", nil)
	f, err := foresee(&outlook{aim: wants("a:1:x")}, nil, circumstances{})
	if err != nil {
		t.Fatal(err)
	}
	told := func(planned wire.Planned) (said *wire.Foreseen) {
		b.do(func(tx core.Tx) (err error) {
			said, err = b.told(tx, run, f, planned)
			return err
		})
		return said
	}
	if told(wire.Planned{}) != nil {
		t.Error("nobody asked, and it is known")
	}
	if told(wire.Planned{Foreseen: &wire.Foreseen{Digest: "of something else"}}) != nil {
		t.Error("what was said of something else counts")
	}
	said := told(wire.Planned{Foreseen: &wire.Foreseen{Digest: f.Digest, Why: "a is away", Same: 7}})
	if said == nil || said.Why != "a is away" || said.Same != 0 {
		t.Fatalf("said: %+v", said)
	}
	b.do(func(tx core.Tx) error { return b.putDoc(tx, run.ID, ForeseenDoc, said) })
	if before := told(wire.Planned{}); before == nil || before.Why != "a is away" {
		t.Errorf("it is not known any more: %+v", before)
	}
}

func TestAKeyIsForgotten(t *testing.T) {
	b := newBench(t)
	b.do(func(tx core.Tx) error {
		return tx.PutHost(core.Host{Project: "shop", Stack: "web", Environment: "dev", Name: "a", Digest: "1", Identity: "x", Run: "r-0",
			Keys: []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUgJNcg5zPkwtpUZGmxlWmE0EXgeKJrOkOOWbYFsUOI"}})
	})
	if err := b.ForgetHost(t.Context(), "user:ana", "shop", "web", "dev", "a"); err != nil {
		t.Fatal(err)
	}
	b.known("a:1:x:r-0:")
	for _, name := range []string{"a", "nobody", "../etc", ""} {
		if err := b.ForgetHost(t.Context(), "user:ana", "shop", "web", "dev", name); core.CodeOf(err) != core.NotFound {
			t.Errorf("forgetting %q: %v", name, err)
		}
	}
	b.do(func(tx core.Tx) error {
		events, err := tx.Events("shop", 0, 10)
		if len(events) != 1 || events[0].Kind != "host.forgotten" || events[0].Data["keys"] != "SHA256:hDkIU3XUCNzM9+ttvKdvYQXPRZ1fWFjgl2RjMoQfIW4" {
			t.Errorf("the audit log has %+v", events)
		}
		return err
	})
}

func TestHostsAreListed(t *testing.T) {
	known := []core.Host{{Name: "a", Digest: "1", Identity: "x", Run: "r-1"}, {Name: "b", Digest: "0", Identity: "y", Run: "r-1"}, {Name: "bastion:192.0.2.1"},
		{Name: "c", Digest: "1", Identity: "old", Run: "r-1"}, {Name: "gone", Digest: "1", Run: "r-1"}}
	var got []string
	for _, h := range listed(wants("a:1:x", "b:1:y", "c:1:new", "d:1:"), known) {
		got = append(got, h.Name+" "+h.Status)
	}
	if diff := cmp.Diff([]string{"a up_to_date", "b behind", "bastion:192.0.2.1 bastion", "c new", "d new", "gone gone"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestStrayedHostsAreProvisionedNext(t *testing.T) {
	b := newBench(t)
	b.do(func(tx core.Tx) error {
		return errors.Join(tx.PutHost(core.Host{Project: "shop", Stack: "web", Environment: "dev", Name: "a", Digest: "1", Identity: "x", Run: "r-0"}),
			tx.PutHost(core.Host{Project: "shop", Stack: "web", Environment: "dev", Name: "b", Digest: "1", Identity: "y", Run: "r-0"}))
	})
	run := b.run("r-1", func(r *core.Run) { r.Kind = core.KindDrift })
	b.do(func(tx core.Tx) error {
		n, blind, err := strayed(tx, run, []wire.DriftedHost{{Host: "a", Status: "changed"}, {Host: "b", Status: "unreachable", Message: "no route"}, {Host: "stranger", Status: "changed"}})
		if n != 2 || len(blind) != 1 || !strings.Contains(blind[0], "could not look at b: no route") {
			t.Errorf("%d strayed, %q", n, blind)
		}
		return err
	})
	b.known("a::x:r-0:", "b:1:y:r-0:")
}
