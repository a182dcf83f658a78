package wanted_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/seal"
	"github.com/terrace-cd/terrace/internal/service/guardrails"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/source"
	"github.com/terrace-cd/terrace/internal/store"
	"github.com/terrace-cd/terrace/internal/testkit"
	"github.com/terrace-cd/terrace/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is an evaluator on a real repository, whose stack web makes hosts of servers.
type bench struct {
	*testing.T
	*wanted.Evaluator
	repo *testkit.Repo
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "terrace.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	sources, err := source.New(filepath.Join(t.TempDir(), "mirrors"), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sources.Close() })
	ring, err := seal.Open(filepath.Join(t.TempDir(), "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t, &wanted.Evaluator{Store: db, Source: sources, Seal: ring, Rails: &guardrails.Service{Store: db}}, testkit.Git(t)}
	b.repo.Write("web/main.tf", "output \"port\" {}\n")
	b.repo.Write("ansible/site.yml", "- hosts: web\n  tasks:\n    - delegate_to: localhost\n")
	b.repo.Write("ansible/templates/page.j2", "{{ port }}\n")
	b.configured("")
	return b
}

// configured writes the ansible block, with more in it, and in place of what more begins with.
func (b *bench) configured(more string) {
	b.Helper()
	secrets := `secrets = ["SSH_KEY"]`
	if strings.Contains(more, "secrets") {
		secrets = ""
	}
	b.repo.Write("terrace.hcl", `project "shop" {
  stacks = ["web"]
}
environment "dev" {}
stack "web" {
  ansible {
    playbook  = "ansible/site.yml"
    variables = { port = output.port }
    inventory "server" {
      host   = self.ip
      name   = self.name
      groups = self.groups
      vars   = { size = self.size, token = try(self.token, null) }
    }
    `+secrets+`
    `+more+`
  }
}
`)
}

// server is a resource of a plan.
func server(name, id, size string, groups ...string) wire.PlannedResource {
	if len(groups) == 0 {
		groups = []string{"web"}
	}
	values := map[string]any{"name": name, "ip": "10.0.0." + name, "size": size, "groups": groups, "token": "canary-token"}
	unknown := `{"id": true}`
	if id != "" {
		values["id"], unknown = id, `{}`
	}
	text, err := json.Marshal(values)
	if err != nil {
		panic(err)
	}
	return wire.PlannedResource{Address: "server." + name, Type: "server", Name: name, Values: text, Unknown: json.RawMessage(unknown), Sensitive: json.RawMessage(`{"token": true}`)}
}

func (b *bench) planned(outputs string, servers ...wire.PlannedResource) wanted.Provisioning {
	b.Helper()
	commit := b.repo.Commit("A commit")
	b.repo.Push()
	p := core.Project{Name: "shop", Repo: b.repo.Remote, Branch: "main", Path: "."}
	if _, err := b.Source.Fetch(b.Context(), p.Repo, p.Branch); err != nil {
		b.Fatal(err)
	}
	cfg, err := b.Config(b.Context(), p, commit)
	if err != nil {
		b.Fatal(err)
	}
	out, err := b.Planned(b.Context(), p, core.Release{Commit: commit, Number: 1}, cfg, "dev", "web", json.RawMessage(outputs), servers)
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// TestDigestOfEachHost: what concerns one host changes its digest alone, and how Ansible
// connects none.
func TestDigestOfEachHost(t *testing.T) {
	t.Parallel()
	const port = `{"port": {"value": 80}}`
	one, two := server("1", "i-1", "small"), server("2", "i-2", "small")
	b := newBench(t)
	was := b.planned(port, one, two)
	if was.Together || len(was.Ansible.New) > 0 || len(was.Hosts) != 2 || was.Identity["1"] != "i-1" || !slices.Equal(was.Sensitive, []string{"canary-token"}) {
		t.Errorf("%+v", was)
	}
	first := b.repo.Head()
	for name, c := range map[string]struct {
		change  func(*bench)
		outputs string
		servers []wire.PlannedResource
		changed string // hosts whose digests are others than before
		whole   bool   // that of all is another one
	}{
		"nothing":          {},
		"a variable":       {servers: []wire.PlannedResource{one, server("2", "i-2", "large")}, changed: "2", whole: true},
		"another server":   {servers: []wire.PlannedResource{server("1", "i-9", "small"), two}, changed: "1", whole: true},
		"a group":          {servers: []wire.PlannedResource{one, server("2", "i-2", "small", "web", "db")}, changed: "2", whole: true},
		"a third":          {servers: []wire.PlannedResource{one, two, server("3", "i-3", "small")}, changed: "3", whole: true},
		"one less":         {servers: []wire.PlannedResource{one}, whole: true},
		"an extra":         {outputs: `{"port": {"value": 81}}`, changed: "1 2", whole: true},
		"a secret":         {change: func(b *bench) { b.configured(`secrets = ["SSH_KEY", "OTHER"]`) }, changed: "1 2"},
		"a template":       {change: func(b *bench) { b.repo.Write("ansible/templates/page.j2", "port {{ port }}\n") }, changed: "1 2", whole: true},
		"what is required": {change: func(b *bench) { b.repo.Write("requirements.yml", "- src: a.b\n  version: 1.2.3\n") }, changed: "1 2", whole: true},
		"how it connects": {change: func(b *bench) {
			b.configured("bastion = \"jump@b:23\"\nmitogen = true\ntwice = true\ncheck = true\noptional = [\"canary\"]")
		}},
		"together": {change: func(b *bench) { b.configured("together = true") }, servers: []wire.PlannedResource{one, two, server("3", "i-3", "small")}, changed: "1 2 3", whole: true},
	} {
		if c.change != nil {
			c.change(b)
		}
		if c.outputs == "" {
			c.outputs = port
		}
		if c.servers == nil {
			c.servers = []wire.PlannedResource{one, two}
		}
		is := b.planned(c.outputs, c.servers...)
		var changed []string
		for host, digest := range is.Hosts {
			if digest == "" {
				t.Errorf("%s: %s has no digest", name, host)
			}
			if digest != was.Hosts[host] {
				changed = append(changed, host)
			}
		}
		slices.Sort(changed)
		if got := strings.Join(changed, " "); got != c.changed {
			t.Errorf("%s concerns %q, want %q", name, got, c.changed)
		}
		if whole := is.Digest != was.Digest; whole != c.whole {
			t.Errorf("%s: the digest of all changed: %t", name, whole)
		}
		b.repo.Run("rm", "-q", "-r", ".")
		b.repo.Run("checkout", "-q", first, "--", ".")
	}
}

// TestBeforeAnApply: what is not known has no digest, and new hosts are named.
func TestBeforeAnApply(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	got := b.planned(`{"port": {}}`, server("1", "i-1", "small"), server("2", "", "small"))
	if len(got.Hosts) != 1 || got.Hosts["1"] != "" || !slices.Equal(got.Ansible.New, []string{"2"}) || !slices.Equal(got.Ansible.UnknownVariables, []string{"port"}) {
		t.Errorf("%+v with %+v", got, got.Ansible)
	}
	unknown := server("1", "i-1", "small")
	unknown.Values, unknown.Unknown = json.RawMessage(strings.Replace(string(unknown.Values), `"size":"small"`, `"size":null`, 1)), json.RawMessage(`{"size": true}`)
	got = b.planned(`{"port": {"value": 80}}`, unknown, server("2", "i-2", "small"), server("3", "", "small"))
	if got.Hosts["1"] != "" || got.Hosts["2"] == "" || !slices.Equal(got.Ansible.New, []string{"3"}) || !slices.Equal(got.Ansible.UnknownVariables, []string{"1: size"}) {
		t.Errorf("%+v with %+v", got, got.Ansible)
	}
	// Where hosts are about each other, one that is not known makes all unknown.
	b.repo.Write("ansible/templates/page.j2", "{{ groups['web'] }}\n")
	got = b.planned(`{"port": {"value": 80}}`, server("1", "i-1", "small"), server("2", "", "small"))
	if !got.Together || got.Hosts["1"] != "" {
		t.Errorf("%+v", got)
	}
}

// TestARoleConcernsItsHosts: a change of one role is for the hosts of the plays that use it,
// unless the playbook is about other hosts.
func TestARoleConcernsItsHosts(t *testing.T) {
	t.Parallel()
	const port = `{"port": {"value": 80}}`
	web, db := server("1", "i-1", "small", "web"), server("2", "i-2", "small", "db")
	b := newBench(t)
	b.repo.Write("ansible/site.yml", "- hosts: web\n  roles: [page]\n- hosts: db\n  roles: [postgres]\n")
	b.repo.Write("ansible/roles/page/tasks/main.yml", "- debug:\n")
	b.repo.Write("ansible/roles/postgres/tasks/main.yml", "- debug:\n")
	was := b.planned(port, web, db)
	b.repo.Write("ansible/roles/postgres/tasks/main.yml", "- debug: {msg: another}\n")
	is := b.planned(port, web, db)
	if is.Hosts["1"] != was.Hosts["1"] || is.Hosts["2"] == was.Hosts["2"] || is.Digest == was.Digest {
		t.Errorf("a role of the database: before %+v, after %+v", was.Hosts, is.Hosts)
	}
	b.repo.Write("ansible/group_vars/web.yml", "port: 81\n")
	then := b.planned(port, web, db)
	if then.Hosts["1"] == is.Hosts["1"] || then.Hosts["2"] != is.Hosts["2"] {
		t.Errorf("variables of a group: before %+v, after %+v", is.Hosts, then.Hosts)
	}
	b.repo.Write("ansible/roles/page/templates/hosts.j2", "{{ groups['db'] }}\n")
	together := b.planned(port, web, db)
	b.repo.Write("ansible/roles/postgres/tasks/main.yml", "- debug: {msg: a third}\n")
	if last := b.planned(port, web, db); !last.Together || last.Hosts["1"] == together.Hosts["1"] {
		t.Errorf("the page is about the database: before %+v, after %+v", together.Hosts, last.Hosts)
	}
}
