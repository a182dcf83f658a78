package runner

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/wire"
)

// pages is a playbook that writes a page per host, and fails on web-0.
const pages = "- hosts: web\n  connection: local\n  gather_facts: false\n  tasks:\n    - name: Install page\n" +
	"      ansible.builtin.copy: {dest: 'OUT/{{ inventory_hostname }}', content: \"{{ page }} {{ token }}\\n\"}\n" +
	"    - ansible.builtin.fail: {msg: no}\n      when: inventory_hostname == 'web-0'\n"

func checkMode(digest string, hosts ...string) *wire.Provision {
	inventory, err := json.Marshal(map[string]any{"web": map[string]any{"hosts": hosts}})
	if err != nil {
		panic(err)
	}
	return &wire.Provision{Digest: digest, Playbook: "site.yml", Hosts: hosts, Limit: hosts, Secrets: []string{"TOKEN"}, Within: "10s", Check: true,
		Inventory: inventory, Variables: map[string]json.RawMessage{"page": text("hello")}}
}

func TestCheckModeComesWithThePlan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"stacks/web/main.tf": web, "site.yml": pages})
	w.job.Variables["size"], w.job.Secrets["TOKEN"], w.job.Foresee = text("large"), "s3cr3t-value", true
	if err := os.WriteFile(filepath.Join(w.out, "web-2"), []byte("hello s3cr3t-value\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.next = func(p wire.Planned) wire.Next {
		if p.Foreseen == nil {
			return wire.Next{Do: "foresee", Reason: "Ansible would run on 2 hosts", After: wire.After{Provision: checkMode("d", "web-1", "web-2")}}
		}
		return wire.Next{Do: "wait", Reason: "somebody has to approve it"}
	}
	w.start().wait()
	w.mustHave("somebody has to approve it")
	if want := []string{"claim", "phase planning", "phase checking", "planned", "planned"}; !slices.Equal(w.reported(), want) {
		t.Errorf("reported %q, want %q", w.reported(), want)
	}
	f := w.planned.Foreseen
	if f == nil || f.Digest != "d" || f.Why != "" || len(f.Hosts) != 2 || f.Hosts[0].Changed != 1 || f.Hosts[1].Status != "done" {
		t.Fatalf("foreseen is %+v", f)
	}
	if c := f.Hosts[0].Changes; len(c) != 1 || c[0].Task != "Install page" || !strings.Contains(c[0].Diff, "+hello ***") || strings.Contains(c[0].Diff, "s3cr3t") {
		t.Errorf("it would change %+v", c)
	}
	if !strings.Contains(string(w.planned.Outputs), "size") {
		t.Errorf("the outputs are %s", w.planned.Outputs)
	}
	if _, err := os.Stat(filepath.Join(w.out, "web-1")); err == nil {
		t.Error("check mode wrote a page")
	}

	// What it cannot tell is said, and stops nothing.
	w.do(func() {
		w.log, w.planned = shelf{}, wire.Planned{}
		w.next = func(p wire.Planned) wire.Next {
			if p.Foreseen == nil {
				broken := checkMode("e", "web-1")
				broken.Playbook = "nowhere.yml"
				return wire.Next{Do: "foresee", After: wire.After{Provision: broken}}
			}
			return wire.Next{Do: "wait", Reason: "somebody has to approve it"}
		}
	})
	w.start().wait()
	w.mustHave("somebody has to approve it")
	if f := w.planned.Foreseen; f == nil || f.Digest != "e" || !strings.Contains(f.Why, "nowhere.yml") {
		t.Errorf("foreseen is %+v", f)
	}

	// Nobody asks twice for the same.
	w.do(func() {
		w.log, w.planned = shelf{}, wire.Planned{}
		w.next = func(wire.Planned) wire.Next {
			return wire.Next{Do: "foresee", After: wire.After{Provision: checkMode("d", "web-1")}}
		}
	})
	w.start().ends("errored", "check mode that has run already")
}

func TestALookFindsStrayedHosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"stacks/web/main.tf": web, "site.yml": pages})
	w.job.Variables["size"], w.job.Secrets["TOKEN"] = text("large"), "s3cr3t-value"
	w.start().ends("succeeded")
	for host, page := range map[string]string{"web-1": "hello s3cr3t-value\n", "web-2": "somebody else\n"} {
		if err := os.WriteFile(filepath.Join(w.out, host), []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.do(func() {
		w.calls, w.log, w.finished = nil, shelf{}, nil
		w.job.Kind, w.job.NoLock, w.job.Provision = "drift", true, checkMode("d", "web-0", "web-1", "web-2")
	})
	w.start().ends("succeeded")
	if want := []string{"claim", "phase planning", "phase checking", "looked", "finish"}; !slices.Equal(w.reported(), want) {
		t.Errorf("reported %q, want %q", w.reported(), want)
	}
	hosts := w.looked.Drift.Hosts
	if len(hosts) != 2 || hosts[0].Host != "web-0" || hosts[0].Status != "failed" || hosts[0].Message == "" || hosts[1].Host != "web-2" || hosts[1].Status != "changed" {
		t.Fatalf("strayed are %+v", hosts)
	}
	if c := hosts[1].Changes; len(c) != 1 || !strings.Contains(c[0].Diff, "-somebody else") || strings.Contains(c[0].Diff, "s3cr3t") {
		t.Errorf("it would change %+v", c)
	}
	if page := w.read("web-2"); page != "somebody else\n" {
		t.Errorf("the look wrote %q", page)
	}
}
