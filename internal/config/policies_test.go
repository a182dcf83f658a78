package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPolicyFiles(t *testing.T) {
	t.Parallel()
	tree := files{
		"live/terrace.hcl":             "project \"shop\" {\n  policies          = [\"policies/**/*.rego\", \"../policies/tags.rego\", \"policies/a*\"]\n  policy_namespaces = [\"main\", \"terraform.sizes\"]\n}\nenvironment \"dev\" {}\n",
		"live/stacks/web/main.tf":      "",
		"live/policies/a.rego":         "package a",
		"live/policies/a.md":           "",
		"live/policies/b/b_test.rego":  "package b",
		"policies/tags.rego":           "package main",
		"policies/other.rego":          "package other",
		"live/stacks/web/outside.rego": "",
	}
	cfg, diags := Load(tree, "live")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	files, err := cfg.PolicyFiles()
	if err != nil {
		t.Fatal(err)
	}
	want := []PolicyFile{{Path: "live/policies/a.rego", Text: "package a"}, {Path: "live/policies/b/b_test.rego", Text: "package b"}, {Path: "policies/tags.rego", Text: "package main"}}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"main", "terraform.sizes"}, cfg.Project.PolicyNamespaces); diff != "" {
		t.Error(diff)
	}
}
