package config

// The language as data: decode.go reads bodies by it, reference.go writes the
// documentation from it. Order is the order of the documentation.

// blockSchema describes a kind of block.
type blockSchema struct {
	Type   string
	Label  string   // what its label names, "" when it has none
	As     string   // how the reference writes its label; "" means "NAME"
	Labels []string // the labels it may have, nil for any name
	Many   bool     // may occur several times in its parent
	Doc    string
	Attrs  []attrSchema
	Blocks []*blockSchema
}

// attrSchema describes an argument.
type attrSchema struct {
	Name     string
	Type     string
	Required bool
	Default  string // as written in terrace.hcl, "" when there is none
	Values   []string
	// Sees names what its expression may refer to, nil for a plain value.
	Sees []string
	Doc  string
}

func (b *blockSchema) attr(name string) *attrSchema {
	for i := range b.Attrs {
		if b.Attrs[i].Name == name {
			return &b.Attrs[i]
		}
	}
	return nil
}

func (b *blockSchema) block(name string) *blockSchema {
	for _, s := range b.Blocks {
		if s.Type == name {
			return s
		}
	}
	return nil
}

// Which roots an expression sees depends on when it is evaluated: to find files, to
// plan, or after an apply.
var (
	seesEnvironment = []string{"environment"}
	seesBackend     = []string{"environment", "stack"}
	seesPlace       = []string{"project", "environment"}
	seesInputs      = []string{"environment", "release", "sandbox", "stack", "image"}
	seesAfter       = []string{"environment", "release", "sandbox", "stack", "image", "output"}
	seesHost        = []string{"environment", "release", "sandbox", "stack", "image", "output", "self", "resource"}
)

var fileSchema = &blockSchema{Blocks: []*blockSchema{projectSchema, environmentSchema, imageSchema, stackSchema}}

var projectSchema = &blockSchema{
	Type: "project", Label: "the project",
	Doc: "The project. A file has exactly one.",
	Attrs: []attrSchema{
		{Name: "engine", Type: "string", Default: `"tofu"`, Values: []string{"tofu", "terraform"}, Doc: "What plans and applies."},
		{Name: "engine_version", Type: "string", Doc: "A version constraint, for example `~> 1.12`. A fitting engine is taken from PATH, otherwise installed and kept."},
		{Name: "stacks", Type: "list of globs", Default: `["stacks/*"]`, Doc: "Every match that is a root module (a folder with `.tf`, `.tofu`, `.tf.json` or `.tofu.json` files) becomes a stack named after its folder. `*` matches within one folder name, `**` any number of folders. A folder that a `stack` block names as its `path` is not discovered again."},
		{Name: "state", Type: "string", Default: `"terrace"`, Values: []string{"terrace", "stack"}, Doc: "`terrace` keeps state in the built-in backend; `stack` leaves each stack's own backend block alone."},
		{Name: "backend", Type: "object", Default: "{}", Sees: seesBackend, Doc: "With `state = \"stack\"`: settings that complete the backend block of every stack, for example `{ key = \"${environment.name}/${stack.name}.tfstate\" }`. `stack.name` is the stack's name. Secrets do not belong here: backends read them from environment variables, which `secrets` of an environment become."},
		{Name: "policies", Type: "list of globs", Default: "[]", Doc: "Rego files that judge every plan, with the conventions of conftest: `deny`, `violation` and `warn`. Each pattern has to match a file whose name ends with `.rego`; those that end with `_test.rego` have tests and judge nothing. See [policies](policies.md)."},
		{Name: "policy_namespaces", Type: "list of packages", Default: `["main"]`, Doc: "The packages of the policies whose rules judge."},
		{Name: "parallel", Type: "number", Default: "10", Doc: "How many runs of one stage may be active at once, at least 1."},
		{Name: "variables", Type: "object", Default: "{}", Sees: seesEnvironment, Doc: "Variables of every environment; those of an environment win over them. Expressions see `environment.name` only. See [variables](../how-to/variables.md)."},
	},
	Blocks: []*blockSchema{parityRulesSchema},
}

var environmentSchema = &blockSchema{
	Type: "environment", Label: "the environment", Many: true,
	Doc: "A place that stacks are deployed to. `after` makes the promotion order; environments without it come first.",
	Attrs: []attrSchema{
		{Name: "after", Type: "list of environments", Default: "[]", Doc: "A release enters only when it is verified in all of these."},
		{Name: "bake", Type: "duration", Default: `"0s"`, Doc: "How long verification keeps running before the release may go on."},
		{Name: "queue", Type: "string", Default: `"newest"`, Values: []string{"newest", "every"}, Doc: "`newest`: a newer release overtakes those that wait. `every`: each commit goes through, in order."},
		{Name: "rollback", Type: "string", Default: `"manual"`, Values: []string{"manual", "auto"}, Doc: "`auto`: a definite verification failure starts a rollback."},
		{Name: "drift", Type: "duration", Default: `"0s"`, Doc: "How often what is there is compared with the states, for example `\"6h\"`, while no release is on its way through. `\"0s\"`: only when somebody asks. That of the release that is there counts. See [drift](../how-to/drift.md)."},
		{Name: "secrets", Type: "list of names", Default: "[]", Doc: "Secrets that runs here receive as environment variables. Names only: the values are kept on the server, per environment. For those that are kept elsewhere there are `sops` and `vault` blocks. See [secrets](../how-to/secrets.md)."},
		{Name: "variables", Type: "object", Default: "{}", Sees: seesEnvironment, Doc: "Each reaches every stack that declares a variable of that name. Var files, inputs and the guardrails win over it. Expressions see `environment.name` only. See [variables](../how-to/variables.md)."},
		{Name: "max_destroy", Type: "number", Doc: "A stage that would destroy more resources needs an approval."},
		{Name: "max_replace", Type: "number", Doc: "A stage that would replace more resources needs an approval."},
	},
	Blocks: []*blockSchema{sopsSchema, vaultSchema, approvalSchema, windowSchema, freezeSchema, parityGateSchema},
}

var sopsSchema = &blockSchema{
	Type: "sops", Many: true,
	Doc: "Secrets in a file of the repository that is encrypted with SOPS for an age key. The server opens it with the key that was stored for the environment (`terrace secret set ENVIRONMENT SOPS_AGE_KEY`), which no run gets.",
	Attrs: []attrSchema{
		{Name: "file", Type: "string", Required: true, Sees: seesEnvironment, Doc: "The file, relative to terrace.hcl: `.yaml`, `.json` or `.env`, for example `\"secrets/${environment.name}.sops.yaml\"`."},
		{Name: "secrets", Type: "list of names or object", Required: true, Doc: "Which secrets runs receive from it: names of values at the top of the file, or an object of names with the places of values, `{ DB_PASSWORD = \"database.password\" }`."},
	},
}

var vaultSchema = &blockSchema{
	Type: "vault", Label: "the vault, as in the guardrails", Many: true,
	Doc: "Secrets in a Vault or OpenBao. Where it is, how the server logs in and which paths may be read is in the guardrails; here is only what is wanted.",
	Attrs: []attrSchema{
		{Name: "secrets", Type: "object", Required: true, Sees: seesEnvironment, Doc: "Names of secrets that runs receive, with where each is, `PATH#KEY`: `{ DB_PASSWORD = \"kv/data/shop/${environment.name}#password\" }`. The path is that of the API: with version 2 of the key/value store, `data/` follows the mount."},
	},
}

var approvalSchema = &blockSchema{
	Type: "approval",
	Doc:  "People who have to agree before the environment changes.",
	Attrs: []attrSchema{
		{Name: "count", Type: "number", Default: "1", Doc: "How many, at least 1."},
		{Name: "from", Type: "list of people", Default: "[]", Doc: "`user:NAME` or `group:NAME`; empty means anybody who may approve here."},
		{Name: "others", Type: "bool", Default: "false", Doc: "Neither the commit's author nor who asked for the rollout counts."},
		{Name: "expires", Type: "duration", Default: `"72h"`, Doc: "How long an approval counts. A plan that is not applied within it waits for approval again."},
	},
}

var windowSchema = &blockSchema{
	Type: "window", Many: true,
	Doc: "When the environment may change. With several windows, it may in any of them.",
	Attrs: []attrSchema{
		{Name: "days", Type: "list of days", Default: `["mon", "tue", "wed", "thu", "fri", "sat", "sun"]`, Doc: "Days on which the window opens."},
		{Name: "from", Type: "time of day", Default: `"00:00"`, Doc: "When it opens, HH:MM."},
		{Name: "to", Type: "time of day", Default: `"24:00"`, Doc: "When it closes, HH:MM. Earlier than `from` means on the next day."},
		{Name: "zone", Type: "time zone", Default: `"UTC"`, Doc: "An IANA time zone, for example `Europe/London`."},
	},
}

var freezeSchema = &blockSchema{
	Type: "freeze", Many: true,
	Doc: "When the environment may not change, though a window is open. `terrace freeze` does the same without a commit. Where clocks are put back, `from` is the first of two times and `to` the second; a time that they leave out is the moment in which they are put forward.",
	Attrs: []attrSchema{
		{Name: "from", Type: "date and time", Required: true, Doc: "When it begins, YYYY-MM-DDTHH:MM."},
		{Name: "to", Type: "date and time", Required: true, Doc: "When it ends."},
		{Name: "zone", Type: "time zone", Default: `"UTC"`, Doc: "Whose clocks are meant: an IANA time zone, for example `Europe/Berlin`."},
		{Name: "reason", Type: "string", Doc: "Why, for everybody who waits."},
	},
}

var imageSchema = &blockSchema{
	Type: "image", Label: "the image", Many: true,
	Doc: "Something that is built once, before what uses it is planned, and is the same in every environment: a machine image, a container, an archive. `image.NAME.id` is what its command told. It is built anew when `command`, the program, `reads`, `variables`, `environment` or the names in `secrets` change. See [images](../how-to/images.md).",
	Attrs: []attrSchema{
		{Name: "command", Type: "list of strings", Required: true, Doc: "The command and its arguments, without a shell, in the folder of terrace.hcl. The last line of its standard output that is not empty is the image's id. A program of the repository, for example `\"scripts/image.sh\"`, is among what the image is made of."},
		{Name: "reads", Type: "list of globs", Default: "[]", Doc: "The files that go into the image, relative to terrace.hcl. Each pattern has to match one."},
		{Name: "variables", Type: "object", Default: "{}", Doc: "Environment variables of the command, under these names."},
		{Name: "environment", Type: "environment", Doc: "Whose secrets the command gets. A release has to come through it to reach every environment that uses the image."},
		{Name: "secrets", Type: "list of names", Default: "[]", Doc: "Secrets of that environment that the command gets, as environment variables. Their values are no part of the image."},
		{Name: "within", Type: "duration", Default: `"30m"`, Doc: "How long the command may take."},
	},
}

var stackSchema = &blockSchema{
	Type: "stack", Label: "the stack", Many: true,
	Doc: "Settings of a stack. A stack that needs none has no block: it is discovered.",
	Attrs: []attrSchema{
		{Name: "path", Type: "string", Default: "the discovered root module of that name", Sees: seesEnvironment, Doc: "The root module, relative to terrace.hcl, for example `\"live/${environment.name}/web\"`."},
		{Name: "environments", Type: "list of environments", Default: "all", Doc: "Where it is deployed."},
		{Name: "moved_from", Type: "string", Doc: "The name that the stack had before. Where the old one has a state and this one has none, the state becomes this one's, and the first plan has to change nothing that exists. Leave it until the release has been everywhere."},
		{Name: "var_files", Type: "list of paths", Default: "[]", Sees: seesEnvironment, Doc: "`.tfvars` or `.tfvars.json` files, relative to terrace.hcl. The last one wins."},
		{Name: "inputs", Type: "object", Default: "{}", Sees: seesInputs, Doc: "Variables of the stack. `stack.NAME.OUTPUT` is an output of another stack in the same environment, which is also what makes this stack depend on that one; `image.NAME.id` is an image, which is built first."},
		{Name: "backend", Type: "object", Default: "{}", Sees: seesBackend, Doc: "Settings that complete the stack's own backend block, with `state = \"stack\"`. Each wins over the project's of the same name; `null` removes it."},
		{Name: "reads", Type: "list of globs", Default: "[]", Sees: seesEnvironment, Doc: "Further files that the stack reads, relative to terrace.hcl, where Terrace cannot see it in the code."},
		{Name: "immutable", Type: "list of addresses", Default: "[]", Doc: "Resources that are replaced, never updated in place, for example `\"democloud_server.*\"`."},
		{Name: "stateful", Type: "list of addresses", Default: "[]", Doc: "Resources that are never destroyed or replaced without an exception by name."},
		{Name: "zero_downtime", Type: "bool", Default: "false", Doc: "Deny a replacement that destroys before it creates."},
	},
	Blocks: []*blockSchema{beforeChangeSchema, ansibleSchema, verifySchema},
}

var beforeChangeSchema = &blockSchema{
	Type: "before_change",
	Doc:  "Runs before an apply that updates, replaces, destroys or forgets a `stateful` resource, for a backup. Its outputs are those that the instance has before the apply. When it fails, nothing is changed.",
	Attrs: []attrSchema{
		{Name: "command", Type: "list of strings", Required: true, Sees: seesAfter, Doc: "The command and its arguments, without a shell, in the folder of terrace.hcl."},
		{Name: "within", Type: "duration", Default: `"30m"`, Doc: "How long it may take."},
	},
}

var ansibleSchema = &blockSchema{
	Type: "ansible",
	Doc:  "Runs a playbook after the apply, on hosts that are new, or for which something changed. See [inventories](../how-to/ansible-inventory.md).",
	Attrs: []attrSchema{
		{Name: "playbook", Type: "string", Required: true, Sees: seesEnvironment, Doc: "The playbook, relative to terrace.hcl."},
		{Name: "inventory", Type: "object", Sees: seesAfter, Doc: "Groups of hosts, beside those of `inventory` blocks. A group is a list of addresses, a list of objects (`name`, `host`, `vars`, `id`, `host_keys`, and any `ansible_…` variable), or a map from host name to address or variables, of which `id` and `host_keys` are understood as well."},
		{Name: "optional", Type: "list of groups", Default: "[]", Sees: seesEnvironment, Doc: "Groups that may have no hosts. Any other group without hosts is an error."},
		{Name: "variables", Type: "object", Default: "{}", Sees: seesAfter, Doc: "Extra variables of the playbook."},
		{Name: "secrets", Type: "list of names", Default: "[]", Doc: "Secrets of the environment that Ansible gets. `SSH_KEY` is the key of connections."},
		{Name: "check", Type: "bool", Default: "false", Doc: "Show the changes of check mode with the plan."},
		{Name: "within", Type: "duration", Default: `"5m"`, Doc: "How long to wait until the hosts answer."},
		{Name: "bastion", Type: "string or object", Default: "`null`", Sees: seesAfter, Doc: "The host that connections go through: `\"[user@]host[:port]\"`, or an object with `host`, `port`, `user` and `host_keys`; null for none."},
		{Name: "mitogen", Type: "bool", Default: "false", Doc: "Connect with Mitogen, which has to be installed where Ansible is."},
		{Name: "twice", Type: "bool", Default: "false", Sees: seesEnvironment, Doc: "Run the playbook a second time where it changed something, and warn of tasks that change something again."},
		{Name: "together", Type: "bool", Default: "whether the files mention other hosts", Doc: "Hosts are provisioned again when anything of the inventory changes, also of other hosts. Found out by default: from `hostvars`, `groups`, `delegate_to` and the like in playbooks, roles and templates."},
	},
	Blocks: []*blockSchema{inventorySchema},
}

var inventorySchema = &blockSchema{
	Type: "inventory", Label: "the type of resource", As: "TYPE", Many: true,
	Doc: "Makes hosts of resources in the instance's own state, also of those in modules. `self` is the resource with its attributes, `resource` has its `address`, `type`, `name`, `key` (of count or for_each) and `module`. A host that is selected more than once is one host, in all of the groups.",
	Attrs: []attrSchema{
		{Name: "where", Type: "bool", Default: "`true`", Sees: seesHost, Doc: "Which of them are hosts, for example `try(self.tags.role, \"\") == \"web\"`."},
		{Name: "host", Type: "string", Required: true, Sees: seesHost, Doc: "Where the host is reached, for example `self.private_ip`."},
		{Name: "name", Type: "string", Default: "that of `host`", Sees: seesHost, Doc: "What the inventory calls it."},
		{Name: "groups", Type: "list of groups", Required: true, Sees: seesHost, Doc: "The groups that it is in, at least one."},
		{Name: "vars", Type: "object", Default: "{}", Sees: seesHost, Doc: "Its variables."},
		{Name: "id", Type: "string", Default: "`self.id`", Sees: seesHost, Doc: "What tells it from another host that had its name before: a host with another id is provisioned anew, and its host key may be another one. null when nothing tells."},
		{Name: "host_keys", Type: "list of strings or string", Default: "`null`", Sees: seesHost, Doc: "Its SSH host keys (`ssh-ed25519 AAAA…`), in a list or with one in each line: no other one is accepted. null: the first one that it shows is kept."},
		{Name: "optional", Type: "bool", Default: "false", Sees: seesEnvironment, Doc: "There may be no such resource. Otherwise it is an error."},
	},
}

var verifySchema = &blockSchema{
	Type: "verify", Label: "what kind of check it is", Labels: []string{"http", "command", "prometheus"}, Many: true,
	Doc: "What has to hold after the apply, and through the bake. `verify \"http\"` asks for `url`; `verify \"command\"` runs `command`, which has to end with exit code 0; `verify \"prometheus\"` asks the server at `url` for `query` and compares every number with `below`, `above` or `equals`.",
	Attrs: []attrSchema{
		{Name: "url", Type: "string", Sees: seesAfter, Doc: "For `http` and `prometheus`, required; of a Prometheus without `/api/v1`."},
		{Name: "status", Type: "number", Default: "200", Doc: "For `http`: the status that is a pass."},
		{Name: "command", Type: "list of strings", Sees: seesAfter, Doc: "For `command`, required: the command and its arguments, without a shell, in the folder of terrace.hcl."},
		{Name: "query", Type: "string", Sees: seesAfter, Doc: "For `prometheus`, required: PromQL that gives a number, or several. None at all, or `NaN`, is inconclusive."},
		{Name: "below", Type: "number", Doc: "For `prometheus`: every number has to be less."},
		{Name: "above", Type: "number", Doc: "For `prometheus`: every number has to be greater."},
		{Name: "equals", Type: "number", Doc: "For `prometheus`: every number has to be exactly this."},
		{Name: "token", Type: "string", Doc: "For `prometheus`: the secret of the environment that is sent as bearer token."},
		{Name: "username", Type: "string", Doc: "For `prometheus`: who logs in, with `password`."},
		{Name: "password", Type: "string", Doc: "For `prometheus`: the secret of the environment that `username` logs in with."},
		{Name: "within", Type: "duration", Default: `"2m"`, Doc: "How long to go on trying."},
	},
}
