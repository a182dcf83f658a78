package ansible

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

// collection packs a collection park.tools with one role.
func collection(t *testing.T) (archive string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"galaxy.yml":                      "namespace: park\nname: tools\nversion: 1.2.3\nreadme: README.md\nauthors: [park]\n",
		"README.md":                       "tools\n",
		"roles/greeter/tasks/main.yml":    "- ansible.builtin.copy: {dest: '{{ out }}/collection', content: from-a-collection}\n",
		"meta/runtime.yml":                "requires_ansible: '>=2.11'\n",
		"roles/greeter/defaults/main.yml": "{}\n",
	} {
		file := filepath.Join(dir, "src", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	command(t, filepath.Join(dir, "src"), "ansible-galaxy", "collection", "build", "--output-path", dir)
	return filepath.Join(dir, "park-tools-1.2.3.tar.gz")
}

// role is a git repository with a role.
func role(t *testing.T, content string) (url string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"tasks/main.yml": "- ansible.builtin.copy: {dest: '{{ out }}/role', content: " + content + "}\n",
		"meta/main.yml":  "galaxy_info: {author: park, description: greets, license: MIT, min_ansible_version: '2.11'}\ndependencies: []\n",
	} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	command(t, dir, "git", "init", "-q", "-b", "main")
	command(t, dir, "git", "add", ".")
	command(t, dir, "git", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "one")
	command(t, dir, "git", "tag", "v1.0.0")
	return "file://" + dir
}

func command(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
}

func TestRequirementsAreInstalledOnce(t *testing.T) {
	t.Parallel()
	archive := collection(t)
	var asked, broken atomic.Int32
	broken.Store(1)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if asked.Add(1); broken.Add(-1) >= 0 {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		http.ServeFile(w, req, archive)
	}))
	defer site.Close()
	b := newBench(t, "- hosts: web\n  connection: local\n  gather_facts: false\n  roles: [greeter, park.tools.greeter, mine]\n").local("web-1")
	b.write("ansible/roles/mine/tasks/main.yml", "- ansible.builtin.copy: {dest: '{{ out }}/mine', content: x}\n")
	b.write("ansible/requirements.yml", "roles:\n  - {name: greeter, src: "+role(t, "from-a-role")+", scm: git, version: main}\ncollections:\n  - "+
		"{name: '"+site.URL+"/park-tools-1.2.3.tar.gz', type: url}\n")
	b.o.Provision.Requirements = []string{"ansible/requirements.yml"}
	done := b.succeeds()
	if want := []string{"ansible/requirements.yml: the role greeter has no exact version, so what is installed may differ from machine to machine"}; !slices.Equal(done.Warnings, want) {
		t.Errorf("warned is %q", done.Warnings)
	}
	if b.written("role") != "from-a-role" || b.written("collection") != "from-a-collection" || b.written("mine") != "x" {
		t.Errorf("%q, %q, %q", b.written("role"), b.written("collection"), b.written("mine"))
	}
	if !strings.Contains(b.log.String(), "ansible: installing the collections of ansible/requirements.yml") || asked.Load() < 2 {
		t.Errorf("asked %d times:\n%s", asked.Load(), b.log)
	}

	// From the store, without a network, and beside what the configuration says.
	site.Close()
	b.write("ansible.cfg", "[defaults]\nroles_path = more/roles:/nowhere\n")
	b.write("more/roles/other/tasks/main.yml", "- ansible.builtin.copy: {dest: '{{ out }}/other', content: x}\n")
	b.write("ansible/site.yml", "- hosts: web\n  connection: local\n  gather_facts: false\n  roles: [greeter, park.tools.greeter, other]\n")
	b.log.b.Reset()
	b.succeeds()
	if b.written("other") != "x" || strings.Contains(b.log.String(), "installing") {
		t.Errorf("%s", b.log)
	}

	// What cannot be installed is not there half.
	b.write("ansible/requirements.yml", "collections:\n  - {name: '"+site.URL+"/other-1.0.0.tar.gz', type: url}\n")
	if _, err := b.run(); core.CodeOf(err) != core.Unavailable || !strings.Contains(err.Error(), "the collections of ansible/requirements.yml could not be installed in 3 tries") {
		t.Errorf("without a network: %v", err)
	}
	left, err := os.ReadDir(b.o.Store)
	if err != nil || len(left) != 2 { // locks, and what was installed
		t.Errorf("the store has %v, %v", left, err)
	}
	b.write("ansible/requirements.yml", "roles: [")
	b.fails("the requirements ansible/requirements.yml cannot be read")
	b.o.Provision.Requirements = []string{"../x.yml"}
	b.fails(`the requirements "../x.yml" are not inside the repository`)
}

func TestExactVersions(t *testing.T) {
	t.Parallel()
	r := required{file: "r.yml", content: []byte(`
roles:
  - geerlingguy.nginx
  - geerlingguy.java,1.9.7
  - {src: git@example.com:x/role.git, version: master}
  - {src: "https://example.com/x/role", scm: git, version: v1.0}
  - {include: more.yml}
collections:
  - community.general
  - community.crypto:2.0.0
  - {name: a.b, version: ">=1.0.0"}
  - {name: a.c, version: "==1.2.3"}
  - {name: "https://example.com/x-1.0.0.tar.gz", type: url}
  - {name: "git+https://example.com/x", type: git}
`)}
	if err := r.parse(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range r.warnings() {
		got = append(got, strings.TrimSuffix(strings.TrimPrefix(w, "r.yml: the "), " has no exact version, so what is installed may differ from machine to machine"))
	}
	want := []string{"role geerlingguy.nginx", "role git@example.com:x/role.git", "collection community.general", "collection a.b", "collection git+https://example.com/x"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestRequirementsDigest(t *testing.T) {
	t.Parallel()
	b := newBench(t, "")
	digest := func(core string) string {
		t.Helper()
		all, err := b.o.readRequirements("r.yml")
		if err != nil {
			t.Fatal(err)
		}
		d, err := b.o.requirementsDigest(all, installed{core: core})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	seen := map[string]string{}
	is := func(what, core string) {
		t.Helper()
		d := digest(core)
		if other, there := seen[d]; there {
			t.Errorf("%s has the digest of %s", what, other)
		}
		seen[d] = what
	}
	b.write("r.yml", "- {src: ./vendor/role}\n- {include: more.yml}\n")
	b.write("more.yml", "- a.b,1.0.0\n")
	is("the first", "2.14.1")
	is("another Ansible", "2.15.0")
	b.write("vendor/role/tasks/main.yml", "[]")
	is("a role in the repository", "2.14.1")
	b.write("vendor/role/tasks/main.yml", "[ ]")
	is("its content", "2.14.1")
	b.write("more.yml", "- a.b,1.0.1\n")
	is("an included file", "2.14.1")
}
