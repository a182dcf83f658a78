package config

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// moduleBackend is the backend block of a root module.
type moduleBackend struct {
	kind string // "s3", …; "cloud" for a cloud block
	text string // its source, for telling two of them apart
	path string // of a local backend, where it is a plain string
	// refers: something in it is a variable's, so only the engine knows what it says.
	refers bool
}

var terraformBlockSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "backend", LabelNames: []string{"type"}}, {Type: "cloud"}}}
var backendPathSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "path"}}}

// readBackend takes the last backend of a terraform block.
func (m *module) readBackend(b *hcl.Block, src []byte) {
	content, _, _ := b.Body.PartialContent(terraformBlockSchema) // the engine says what is wrong with it
	for _, inner := range content.Blocks {
		found := &moduleBackend{kind: inner.Type, text: string(src)}
		if len(inner.Labels) > 0 {
			found.kind = inner.Labels[0]
		}
		if native, ok := inner.Body.(*hclsyntax.Body); ok {
			found.text = tokens(src, native.SrcRange)
			found.refers = refersToSomething(native)
		}
		if found.kind == "local" {
			attrs, _, _ := inner.Body.PartialContent(backendPathSchema)
			if a := attrs.Attributes["path"]; a != nil && len(a.Expr.Variables()) == 0 {
				if v, diags := evaluate(a.Expr, nil); !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
					found.path = v.AsString()
				}
			}
		}
		m.backend = found
	}
}

func refersToSomething(b *hclsyntax.Body) bool {
	for _, a := range b.Attributes {
		if len(a.Expr.Variables()) > 0 {
			return true
		}
	}
	return slices.ContainsFunc(b.Blocks, func(b *hclsyntax.Block) bool { return refersToSomething(b.Body) })
}

// backends evaluates what completes the stacks' own backends, and looks for instances
// whose state would be lost, or shared.
func (l *load) backends() {
	bodies := slices.Clone(l.projects)
	for _, name := range l.names {
		if st := l.stacks[name]; !st.Discovered {
			bodies = append(bodies, st.body)
		}
	}
	for _, b := range bodies {
		if !b.has("backend") {
			continue
		}
		if l.cfg.Project.State != "stack" {
			l.error(b.attrs["backend"].NameRange, `"backend" does not belong here`,
				`It completes the backend blocks of stacks, which are not used with state = "terrace". Remove it, or set state = "stack" in the project block.`)
			continue
		}
		for _, u := range l.references(b.expr("backend"), "backend", seesBackend) {
			if u.stack != "name" || u.output != "" {
				l.bad[b.expr("backend")] = true
				l.error(u.rng, "An output in a backend", "Where a state is has to be known before any output is. In backend, stack.name is the name of the stack itself, and there is nothing else of stacks.")
			}
		}
	}
	if l.cfg.Project.State != "stack" {
		return
	}
	states := map[string]string{} // what identifies a state → the instance that has it
	l.eachPlace(func(st *stack, e *environment, p *place) {
		values, ok := l.backendValues(st, e)
		if st.backends == nil {
			st.backends = map[int]map[string]json.RawMessage{}
		}
		st.backends[e.index] = values
		if ok && p.module != nil && p.module.broken == nil {
			l.checkBackend(st, e, p, values, states)
		}
	})
}

// backendValues are the project's, under the stack's own. ok is false after a problem.
func (l *load) backendValues(st *stack, e *environment) (values map[string]json.RawMessage, ok bool) {
	values, ok = map[string]json.RawMessage{}, true
	bodies := slices.Clone(l.projects)
	if !st.Discovered {
		bodies = append(bodies, st.body)
	}
	for _, b := range bodies {
		if !b.has("backend") {
			continue
		}
		ctx := l.context(e)
		ctx.Variables["stack"] = cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(st.Name)})
		ev := &evaluation{problems: &l.problems, where: instance(st, e), ctx: ctx}
		attrs, whole := ev.object(b, "backend")
		ok = ok && whole
		for _, name := range sortedKeys(attrs) {
			rng := attribute(b.expr("backend"), name).Range()
			v, _ := attrs[name].UnmarkDeep()
			switch {
			case !groupRE.MatchString(name):
				ev.problem(rng, fmt.Sprintf("%q cannot name a setting of a backend", name), "Use the names of the backend's own arguments, for example key.")
				ok = false
			case v.IsNull():
				delete(values, name)
			default:
				values[name] = jsonOf(v)
				l.secretInBackend(ev.where, name, v, rng)
			}
		}
	}
	return values, ok
}

var (
	secretSettings = []string{"secret_key", "access_key", "token", "password", "sas_token", "client_secret", "client_certificate_password", "security_token"}
	passwordInURL  = regexp.MustCompile(`://[^/@]*:[^/@]+@|(?i)\bpassword=`)
)

func (l *load) secretInBackend(where, name string, v cty.Value, rng hcl.Range) {
	if v.Type() != cty.String || !v.IsKnown() || v.AsString() == "" {
		return
	}
	if slices.Contains(secretSettings, name) || name == "conn_str" && passwordInURL.MatchString(v.AsString()) {
		l.at(where, hcl.DiagWarning, rng, fmt.Sprintf("A secret in the repository: %s", name),
			"Backends take secrets from environment variables as well (AWS_SECRET_ACCESS_KEY, PGPASSWORD, ARM_ACCESS_KEY, …): name one in secrets of the environment, and give its value to the server with terrace secret set.", "")
	}
}

// stateRange is where the decision for the stacks' own backends is written.
func (l *load) stateRange() hcl.Range {
	return l.projects[0].rangeOf("state")
}

func (l *load) checkBackend(st *stack, e *environment, p *place, values map[string]json.RawMessage, states map[string]string) {
	where, b := instance(st, e), p.module.backend
	rng := l.stateRange()
	if !st.Discovered {
		rng = st.body.rangeOf("backend")
	}
	switch {
	case b == nil:
		l.at(where, hcl.DiagError, l.stateRange(), fmt.Sprintf("%s has no backend block", p.instance.Path),
			"With state = \"stack\" its state would be lost with the work tree of each run.", "Add a block such as terraform { backend \"s3\" {} } to it; or set state = \"terrace\".")
		return
	case b.kind == "cloud" && len(values) > 0:
		l.at(where, hcl.DiagError, rng, fmt.Sprintf("The cloud block of %s cannot be completed", p.instance.Path), "Only backend blocks take settings from outside.", "Remove backend for this stack.")
		return
	case b.kind == "local" && !b.refers:
		at := b.path
		if text, ok := values["path"]; ok {
			if err := json.Unmarshal(text, &at); err != nil {
				at = "" // the engine will say that it is no string
			}
		}
		if !path.IsAbs(at) {
			l.at(where, hcl.DiagError, rng, "A local backend in the work tree", fmt.Sprintf("The local backend of %s has the path %q, inside of the run's work tree, where the state would be lost.", p.instance.Path, at),
				"Give it an absolute path on a disk that stays, for example backend = { path = \"/var/lib/states/${environment.name}/${stack.name}.tfstate\" }.")
			return
		}
	}
	if b.refers {
		return // only the engine knows where that is
	}
	settings, err := json.Marshal(values)
	if err != nil {
		return // they were JSON before
	}
	identity := strings.Join([]string{b.kind, b.text, string(settings)}, "\x00")
	if first, ok := states[identity]; ok {
		l.at(where, hcl.DiagError, rng, fmt.Sprintf("%s and %s would share one state", first, where),
			"Nothing in the settings of their backends differs, so each would undo what the other does.", fmt.Sprintf("Tell them apart: backend = { %s }.", apart(b.kind)))
		return
	}
	states[identity] = where
}

// apart is a setting that gives each instance a state of its own.
func apart(kind string) string {
	name, value := "key", "${environment.name}/${stack.name}.tfstate"
	switch kind {
	case "local":
		name, value = "path", "/var/lib/states/${environment.name}/${stack.name}.tfstate"
	case "gcs", "oss":
		name, value = "prefix", "${environment.name}/${stack.name}"
	case "pg":
		name, value = "schema_name", "${environment.name}_${stack.name}"
	case "consul":
		name, value = "path", "states/${environment.name}/${stack.name}"
	case "kubernetes":
		name, value = "secret_suffix", "${environment.name}-${stack.name}"
	case "http":
		name, value = "address", "https://states.example.com/${environment.name}/${stack.name}"
	}
	return fmt.Sprintf("%s = %q", name, value)
}

// OwnBackend is the type of the backend that a stack keeps its state in by itself, ""
// with state = "terrace".
func (c *Config) OwnBackend(stack, env string) string {
	if c.Project.State != "stack" {
		return ""
	}
	if kind := c.NamedBackend(stack, env); kind != "" {
		return kind
	}
	return "its own"
}

// NamedBackend is the type of the backend that a stack's code names, "" when it names
// none. With state = "terrace", and in a sandbox, it is not used.
func (c *Config) NamedBackend(stack, env string) string {
	_, _, p, err := c.find(stack, env)
	if err != nil || p.module == nil || p.module.backend == nil || c.sandbox != nil {
		return ""
	}
	return p.module.backend.kind
}
