package playbook

import (
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
)

// site is a playbook's folder, by path.
type site map[string]string

func (s site) read() Plays {
	f := Folder{Playbook: "ansible/site.yml", Read: func(name string) ([]byte, error) {
		content, ok := s[name]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return []byte(content), nil
	}}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		f.Files = append(f.Files, File{Path: name, Content: s[name], Link: s[name] == "-> elsewhere"})
	}
	return Read(f)
}

func (s site) with(changes site) site {
	out := maps.Clone(s)
	maps.Copy(out, changes)
	return out
}

// inventory has the hosts that the tests ask about, with their groups.
var inventory = map[string][]string{"web-1": {"web"}, "web-2": {"web", "canary"}, "db-1": {"db"}, "lonely": nil}

// touched lists the hosts that a change concerns.
func touched(before, after Plays) string {
	named := map[string]bool{}
	for host, groups := range inventory {
		named[host] = true
		for _, g := range groups {
			named[g] = true
		}
	}
	var out []string
	for _, host := range slices.Sorted(maps.Keys(inventory)) {
		if before.Of(host, inventory[host], named) != after.Of(host, inventory[host], named) {
			out = append(out, host)
		}
	}
	return strings.Join(out, " ")
}

var shop = site{
	"ansible/site.yml": `
- hosts: web
  roles: [nginx, {role: page, when: true}]
- hosts: [db]
  tasks:
    - block:
        - ansible.builtin.include_role: {name: postgres}
- hosts: all:!db
  roles: [agent]
- import_playbook: more.yml
`,
	"ansible/more.yml": `
- hosts: canary
  pre_tasks:
    - import_role:
        name: probe
`,
	"ansible/roles/nginx/tasks/main.yml":       "- ansible.builtin.template: {src: site.j2, dest: /tmp/x}\n",
	"ansible/roles/nginx/templates/site.j2":    "{{ name }}",
	"ansible/roles/nginx/meta/main.yml":        "dependencies: [{role: certificates}]\n",
	"ansible/roles/certificates/files/ca":      "x",
	"ansible/roles/page/tasks/main.yml":        "- ansible.builtin.import_role: {name: certificates}\n",
	"ansible/roles/postgres/tasks/main.yml":    "- ansible.builtin.debug: {msg: !unsafe '{{ x }}'}\n",
	"ansible/roles/postgres/defaults/main.yml": "port: 5432\nby_port: {5432: postgres}\nsecret: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  3031\n",
	"ansible/roles/postgres/library/x.py":      "y",
	"ansible/roles/agent/tasks/main.yml":       "- include_tasks: other.yml\n",
	"ansible/roles/agent/tasks/other.yml":      "- debug:\n",
	"ansible/roles/probe/tasks/main.yml":       "- debug:\n",
	"ansible/roles/unused/tasks/main.yml":      "- debug:\n",
	"ansible/group_vars/all.yml":               "a: 1\n",
	"ansible/group_vars/web.yml":               "a: 1\n",
	"ansible/group_vars/db/main.yml":           "a: 1\n",
	"ansible/group_vars/made_by_a_play.yml":    "a: 1\n",
	"ansible/host_vars/web-2.yml":              "a: 1\n",
	"ansible/templates/motd.j2":                "hello",
}

func TestWhomAChangeConcerns(t *testing.T) {
	const everybody = "db-1 lonely web-1 web-2"
	for file, want := range map[string]string{
		"ansible/roles/nginx/templates/site.j2":    "web-1 web-2",
		"ansible/roles/nginx/handlers/main.yml":    "web-1 web-2",
		"ansible/roles/certificates/files/ca":      "web-1 web-2",
		"ansible/roles/page/files/index.html":      "web-1 web-2",
		"ansible/roles/postgres/defaults/main.yml": "db-1",
		"ansible/roles/postgres/library/x.py":      everybody, // a module, for all who come later
		"ansible/roles/agent/tasks/other.yml":      "lonely web-1 web-2",
		"ansible/roles/probe/tasks/main.yml":       "web-2",
		"ansible/roles/unused/tasks/main.yml":      "",
		"ansible/roles/fresh/tasks/main.yml":       "",
		"ansible/group_vars/all.yml":               everybody,
		"ansible/group_vars/web.yml":               "web-1 web-2",
		"ansible/group_vars/db/main.yml":           "db-1",
		"ansible/group_vars/made_by_a_play.yml":    everybody,
		"ansible/host_vars/web-2.yml":              "web-2",
		"ansible/host_vars/nobody.yml":             "",
		"ansible/templates/motd.j2":                everybody,
		"ansible/requirements.yml":                 everybody,
		"ansible/files/any":                        everybody,
	} {
		before, after := shop.read(), shop.with(site{file: "- debug: {msg: changed}\n"}).read()
		if !before.Known || !after.Known {
			t.Fatalf("%s: known is %t, then %t", file, before.Known, after.Known)
		}
		if got := touched(before, after); got != want {
			t.Errorf("a change of %s concerns %q, want %q", file, got, want)
		}
	}
}

// What cannot be told apart concerns everybody, which the zero value says.
func TestWhatCannotBeToldApart(t *testing.T) {
	for name, change := range map[string]site{
		"a role by a variable":           {"ansible/site.yml": "- hosts: web\n  roles: ['{{ kind }}']\n"},
		"an included role by a variable": {"ansible/roles/nginx/tasks/main.yml": "- include_role: {name: '{{ item }}'}\n"},
		"an included role as a text":     {"ansible/roles/nginx/tasks/main.yml": "- include_role: name=page\n"},
		"an old action":                  {"ansible/roles/nginx/tasks/main.yml": "- action: include_role name=page\n"},
		"a playbook by a variable":       {"ansible/site.yml": "- import_playbook: '{{ which }}.yml'\n"},
		"a playbook elsewhere":           {"ansible/site.yml": "- import_playbook: ../other.yml\n"},
		"a path to another role":         {"ansible/roles/nginx/tasks/main.yml": "- copy: {src: ../../page/files/x, dest: /x}\n"},
		"a path into a role":             {"ansible/tasks/x.yml": "- copy: {src: roles/page/files/x, dest: /x}\n"},
		"a path in a template":           {"ansible/templates/x.j2": "{{ lookup('file', '../x') }}"},
		"a symbolic link":                {"ansible/roles/nginx/files/x": "-> elsewhere"},
		"no hosts":                       {"ansible/site.yml": "- roles: [nginx]\n"},
		"no list":                        {"ansible/site.yml": "hosts: web\n"},
		"no YAML":                        {"ansible/site.yml": "- hosts: [\n"},
		"tasks that are no YAML":         {"ansible/roles/nginx/tasks/main.yml": "- a: [\n"},
		"a huge file":                    {"ansible/tasks/x.yml": "# " + strings.Repeat("x", maxFile)},
		"deep nesting":                   {"ansible/tasks/x.yml": strings.Repeat("[", 200) + strings.Repeat("]", 200)},
		"a role in a folder":             {"ansible/site.yml": "- hosts: web\n  roles: [more/nginx]\n"},
	} {
		if got := shop.with(change).read(); got.Known {
			t.Errorf("%s: it claims to know: %+v", name, got.Plays)
		}
	}
	if got := (site{}).read(); got.Known {
		t.Error("without a playbook it claims to know")
	}
}

func TestRolesThatUseEachOther(t *testing.T) {
	circle := shop.with(site{
		"ansible/roles/certificates/tasks/main.yml": "- include_role: {name: nginx}\n",
		"ansible/tasks/more.yml":                    "- include_role: {name: probe}\n", // any play may include this file
	})
	before := circle.read()
	if got := touched(before, circle.with(site{"ansible/roles/certificates/files/ca": "y"}).read()); got != "web-1 web-2" {
		t.Errorf("a change in a circle concerns %q", got)
	}
	if got := touched(before, circle.with(site{"ansible/roles/probe/files/x": "y"}).read()); got != "db-1 lonely web-1 web-2" {
		t.Errorf("a role that a file of tasks includes concerns %q", got)
	}
}

func TestWhomAPatternConcerns(t *testing.T) {
	named := map[string]bool{"web": true, "db": true, "web-1": true, "db-1": true, "canary": true}
	for pattern, want := range map[string]bool{
		"web": true, "db": false, "all": true, "*": true, "web-1": true, "web-*": true, "db*": false, "web,db": true, "db:web": true,
		"all:!web": false, "!web": false, "!db": true, "web:&canary": false, "web:&web": true, "web[0]": true, "web[0:1]": true, "db[0]": false,
		"~db.*": true, "{{ which }}": true, "made": true, "!made": true, "web:!made": true, "localhost": false, "fe80::1": true, "": true, ",": true, "w?b": true, "x[": true, "ungrouped": false,
	} {
		if got := concerns(pattern, "web-1", []string{"web"}, named); got != want {
			t.Errorf("%q concerns web-1: %t, want %t", pattern, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, content := range shop {
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content string) {
		for _, file := range []string{"ansible/site.yml", "ansible/roles/nginx/tasks/main.yml", "ansible/roles/nginx/meta/main.yml"} {
			p := shop.with(site{file: content}).read()
			if p.Known && p.Of("web-1", []string{"web"}, nil) == "" {
				t.Error("nothing concerns a host")
			}
		}
	})
}
