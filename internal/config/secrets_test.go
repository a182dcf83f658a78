package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
)

// encrypted looks as a file does that was encrypted with SOPS. Nothing opens it.
const encrypted = `DB_PASSWORD: ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]
database:
    user: ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]
sops:
    age:
        - recipient: age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
          enc: ""
    lastmodified: "2026-11-01T10:00:00Z"
    mac: ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]
    version: 3.13.3
`

func withSecrets(block string) files {
	return files{
		FileName:                "project \"shop\" {}\nenvironment \"dev\" {\n" + block + "\n}\n",
		"secrets/dev.sops.yaml": encrypted, "plain.yaml": "DB_PASSWORD: x\n",
		"stacks/web/main.tf": "variable \"password\" {\n  type = string\n}\n",
	}
}

func TestSecretsKeptElsewhere(t *testing.T) {
	t.Parallel()
	tree := withSecrets(`  secrets = ["CLOUD_TOKEN"]
  sops {
    file    = "secrets/${environment.name}.sops.yaml"
    secrets = ["DB_PASSWORD"]
  }
  sops {
    file    = "secrets/dev.sops.yaml"
    secrets = { DB_USER = "database.user" }
  }
  vault "main" {
    secrets = { TF_VAR_password = "kv/data/shop/${environment.name}#password" }
  }`)
	tree["stacks/web/main.tf"] = "variable \"password\" {\n  type    = string\n  default = \"\"\n}\n"
	cfg := mustLoad(t, tree)
	e := cfg.Environments[0]
	if diff := cmp.Diff([]string{"CLOUD_TOKEN", "DB_PASSWORD", "DB_USER", "TF_VAR_password"}, e.Secrets); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]SecretFrom{
		"DB_PASSWORD":     {File: "secrets/dev.sops.yaml", Key: "DB_PASSWORD"},
		"DB_USER":         {File: "secrets/dev.sops.yaml", Key: "database.user"},
		"TF_VAR_password": {Vault: "main", Path: "kv/data/shop/dev", Key: "password"},
	}, e.From); diff != "" {
		t.Error(diff)
	}
	vars, err := cfg.VariablesOf("web", "dev", Scope{})
	if err != nil || len(vars) != 1 || !vars[0].Sensitive || vars[0].Where != "vault main, kv/data/shop/dev#password" {
		t.Errorf("variables: %+v, %v", vars, err)
	}
	before, files := cfg.InstanceDigest("web", "dev"), cfg.SecretFiles("dev")
	tree["secrets/dev.sops.yaml"] = encrypted + "# changed\n"
	if cfg = mustLoad(t, tree); len(files) != 1 || cmp.Equal(files, cfg.SecretFiles("dev")) {
		t.Errorf("a change of the file is no change: %v", files)
	}
	tree[FileName] = strings.ReplaceAll(tree[FileName], "#password", "#other")
	if cfg = mustLoad(t, tree); cfg.InstanceDigest("web", "dev") == before {
		t.Error("another place in the vault is no change")
	}
	// A sandbox has the same names, from the same places: which credentials it has decides.
	in, err := cfg.InSandbox(core.Sandbox{Of: "shop", Name: "try", Base: "dev"})
	if err != nil || !cmp.Equal(in.Environments[0].From, cfg.Environments[0].From) || len(in.SecretFiles("try")) != 1 {
		t.Errorf("in a sandbox: %+v, %v", in.Environments, err)
	}
}

func TestSecretsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ block, says string }{
		{`secrets = ["SOPS_AGE_KEY"]`, `"SOPS_AGE_KEY" is for the server alone`},
		{`secrets = ["TERRACE_VAULT_MAIN_TOKEN"]`, "is for the server alone"},
		{`secrets = ["SOPS_AGE_KEY_FILE"]`, "Reserved name"},
		{"sops {\n  file = \"none.yaml\"\n  secrets = [\"X\"]\n}", "There is no encrypted file none.yaml"},
		{"sops {\n  file = \"../x.yaml\"\n  secrets = [\"X\"]\n}", "leads out of the repository"},
		{"sops {\n  file = \"plain.yaml\"\n  secrets = [\"DB_PASSWORD\"]\n}", "plain.yaml is not encrypted"},
		{"sops {\n  file = \"stacks/web/main.tf\"\n  secrets = [\"X\"]\n}", "does not say its format"},
		{"sops {\n  file = \"secrets/dev.sops.yaml\"\n  secrets = [\"DB_PASWORD\"]\n}", `Did you mean "DB_PASSWORD"?`},
		{"sops {\n  file = \"secrets/dev.sops.yaml\"\n  secrets = [\"PATH\"]\n}", "Reserved name"},
		{"secrets = [\"DB_PASSWORD\"]\nsops {\n  file = \"secrets/dev.sops.yaml\"\n  secrets = [\"DB_PASSWORD\"]\n}", "Two places for the secret DB_PASSWORD"},
		{"sops {\n  file = stack.web.id\n  secrets = []\n}", "file cannot refer to stack"},
		{"sops {\n  secrets = []\n}", `Missing argument "file"`},
		{"vault \"main\" {\n  secrets = { X = \"kv/data/shop\" }\n}", "is no place in a vault"},
		{"vault \"main\" {\n  secrets = { X = \"kv/../sys/seal#x\" }\n}", "is no place in a vault"},
		{"vault \"main\" {\n  secrets = { X = \"sys/raw/x#x\" }\n}", "is an interface of the vault"},
		{"vault \"main\" {\n  secrets = { X = stack.web.id }\n}", "secrets cannot refer to stack"},
		{"vault \"main\" {\n  secrets = 3\n}", "An object is needed"},
		{"vault {\n  secrets = {}\n}", `needs one label`},
		{"vault \"main\" {\n  address = \"https://evil.example\"\n  secrets = {}\n}", `Unknown argument "address"`},
	} {
		tree := withSecrets(c.block)
		tree["stacks/web/main.tf"] = ""
		_, diags := Load(tree, ".")
		if got := strings.Join(strings.Fields(Render(diags, tree, false)), " "); !strings.Contains(got, c.says) {
			t.Errorf("%s: want %q, got\n%s", c.block, c.says, got)
		}
	}
}

func TestVaultsOfGuardrails(t *testing.T) {
	t.Parallel()
	g := guards(t, `vault "main" {
  address      = "https://vault.example.com:8200"
  namespace    = "team-a"
  auth         = "approle"
  paths        = ["kv/data/${project.name}/${environment.name}/*", "kv/data/common"]
  environments = ["prod*", "sandboxes"]
}
`)
	v, err := g.VaultOf("main", "shop", "production")
	if err != nil || !v.AppRole || v.Mount != "approle" || v.Namespace != "team-a" {
		t.Fatalf("%+v, %v", v, err)
	}
	for path, want := range map[string]bool{
		"kv/data/shop/production/db": true, "kv/data/shop/production/a/b": true, "kv/data/common": true,
		"kv/data/shop/staging/db": false, "kv/data/shop/production": false, "kv/data/blog/production/db": false, "kv/data/commons": false,
	} {
		if v.Allows(path, "shop", "production") != want {
			t.Errorf("%s: want %v", path, want)
		}
	}
	for name, environment := range map[string]string{"main": "dev", "other": "production"} {
		if _, err := g.VaultOf(name, "shop", environment); core.CodeOf(err) != core.NotFound {
			t.Errorf("%s in %s: %v", name, environment, err)
		}
	}
	for _, c := range []struct{ block, says string }{
		{`address = "http://vault.example.com"`, "it has to be https://"},
		{`address = "https://user:pw@vault.example.com"`, "and nothing else"},
		{`address = "https://vault.example.com/v1"`, "and nothing else"},
		{"address = \"https://v\"\npaths = [\"kv/*\"]\n}\nvault \"MAIN\" {\naddress = \"https://w\"\npaths = [\"kv/*\"]", "are too much alike"},
		{"address = \"https://v\"\nauth = \"ldap\"", `Unknown auth "ldap"`},
		{"address = \"https://v\"\nmount = \"../x\"", "is not the path of an auth method"},
		{"address = \"https://v\"\npaths = []", `"paths" is empty`},
		{"address = \"https://v\"\npaths = [\"*\"]", "reaches too far"},
		{"address = \"https://v\"\npaths = [\"kv/${environment.variables.x}\"]", "paths"},
		{"address = \"https://v\"\npaths = [\"kv/${stack.x}\"]", "paths"},
		{`namespace = "x"`, `Missing argument "address"`},
	} {
		paths := ""
		if !strings.Contains(c.block, "paths") {
			paths = "\npaths = [\"kv/*\"]"
		}
		tree := files{GuardrailsFile: "vault \"main\" {\n" + c.block + paths + "\n}\n"}
		_, diags := LoadGuardrails(tree)
		if got := strings.Join(strings.Fields(Render(diags, tree, false)), " "); !diags.HasErrors() || !strings.Contains(got, c.says) {
			t.Errorf("%s: want %q, got\n%s", c.block, c.says, got)
		}
	}
}

func TestAddressesOfVaults(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"https://vault.example.com": true, "https://vault.example.com:8200/": true, "http://127.0.0.1:8200": true, "http://localhost:8200": true,
		"http://vault.example.com": false, "http://127.0.0.1.evil.example": false, "ftp://vault": false, "vault.example.com": false,
		"https://u@v": false, "https://v/v1": false, "https://v?x": false, "": false,
	} {
		if err := checkVaultAddress(address); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
}
