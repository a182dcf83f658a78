package ansible

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/testkit"
	"github.com/terrace-cd/terrace/internal/wire"
)

// onFleet makes the inventory of some hosts of a fleet, in the group web.
func (b *bench) onFleet(f *testkit.Fleet, names ...string) *bench {
	b.t.Helper()
	hosts := map[string]map[string]any{}
	for _, name := range names {
		hosts[name] = f.Host(name).Vars()
	}
	b.hosts(hosts)
	b.o.Secrets, b.o.Provision.Secrets = map[string]string{KeySecret: f.Key}, []string{KeySecret}
	return b
}

// site is a role that installs a small web server from files.
func (b *bench) site(page string) {
	b.t.Helper()
	b.write("ansible/site.yml", "- name: Site\n  hosts: web\n  gather_facts: false\n  roles: [site]\n")
	b.write("ansible/roles/site/tasks/main.yml", `
- name: Folders
  ansible.builtin.file: {path: "{{ root }}/{{ item }}", state: directory, mode: "0755"}
  loop: [etc, srv, usr]
- name: Program
  ansible.builtin.copy: {src: server.py, dest: "{{ root }}/usr/server.py", mode: "0755"}
  notify: Restart
- name: Configuration
  ansible.builtin.template: {src: site.conf.j2, dest: "{{ root }}/etc/site.conf", mode: "0644"}
  notify: Restart
- name: Page
  ansible.builtin.copy: {content: "{{ page }}\n", dest: "{{ root }}/srv/index.html", mode: "0644"}
`)
	b.write("ansible/roles/site/handlers/main.yml", `
- name: Restart
  ansible.builtin.shell: |
    if [ -e pid ]; then kill $(cat pid); fi
    setsid /usr/bin/python3 usr/server.py etc/site.conf >log 2>&1 </dev/null &
    echo $! > pid
  args: {chdir: "{{ root }}"}
`)
	b.write("ansible/roles/site/templates/site.conf.j2", `{"address": "{{ ansible_host }}", "port": {{ site_port }}, "folder": "{{ root }}/srv"}`+"\n")
	b.write("ansible/roles/site/files/server.py", `import functools, http.server, json, sys
http.server.HTTPServer.allow_reuse_address = True
conf = json.load(open(sys.argv[1]))
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=conf["folder"])
http.server.HTTPServer((conf["address"], conf["port"]), handler).serve_forever()
`)
	b.o.Provision.Variables["page"] = text(page)
}

func serves(t *testing.T, address string, port int, want string) {
	t.Helper()
	testkit.Eventually(t, time.Minute, fmt.Sprintf("%q from %s", want, address), func() bool {
		response, err := http.Get(fmt.Sprintf("http://%s:%d/", address, port))
		if err != nil {
			return false
		}
		defer func() { _ = response.Body.Close() }()
		page, err := io.ReadAll(response.Body)
		return err == nil && string(page) == want+"\n"
	})
}

func changed(done wire.Provisioned) (hosts []string) {
	for _, h := range done.Hosts {
		if len(h.Changes) > 0 {
			hosts = append(hosts, h.Host)
		}
	}
	return hosts
}

// A role is installed on six hosts, found to be as it should, found to have drifted on
// one of them, and brought to one alone.
func TestARoleOnSixHosts(t *testing.T) {
	t.Parallel()
	names := []string{"db-1", "db-2", "web-1", "web-2", "web-3", "web-4"}
	f := testkit.NewFleet(t, names...)
	b := newBench(t, "").onFleet(f, names...)
	b.site("hello")
	port := testkit.FreePort(t)
	b.o.Provision.Variables["site_port"] = json.RawMessage(strconv.Itoa(port))
	t.Cleanup(func() {
		for _, h := range f.Hosts {
			if text, err := os.ReadFile(filepath.Join(h.Root, "pid")); err == nil {
				if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		}
	})
	told := 0
	b.o.Progress = func(hosts []wire.HostResult) {
		if told++; len(hosts) != 6 {
			t.Errorf("progress is told of %d hosts", len(hosts))
		}
	}
	done := b.succeeds()
	b.wants(done, "db-1 done, db-2 done, web-1 done, web-2 done, web-3 done, web-4 done")
	if told == 0 {
		t.Error("nobody was told how it goes")
	}
	b.o.Progress = nil
	for i, h := range f.Hosts {
		serves(t, h.Address, port, "hello")
		if k := done.HostKeys; len(k) != 6 || k[i].Host != h.Name || !slices.Equal(k[i].Keys, []string{h.HostKey()}) {
			t.Fatalf("the host keys are %+v", k)
		}
	}
	var tasks []string
	for _, c := range done.Hosts[0].Changes {
		tasks = append(tasks, c.Task+" "+c.Place)
	}
	if want := []string{"site : Folders ansible/roles/site/tasks/main.yml:2", "site : Program ansible/roles/site/tasks/main.yml:5", "site : Configuration ansible/roles/site/tasks/main.yml:8",
		"site : Page ansible/roles/site/tasks/main.yml:11", "site : Restart ansible/roles/site/handlers/main.yml:2"}; !slices.Equal(tasks, want) {
		t.Errorf("changed were %q", tasks)
	}

	b.o.Provision.HostKeys = done.HostKeys
	drifted := filepath.Join(f.Host("web-2").Root, "etc/site.conf")
	if err := os.WriteFile(drifted, []byte("by hand\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	b.o.Provision.Check = true
	done = b.succeeds()
	b.wants(done, "db-1 done, db-2 done, web-1 done, web-2 done, web-3 done, web-4 done")
	if got := changed(done); !slices.Equal(got, []string{"web-2"}) || len(done.HostKeys) > 0 {
		t.Errorf("drift is seen on %q; keys were learned of %+v", got, done.HostKeys)
	} else if c := done.Hosts[3].Changes[0]; c.Task != "site : Configuration" || !strings.Contains(c.Diff, "-by hand\n+{\"address\"") || strings.Contains(c.Diff, "\x1b") {
		t.Errorf("the drift is %+v", c)
	}
	if text, err := os.ReadFile(drifted); err != nil || string(text) != "by hand\n" {
		t.Errorf("check mode wrote %q, %v", text, err)
	}

	b.o.Provision.Check, b.o.Provision.Limit = false, []string{"web-2"}
	b.site("again")
	done = b.succeeds()
	b.wants(done, "web-2 done")
	serves(t, f.Host("web-2").Address, port, "again")
	serves(t, f.Host("web-3").Address, port, "hello")
}

// What happens to one host is not the fault of others.
func TestHostsThatComeAndGo(t *testing.T) {
	t.Parallel()
	f := testkit.NewFleet(t, "web-1", "web-2", "web-3")
	b := newBench(t, remote+"    - ansible.builtin.raw: \"true\"\n").onFleet(f, "web-1", "web-2", "web-3")
	b.o.Provision.HostKeys = b.succeeds().HostKeys

	// Another identity.
	old := f.Host("web-2").HostKey()
	f.Host("web-2").NewIdentity()
	f.Host("web-2").Restart()
	done := b.fails("host web-2 has another host key than before: it had ssh-ed25519 SHA256:", "it shows ssh-ed25519 SHA256:", "terrace hosts forget shop@dev web-2")
	b.wants(done, "web-1 left, web-2 unreachable, web-3 left")
	b.o.Provision.Anew = []string{"web-2"}
	done = b.succeeds()
	if want := []wire.HostKeys{{Host: "web-2", Keys: []string{f.Host("web-2").HostKey()}}}; len(done.HostKeys) != 1 || done.HostKeys[0].Host != "web-2" || done.HostKeys[0].Keys[0] != want[0].Keys[0] {
		t.Errorf("learned were %+v, want %+v", done.HostKeys, want)
	}

	// What the provider says of a new host holds.
	given := func(key string) {
		b.o.Provision.HostKeys[1] = wire.HostKeys{Host: "web-2", Keys: []string{key + " some comment"}, Given: true}
	}
	given(old)
	b.fails("host web-2 does not have the host key that host_keys of the ansible block says")
	given(f.Host("web-2").HostKey())
	if done = b.succeeds(); len(done.HostKeys) > 0 {
		t.Errorf("learned were %+v", done.HostKeys)
	}

	// One is not there: nothing is run, and looking goes on without it.
	f.Host("web-3").Kill()
	b.o.Provision.Within = "1s"
	b.wants(b.fails("host web-3 did not let Ansible in within 1s"), "web-1 left, web-2 left, web-3 unreachable")
	b.o.Provision.Check = true
	b.wants(b.succeeds(), "web-1 done, web-2 done, web-3 unreachable")
	b.o.Provision.Check = false
	b.o.Provision.Limit = []string{"web-1", "web-2"}
	b.wants(b.succeeds(), "web-1 done, web-2 done")
	f.Host("web-3").Start()
	b.o.Provision.Limit, b.o.Provision.Within = nil, "3m"

	// One dies in the middle.
	b.write("ansible/site.yml", remote+`
    - ansible.builtin.file: {path: "{{ root }}/here", state: touch}
    - name: Wait
      ansible.builtin.wait_for: {path: "{{ root }}/go", timeout: 600, sleep: 1}
    - ansible.builtin.file: {path: "{{ root }}/there", state: touch}
`)
	ended := make(chan wire.Provisioned, 1)
	go func() {
		done, err := b.run()
		if err == nil || !strings.Contains(err.Error(), `host web-1 was unreachable at task "Wait" (ansible/site.yml:6)`) {
			t.Errorf("got %v", err)
		}
		ended <- done
	}()
	for _, h := range f.Hosts {
		waitFor(t, "the first task on "+h.Name, func() bool { _, err := os.Stat(filepath.Join(h.Root, "here")); return err == nil })
	}
	waitFor(t, "the second task", func() bool { return strings.Contains(b.log.String(), "TASK [Wait]") })
	f.Host("web-1").Kill()
	for _, h := range f.Hosts {
		if err := os.WriteFile(filepath.Join(h.Root, "go"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	done = <-ended
	b.wants(done, "web-1 unreachable, web-2 done, web-3 done")
	if r := done.Recap; len(r) != 3 || r[0].Unreachable != 1 || r[1].OK != 3 {
		t.Errorf("the recap is %+v", r)
	}
}
