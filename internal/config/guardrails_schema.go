package config

import "github.com/terrace-cd/terrace/internal/core"

// guardedSettings are what of an environment block of terrace.hcl the guardrails may say
// too, with the same meaning. To let them say another, name it here: it is decoded, and
// judged as one more source, by the code that does so for terrace.hcl.
var guardedSettings = []string{"max_destroy", "max_replace", "approval", "window", "freeze", "parity"}

// guardedProtection is likewise what of a stack block they may say.
var guardedProtection = []string{"stateful", "immutable", "zero_downtime"}

var guardrailsSchema = &blockSchema{Blocks: []*blockSchema{
	guardedEnvironmentSchema, guardedStackSchema, guardedVaultSchema, allowSchema, policySchema, exceptionsSchema, skipSchema, sandboxesSchema, userSchema, groupSchema, roleSchema,
}}

// pick is the part of a schema that has these names.
func (b *blockSchema) pick(names ...string) (attrs []attrSchema, blocks []*blockSchema) {
	for _, name := range names {
		if a := b.attr(name); a != nil {
			attrs = append(attrs, *a)
		}
		if inner := b.block(name); inner != nil {
			blocks = append(blocks, inner)
		}
	}
	return attrs, blocks
}

var (
	inProjects     = attrSchema{Name: "projects", Type: "list of patterns", Default: `["*"]`, Doc: "In which projects."}
	inEnvironments = attrSchema{Name: "environments", Type: "list of patterns", Default: `["*"]`, Doc: "In which environments."}
)

var guardedEnvironmentSchema = func() *blockSchema {
	attrs, blocks := environmentSchema.pick(guardedSettings...)
	return &blockSchema{
		Type: "environment", Label: "the environments, as a pattern", As: "PATTERN", Many: true,
		Doc:   "What holds in every environment that the pattern means, beside what `terrace.hcl` says. With several blocks that mean an environment, each holds.",
		Attrs: append([]attrSchema{inProjects, guardedVariablesSchema}, attrs...), Blocks: blocks,
	}
}()

var guardedVariablesSchema = attrSchema{Name: "variables", Type: "object", Default: "{}",
	Doc: "Values of variables, which win over all that a repository says. Each reaches every stack that declares a variable of that name. Of several blocks that mean an environment, the last one that gives a variable decides."}

var guardedVaultSchema = &blockSchema{
	Type: "vault", Label: "the vault", Many: true,
	Doc: "A Vault or OpenBao that the server reads secrets of environments from. A `vault` block in `terrace.hcl` names it. The server logs in with what is stored for the environment: `terrace secret set ENVIRONMENT TERRACE_VAULT_NAME_TOKEN`, or `…_ROLE_ID` and `…_SECRET_ID`.",
	Attrs: []attrSchema{
		{Name: "address", Type: "string", Required: true, Doc: "`https://HOST:PORT`. The server sends its token nowhere else, also when it is redirected."},
		{Name: "namespace", Type: "string", Doc: "The namespace of all that is asked."},
		{Name: "auth", Type: "string", Default: `"token"`, Values: []string{"token", "approle"}, Doc: "How the server logs in."},
		{Name: "mount", Type: "string", Default: `"approle"`, Doc: "Where the vault has AppRole, below `auth/`."},
		{Name: "ca", Type: "string", Doc: "Certificates (PEM) that the vault's is checked with, instead of the machine's."},
		{Name: "paths", Type: "list of patterns", Required: true, Sees: seesPlace, Doc: "What may be read, for example `[\"kv/data/${project.name}/${environment.name}/*\"]`. `*` stands for any text. `environment.name` is that of the environment whose credentials are used: for what is stored for all sandboxes, `sandboxes`."},
		inProjects, inEnvironments,
	},
}

var guardedStackSchema = func() *blockSchema {
	attrs, _ := stackSchema.pick(guardedProtection...)
	return &blockSchema{
		Type: "stack", Label: "the stacks, as a pattern", As: "PATTERN", Many: true,
		Doc:   "Protection of every stack that the pattern means.",
		Attrs: append([]attrSchema{inProjects, inEnvironments}, attrs...),
	}
}()

var allowSchema = &blockSchema{
	Type: "allow", Many: true,
	Doc: "What may be used. What is not written restricts nothing. With several blocks that hold somewhere, each has to be met.",
	Attrs: []attrSchema{
		inProjects, inEnvironments,
		{Name: "engines", Type: "list of engines", Doc: "`tofu` and `terraform`."},
		{Name: "engine_versions", Type: "string", Doc: "A version constraint, for example `>= 1.10, < 2.0`."},
		{Name: "providers", Type: "list of patterns", Doc: "Of full addresses, HOST/NAMESPACE/NAME, for example `\"registry.opentofu.org/hashicorp/*\"`."},
		{Name: "modules", Type: "list of patterns", Doc: "Of sources of modules from elsewhere, as they are written in the code, for example `\"git::https://git.example.com/*\"`. Modules of the repository itself may always be used."},
	},
}

var policySchema = &blockSchema{
	Type: "policy", Label: "the policy", Many: true,
	Doc: "Rego that judges every plan.",
	Attrs: []attrSchema{
		{Name: "files", Type: "list of globs", Required: true, Doc: "Files beside the guardrails' file, for example `\"policies/*.rego\"`. They are stored with the guardrails. Those whose names end with `_test.rego` have tests and judge nothing."},
		{Name: "namespaces", Type: "list of packages", Default: `["main"]`, Doc: "The packages whose rules judge."},
		inProjects, inEnvironments,
	},
}

var exceptionsSchema = &blockSchema{
	Type: "exceptions", Many: true,
	Doc: "How exceptions from protection (`terrace except`) are made. With several blocks that hold somewhere, the strictest decides.",
	Attrs: []attrSchema{
		inProjects, inEnvironments,
		{Name: "second_person", Type: "bool", Default: "false", Doc: "An exception lets nothing until another operator has confirmed it."},
		{Name: "max", Type: "duration", Default: `"168h"`, Doc: "How long an exception may last at most."},
	},
}

var skipSchema = &blockSchema{
	Type: "skip", Many: true,
	Doc: "How gates are skipped.",
	Attrs: []attrSchema{
		inProjects, inEnvironments,
		{Name: "second_person", Type: "bool", Default: "false", Doc: "A gate is skipped when another operator has confirmed it."},
	},
}

var sandboxesSchema = &blockSchema{
	Type: "sandboxes", Many: true,
	Doc: "How many sandboxes there may be, and for how long. With several blocks that mean a project, the strictest decides.",
	Attrs: []attrSchema{
		inProjects,
		{Name: "per_person", Type: "number", Default: "5", Doc: "How many one person may have at a time. 0 means none."},
		{Name: "per_project", Type: "number", Default: "50", Doc: "How many a project may have at a time. 0 means none."},
		{Name: "longest", Type: "duration", Default: `"168h"`, Doc: "How far ahead the end of a sandbox may be."},
	},
}

var userSchema = &blockSchema{
	Type: "user", Label: "the user", Many: true,
	Doc: "Who a user is in git. A user without a block is known by their token alone.",
	Attrs: []attrSchema{
		{Name: "emails", Type: "list of addresses", Required: true, Doc: "Their addresses as authors of commits, by which an approval knows that they would approve their own work."},
	},
}

var groupSchema = &blockSchema{
	Type: "group", Label: "the group", Many: true,
	Doc: "Users who are named together, in `from` of approvals and in roles.",
	Attrs: []attrSchema{
		{Name: "members", Type: "list of users", Required: true, Doc: "Each `user:NAME`."},
	},
}

var roleSchema = &blockSchema{
	Type: "role", Label: "the role", Labels: roleNames(), Many: true,
	Doc: "Who may do what, and where. Each role includes those before it. Once there is a role block, a token that was made without a role of its own may do what these blocks give its user, and nothing else.",
	Attrs: []attrSchema{
		{Name: "members", Type: "list of people", Required: true, Doc: "Each `user:NAME` or `group:NAME`."},
		inProjects, inEnvironments,
	},
}

func roleNames() (names []string) {
	for _, r := range core.Roles() {
		names = append(names, string(r))
	}
	return names
}
