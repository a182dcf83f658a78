package source

import (
	"slices"
	"strings"
	"testing"
)

func TestOtherHosts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"upstream {% for h in groups['web'] %}":                         true,
		"{{ groups.web | length }}":                                     true,
		"{{ groups[group] }}":                                           true,
		"when: \"'web' in groups\"":                                     true,
		"{{ groups | dict2items }}":                                     true,
		"{{ hostvars[x].ansible_host }}":                                true,
		"run_once: true":                                                true,
		"{{ ansible_play_hosts_all }}":                                  true,
		"{{ ansible_play_batch[0] }}":                                   true,
		"loop: \"{{ query('inventory_hostnames', 'all') }}\"":           true,
		"  delegate_to: db1":                                            true,
		"  delegate_to: localhost\n  delegate_to: \"{{ lb }}\"":         true,
		"{ delegate_to: db1 }":                                          true,
		"  delegate_to: localhost # not there":                          false,
		"  \"delegate_to\": \"127.0.0.1\",":                             false,
		"  delegate_to: '{{ inventory_hostname }}'\r":                   false,
		"user:\n  groups: wheel":                                        false,
		"groups: [\"wheel\", \"docker\"]":                               false,
		"{{ user.groups | join(',') }}":                                 false,
		"{{ item['groups'][0] }}":                                       false,
		"# Add it to the groups. Then":                                  false,
		"name: Groups of users":                                         false,
		"groups_of_users[0]":                                            false,
		"{{ ansible_host }} {{ inventory_hostname }} {{ group_names }}": false,
	} {
		if otherHosts([]byte(text)) != want {
			t.Errorf("%q: %t", text, !want)
		}
		for _, f := range []form{yamlForm, playForm} {
			if p := extract(f, []byte(text)); p.others != want {
				t.Errorf("%q as %c: %t", text, f, !want)
			}
		}
		p := parsed{others: want}
		if back, ok := decode(p.encode()); !ok || back.others != want {
			t.Errorf("%q is not remembered", text)
		}
	}
	if p := extract(playForm, []byte(strings.Repeat("x", maxParse+1))); !p.others {
		t.Error("a file that is too large is about no others")
	}
}

func TestRequirementsIn(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"roles:\n  - src: geerlingguy.nginx\n    version: 3.1.4\ncollections:\n  - name: community.general\n    version: \"==8.0.0\"\n  - ansible.posix\n":                                                "role geerlingguy.nginx, collection community.general, !collection ansible.posix 7",
		"- src: https://git.example/role\n  scm: git\n  version: main\n- geerlingguy.java,1.9.6\n":                                                                                                        "!role https://git.example/role 1, role geerlingguy.java",
		"collections:\n  - name: https://x/a-b-1.0.0.tar.gz\n    type: url\n  - name: a.b\n    version: \">=1.0\"\n  - name: c.d\n    type: git\n    version: 0123456789abcdef0123456789abcdef01234567\n": "collection https://x/a-b-1.0.0.tar.gz, !collection a.b 4, collection c.d",
		"roles: []\n":                     "",
		"roles:\n  - include: more.yml\n": "",
		"collections:\n  - [a]\n  - 7\n":  "!collection 7 3",
	} {
		all, ok := requirementsIn([]byte(text))
		if !ok {
			t.Errorf("%q is none", text)
		}
		var got []string
		for _, r := range all {
			line := r.kind + " " + r.name
			if !r.exact() {
				line = "!" + line + " " + string(rune('0'+r.line))
			}
			got = append(got, line)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{"", "dependencies:\n  - name: redis\n", "a: [", "just text", "\x00", "roles"} {
		if _, ok := requirementsIn([]byte(text)); ok {
			t.Errorf("%q has requirements", text)
		}
	}
}

// TestWhatAPlaybookIsAbout: in a repository, with roles beside the playbook and elsewhere.
func TestWhatAPlaybookIsAbout(t *testing.T) {
	t.Parallel()
	r, s := newRepository(t), newSource(t, Options{})
	files := map[string]string{
		"terrace.hcl":                    defaultConfig + "\nstack \"web\" {\n  ansible {\n    playbook  = \"ansible/web.yml\"\n    inventory = { web = output.a }\n  }\n}\n",
		"stacks/web/main.tf":             "output \"a\" {\n  value = []\n}\n",
		"ansible/web.yml":                "- hosts: web\n  roles: [../shared/nginx]\n",
		"ansible/roles/requirements.yml": "- src: a.b\n", "requirements.yaml": "collections:\n  - name: c.d\n    version: 1.0.0\n", "ansible/requirements.yml": "dependencies: []\n",
		"shared/nginx/templates/site.conf": "listen 80;\n", "shared/nginx/README.md": "uses hostvars\n", "other/playbook.yml": "run_once: true\n",
	}
	at := func() Content {
		head := r.commit("main", "x", files)
		r.fetch(s, "main")
		return contents(t, s, r, head)["web"]
	}
	got := at()
	if got.Together {
		t.Error("it is about other hosts")
	}
	if want := []string{"ansible/roles/requirements.yml", "requirements.yaml"}; !slices.Equal(got.Requirements, want) {
		t.Errorf("it requires %q", got.Requirements)
	}
	if got.Provision["file requirements.yaml"] == "" {
		t.Errorf("the requirements do not count: %q", got.Provision)
	}
	if len(got.Warnings) != 1 || got.Warnings[0].Path != "ansible/roles/requirements.yml" || got.Warnings[0].Line != 1 || !strings.Contains(got.Warnings[0].Message, "the role a.b has no exact version") {
		t.Errorf("warnings: %+v", got.Warnings)
	}
	files["shared/nginx/templates/site.conf"] = "{% for h in groups.web %}\n"
	if got = at(); !got.Together {
		t.Error("a template is not looked through")
	}
	files["shared/nginx/templates/site.conf"] = ""
	files["ansible/group_vars/web.yml"] = "peers: \"{{ groups['web'] }}\"\n"
	if got = at(); !got.Together {
		t.Error("variables are not looked through")
	}
}
