package config

import (
	"cmp"
	"fmt"
	"strings"
)

// Reference writes docs/reference/configuration.md from the schema. A test compares
// the file with it.
func Reference() string {
	var w strings.Builder
	w.WriteString(`<!-- Generated from internal/config/schema.go: go test ./internal/config -run TestReference -update -->

# Configuration reference

A project is one ` + "`terrace.hcl`" + ` in a git repository. ` + "`terrace init`" + ` writes one, ` + "`terrace validate`" + ` checks it
and ` + "`terrace fmt`" + ` formats it. Paths are relative to the folder of the file and stay inside the repository.

The smallest useful file:

` + "```hcl" + `
project "shop" {}

environment "dev" {}

environment "production" {
  after = ["dev"]
}
` + "```" + `

## Types

| type | is written |
|---|---|
| duration | a number with a unit, ` + "`\"90s\"`, `\"10m\"`, `\"1h30m\"`" + ` |
| time of day | ` + "`\"HH:MM\"`" + ` |
| date and time | ` + "`\"YYYY-MM-DDTHH:MM\"`" + `, by the clocks of ` + "`zone`" + ` |
| glob | ` + "`*`" + ` within one name, ` + "`**`" + ` any number of folders, ` + "`[ab]`, `{a,b}`" + ` |
| address | ` + "`TYPE.NAME` or `module.NAME.TYPE.NAME`, `*`" + ` for any part of a name |
| name | of a project, an environment or a stack: 1 to 63 letters, digits, ` + "`-` and `_`" + `, starting with a letter or digit |

`)
	for _, b := range fileSchema.Blocks {
		writeBlock(&w, b, 2)
	}
	w.WriteString(`## Expressions

What an expression may refer to depends on when it is evaluated; the column *sees* above says which of these. A dash there means a plain value.

| name | is |
|---|---|
| ` + "`environment.name`, `environment.variables.NAME`" + ` | the environment and its variables |
| ` + "`release.commit`, `release.number`" + ` | the release that is deployed |
| ` + "`sandbox.name`, `sandbox.owner`" + ` | the sandbox, null elsewhere |
| ` + "`stack.NAME.OUTPUT`" + ` | an output of another stack in the same environment |
| ` + "`output.NAME`" + ` | an output of the stack itself, after its apply |

An output that a root module declares and that is not in its state is null. Environment variables, secrets and the network are not visible.

Functions: ` + "`" + strings.Join(functionNames(), "`, `") + "`" + `.
They work as in OpenTofu and Terraform. ` + "`file`" + ` reads a text inside the repository.

## Variables

Where a variable of a stack gets its value from; later ones win:

1. ` + "`terraform.tfvars`" + ` and ` + "`*.auto.tfvars`" + ` in the stack's folder, which the engine reads by itself
2. ` + "`variables`" + ` of the environment, when the stack declares a variable of that name
3. ` + "`var_files`" + ` of the stack, in order
4. ` + "`inputs`" + ` of the stack

Before anything is planned, every variable of every stack in every environment is checked: one without a value and without a default, or of the
wrong type, is an error.
`)
	return w.String()
}

// GuardrailsReference writes docs/reference/guardrails.md from the schema.
func GuardrailsReference() string {
	var w strings.Builder
	w.WriteString(`<!-- Generated from internal/config/guardrails_schema.go: go test ./internal/config -run TestReference -update -->

# Guardrails reference

What no repository can weaken, in one ` + "`guardrails.hcl`" + ` that administrators keep on the server: ` + "`terrace guardrails set guardrails.hcl`" + `.
Everything is optional, and an empty file says nothing. [How it is used](../how-to/guardrails.md).

A *pattern* is a name in which ` + "`*`" + ` stands for any text: ` + "`\"prod*\"`" + `. Where several blocks hold, all of them do. Every value is plain;
the functions of [terrace.hcl](configuration.md) but ` + "`file`" + ` may be used. Other types are as there.

`)
	for _, b := range guardrailsSchema.Blocks {
		writeBlock(&w, b, 2)
	}
	return strings.TrimRight(w.String(), "\n") + "\n"
}

func writeBlock(w *strings.Builder, b *blockSchema, level int) {
	header := b.Type
	switch {
	case b.Labels != nil:
		header += fmt.Sprintf(" %q", strings.Join(b.Labels, "|"))
	case b.Label != "":
		header += fmt.Sprintf(" %q", cmp.Or(b.As, "NAME"))
	}
	fmt.Fprintf(w, "%s %s\n\n%s", strings.Repeat("#", level), header, b.Doc)
	if b.Many {
		w.WriteString(" May occur several times.")
	}
	w.WriteString("\n\n| argument | type | default | sees | |\n|---|---|---|---|---|\n")
	for _, a := range b.Attrs {
		def := a.Default
		switch {
		case a.Required:
			def = "*required*"
		case def == "":
			def = "none"
		case strings.ContainsAny(def, `"[{0123456789`) || def == "false":
			def = "`" + def + "`"
		}
		typ := a.Type
		if a.Values != nil {
			typ = "`\"" + strings.Join(a.Values, "\"` or `\"") + "\"`"
		}
		sees := "–"
		if a.Sees != nil {
			sees = strings.Join(a.Sees, ", ")
		}
		fmt.Fprintf(w, "| `%s` | %s | %s | %s | %s |\n", a.Name, typ, def, sees, strings.ReplaceAll(a.Doc, "|", "\\|"))
	}
	w.WriteString("\n")
	for _, inner := range b.Blocks {
		writeBlock(w, inner, level+1)
	}
}
