package ansible

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/wire"
)

// log is an output that can be read while it is written.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return uncolour(l.b.String())
}

// bench is a repository's tree with a playbook, and what it is run with.
type bench struct {
	t   *testing.T
	o   Options
	out string // a directory that the playbooks write to
	log *log
}

func newBench(t *testing.T, playbook string) *bench {
	t.Helper()
	b := &bench{t: t, out: t.TempDir(), log: &log{}}
	base := t.TempDir()
	b.o = Options{
		Tree: filepath.Join(base, "tree"), Root: ".", Dir: filepath.Join(base, "private"), Store: filepath.Join(base, "store"), Instance: "shop@dev",
		Env:    []string{"PATH=" + os.Getenv("PATH"), "HOME=" + base, "LC_ALL=C.UTF-8"},
		Output: b.log,
		Provision: wire.Provision{Playbook: "ansible/site.yml", Within: "3m",
			Variables: map[string]json.RawMessage{"out": text(b.out)}},
	}
	b.write("ansible/site.yml", playbook)
	return b
}

func text(s string) json.RawMessage {
	out, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return out
}

func (b *bench) write(name, content string) {
	b.t.Helper()
	file := filepath.Join(b.o.Tree, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644)); err != nil {
		b.t.Fatal(err)
	}
}

// hosts makes the inventory: a group web of hosts with their variables.
func (b *bench) hosts(hosts map[string]map[string]any) *bench {
	b.t.Helper()
	var names []string
	for name := range hosts {
		names = append(names, name)
	}
	slices.Sort(names)
	list, err := json.Marshal(map[string]any{
		"web": map[string]any{"hosts": names, "vars": map[string]any{"role": "web"}}, "_meta": map[string]any{"hostvars": hosts},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.o.Provision.Inventory, b.o.Provision.Hosts = list, names
	return b
}

func (b *bench) local(names ...string) *bench {
	hosts := map[string]map[string]any{}
	for _, name := range names {
		hosts[name] = map[string]any{}
	}
	return b.hosts(hosts)
}

func (b *bench) run() (wire.Provisioned, error) {
	done, err := Run(b.t.Context(), b.o)
	if _, left := os.Stat(b.o.Dir); left == nil {
		b.t.Errorf("%s is still there", b.o.Dir)
	}
	return done, err
}

// succeeds runs the playbook and returns what it did.
func (b *bench) succeeds() wire.Provisioned {
	b.t.Helper()
	done, err := b.run()
	if err != nil {
		b.t.Fatalf("%v\n%s", err, b.log)
	}
	return done
}

// fails runs a playbook that says no.
func (b *bench) fails(wants ...string) wire.Provisioned {
	b.t.Helper()
	done, err := b.run()
	var failed *Failed
	if !errors.As(err, &failed) {
		b.t.Fatalf("got %v, want a failure\n%s", err, b.log)
	}
	for _, want := range wants {
		if !strings.Contains(failed.Message, want) {
			b.t.Errorf("the failure is %q, want %q in it", failed.Message, want)
		}
	}
	return done
}

// statuses are those of hosts, as "web-1 done, web-2 left".
func statuses(done wire.Provisioned) string {
	var all []string
	for _, h := range done.Hosts {
		all = append(all, h.Host+" "+h.Status)
	}
	return strings.Join(all, ", ")
}

func (b *bench) wants(done wire.Provisioned, want string) {
	b.t.Helper()
	if got := statuses(done); got != want {
		b.t.Errorf("the hosts are %s; want %s\n%+v\n%s", got, want, done.Hosts, b.log)
	}
}

func (b *bench) written(name string) string {
	content, err := os.ReadFile(filepath.Join(b.out, name))
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return string(content)
}

const local = "- hosts: web\n  connection: local\n  gather_facts: false\n  tasks:\n"

func TestLocalConnection(t *testing.T) {
	t.Parallel()
	b := newBench(t, local+`
    - name: Write
      ansible.builtin.copy:
        dest: "{{ out }}/{{ inventory_hostname }}"
        content: "{{ role }} {{ page }} {{ number }} {{ db_password }} {{ mine }} {{ hidden }}"
    - name: Nothing new
      ansible.builtin.command: "true"
      changed_when: false
`).hosts(map[string]map[string]any{"web-1": {"mine": "{{ role }}"}, "web-2": {"mine": "{% if %}"}})
	// What comes from outputs is data, whatever it looks like.
	b.o.Provision.Variables["page"] = text("{{ lookup('pipe', 'id') }}")
	b.o.Provision.Variables["number"] = json.RawMessage("12345678901234567890")
	b.o.Provision.Secrets = []string{"DB_PASSWORD"}
	b.o.Secrets = map[string]string{"DB_PASSWORD": "pa{{ ss }}", "OTHER": "x"}
	b.write("ansible/group_vars/web.yml", "hidden: from-group-vars\n")
	want := []wire.Recap{{Host: "web-1", OK: 2, Changed: 1}, {Host: "web-2", OK: 2, Changed: 1}}
	done := b.succeeds()
	if !slices.Equal(done.Recap, want) {
		t.Errorf("the recap is %+v, want %+v", done.Recap, want)
	}
	b.wants(done, "web-1 done, web-2 done")
	if c := done.Hosts[1].Changes; len(c) != 1 || c[0].Task != "Write" || c[0].Place != "ansible/site.yml:6" || c[0].Diff != "" {
		t.Errorf("web-2 was changed by %+v", c)
	}
	for host, mine := range map[string]string{"web-1": "{{ role }}", "web-2": "{% if %}"} {
		want := "web {{ lookup('pipe', 'id') }} 12345678901234567890 pa{{ ss }} " + mine + " from-group-vars"
		if got := b.written(host); got != want {
			t.Errorf("%s has %q, want %q", host, got, want)
		}
	}
	if !strings.Contains(b.log.String(), "TASK [Write]") || strings.Contains(b.log.String(), "WARNING") {
		t.Errorf("the log is\n%s", b.log)
	}
}

func TestAFailureNamesTaskHostAndPlace(t *testing.T) {
	t.Parallel()
	b := newBench(t, local+`
    - name: Survived
      ansible.builtin.command: "false"
      ignore_errors: true
    - block:
        - name: Rescued
          ansible.builtin.command: "false"
      rescue:
        - ansible.builtin.debug: msg=rescued
    - name: Install page
      ansible.builtin.command: sh -c "echo no space left >&2; exit 3"
      when: inventory_hostname == "web-2"
    - name: Each
      ansible.builtin.fail: msg="no {{ item }}"
      loop: [one, two]
      when: inventory_hostname == "web-3"
`).local("web-1", "web-2", "web-3")
	done := b.fails(`task "Install page" (ansible/site.yml:14) failed on host web-2: non-zero return code: no space left`,
		`task "Each" (ansible/site.yml:17) failed on host web-3: no one; no two`)
	if r := done.Recap; len(r) != 3 || r[0].Failed != 0 || r[1].Failed != 1 || r[2].Failed != 1 {
		t.Errorf("the recap is %+v", r)
	}
	b.wants(done, "web-1 done, web-2 failed, web-3 failed")
	if m := done.Hosts[1].Message; !strings.Contains(m, "no space left") {
		t.Errorf("web-2 failed: %s", m)
	}
}

func TestWhatCannotBeRunAtAll(t *testing.T) {
	t.Parallel()
	b := newBench(t, "- hosts: web\n  tasks:\n   - no_such_module_anywhere: x=1\n").local("web-1")
	b.wants(b.fails("ansible/site.yml", "no_such_module_anywhere", "line 3"), "web-1 left")
	b = newBench(t, "").local("web-1")
	b.o.Provision.Playbook = "ansible/none.yml"
	b.fails("ansible/none.yml is not in the repository")
	b = newBench(t, "").local("web-1")
	b.o.Provision.Playbook = "../../etc/site.yml"
	b.fails("not inside the repository")
	b = newBench(t, "").local("web-1")
	b.o.Provision.Secrets = []string{"TOKEN"}
	b.fails("TOKEN", "terrace secret set")
	b = newBench(t, "").local("web-1")
	b.o.Provision.Secrets, b.o.Secrets = []string{"SSH_KEY"}, map[string]string{"SSH_KEY": "not a key"}
	b.fails("SSH_KEY", "private key")
	b = newBench(t, "").local()
	b.succeeds()
	if !strings.Contains(b.log.String(), "no hosts") {
		t.Errorf("the log is %q", b.log)
	}
}

func TestCheckModeChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, local+"    - ansible.builtin.copy: {dest: '{{ out }}/file', content: 'new\n'}\n").local("web-1")
	b.o.Provision.Check = true
	done := b.succeeds()
	if r := done.Recap; len(r) != 1 || r[0].Changed != 1 {
		t.Errorf("the recap is %+v", r)
	}
	if c := done.Hosts[0].Changes; len(c) != 1 || !strings.Contains(c[0].Diff, "+new") {
		t.Errorf("it would change %+v", c)
	}
	if got := b.written("file"); !strings.Contains(got, "no such file") {
		t.Errorf("check mode wrote %q", got)
	}
	if !strings.Contains(b.log.String(), "+new") {
		t.Errorf("the log shows no difference:\n%s", b.log)
	}
}

func TestTheRepositorysConfigurationIsUsed(t *testing.T) {
	t.Parallel()
	b := newBench(t, local+"    - ansible.builtin.debug: msg=\"{{ lookup('config', 'DEFAULT_FORKS') }} forks\"\n").local("web-1")
	b.write("ansible.cfg", "[defaults]\nforks = 3\nstdout_callback = oneline\n")
	b.succeeds()
	if !strings.Contains(b.log.String(), "3 forks") || strings.Contains(b.log.String(), "TASK [") {
		t.Errorf("the log is\n%s", b.log)
	}
}

func TestCancellingInterruptsAnsible(t *testing.T) {
	t.Parallel()
	b := newBench(t, local+`
    - ansible.builtin.copy: {dest: "{{ out }}/started", content: ""}
    - ansible.builtin.command: sleep 600
`).local("web-1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	var done wire.Provisioned
	go func() {
		var err error
		done, err = Run(ctx, b.o)
		ended <- err
	}()
	waitFor(t, "the first task", func() bool {
		return b.written("started") == "" && strings.Contains(b.log.String(), "TASK [ansible.builtin.command]")
	})
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		b.wants(done, "web-1 left")
		if r := done.Recap; len(r) != 1 || r[0].OK != 1 {
			t.Errorf("the recap is %+v", r)
		}
	case <-time.After(2 * time.Minute):
		t.Fatalf("Ansible goes on\n%s", b.log)
	}
	if _, err := os.Stat(b.o.Dir); err == nil {
		t.Error("the private folder is still there")
	}
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !is(); {
		if time.Now().After(deadline) {
			t.Fatal("timed out waiting for " + what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

func TestInventoryForms(t *testing.T) {
	t.Parallel()
	got, err := staticInventory(json.RawMessage(`{"all":{"vars":{"a":1}},"web":{"hosts":["w1"],"vars":{"x":"{{y}}"}},"db":["d1"],
		"both":{"children":["web","db"]},"_meta":{"hostvars":{"w1":{"port":22,"list":["{# #}"]}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"all":{"children":{"both":{"children":{"db":{},"web":{}},"hosts":{},"vars":{}},"db":{"children":{},"hosts":{"d1":{}},"vars":{}},` +
		`"web":{"children":{},"hosts":{"w1":{}},"vars":{"x":{"__ansible_unsafe":"{{y}}"}}}},` +
		`"hosts":{"d1":{},"w1":{"list":[{"__ansible_unsafe":"{# #}"}],"port":22}},"vars":{"a":1}}}`
	if string(got) != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	for _, bad := range []string{"", "[]", `{"web":"x"}`, `{"_meta":3}`} {
		if got, err := staticInventory(json.RawMessage(bad)); err == nil {
			t.Errorf("%q became %s", bad, got)
		}
	}
}

func FuzzStaticInventory(f *testing.F) {
	f.Add([]byte(`{"web":{"hosts":["a"]},"_meta":{"hostvars":{"a":{"b":[1,"{{"]}}}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		if out, err := staticInventory(in); err == nil && !json.Valid(out) {
			t.Errorf("%q became %q", in, out)
		}
	})
}

func TestUncolour(t *testing.T) {
	t.Parallel()
	if got := uncolour("\x1b[0;31mERROR! x\x1b[0m y\x1b["); got != "ERROR! x y" {
		t.Errorf("%q", got)
	}
}
