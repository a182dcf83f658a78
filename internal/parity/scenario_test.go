package parity_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	"golang.org/x/tools/txtar"

	"github.com/terrace-cd/terrace/internal/code"
	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/parity"
	"github.com/terrace-cd/terrace/internal/statefile"
)

var update = flag.Bool("update", false, "write the scenarios' wants anew")

// TestScenarios compares the two environments of each file in testdata/scenarios. A file has for
// each stack its code (STACK/main.tf), and for each environment variables (STACK/ENV.json), a
// state (STACK/ENV.state: a line for each resource), and where it differs its code
// (STACK@ENV/main.tf); besides them rules, and what comes of it.
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			archive := txtar.Parse(content)
			s := readScenario(t, archive)
			report := parity.Compare(s.a, s.b, s.rules)
			got := told(report)
			// A state that holds many secrets must not tell one of them.
			for _, secret := range s.secrets {
				if strings.Contains(got, secret) {
					t.Errorf("the report tells %s", secret)
				}
			}
			mirrored := parity.Compare(s.b, s.a, s.rules)
			n, ok := report.Number()
			m, also := mirrored.Number()
			if n != m || ok != also || report.Declared != mirrored.Declared || report.Undeclared != mirrored.Undeclared {
				t.Errorf("the other way round it is %v, %d and %d instead of %v, %d and %d:\n%s", m, mirrored.Declared, mirrored.Undeclared, n, report.Declared, report.Undeclared, told(mirrored))
			}
			want := ""
			for i, f := range archive.Files {
				if f.Name != "want" {
					continue
				}
				want = string(f.Data)
				archive.Files[i].Data = []byte(got)
			}
			if *update {
				if want == "" {
					archive.Files = append(archive.Files, txtar.File{Name: "want", Data: []byte(got)})
				}
				if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// told writes a report for people.
func told(r parity.Report) string {
	var out strings.Builder
	number := "nothing could be compared"
	if n, ok := r.Number(); ok {
		number = fmt.Sprintf("%.4f", n)
	}
	_, _ = fmt.Fprintf(&out, "%s ~ %s: %s, %d resources, %d attributes, %d declared, %d undeclared\n", r.A, r.B, number, r.Resources, r.Attributes, r.Declared, r.Undeclared)
	for _, p := range r.Instances {
		if p.NotCompared != "" {
			_, _ = fmt.Fprintf(&out, "%s not compared: %s\n", p.Stack, p.NotCompared)
		}
		for _, d := range p.Differences {
			word := "undeclared"
			if d.Declared {
				word = "declared  "
			}
			what := strings.Trim(d.Address+"."+d.Path, ".")
			values := show(d.A) + " | " + show(d.B)
			if d.Sensitive {
				values = "(sensitive)"
			}
			_, _ = fmt.Fprintf(&out, "%s %s %s %s: %s\n    %s\n", word, p.Stack, d.Kind, what, values, d.Because)
		}
	}
	return out.String()
}

func show(v any) string {
	if v == nil {
		return "-"
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(b.String())
}

type scenario struct {
	a, b    parity.Side
	rules   parity.Rules
	secrets []string
}

// files is a tree in memory.
type files map[string]string

func (f files) ReadFile(name string) ([]byte, error) {
	if text, ok := f[name]; ok {
		return []byte(text), nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (f files) Files() ([]string, error) {
	var names []string
	for n := range f {
		names = append(names, n)
	}
	slices.Sort(names)
	return names, nil
}

var _ config.Tree = files{}

func readScenario(t *testing.T, archive *txtar.Archive) *scenario {
	t.Helper()
	all := map[string]string{}
	var environments, stacks []string
	for _, f := range archive.Files {
		all[f.Name] = string(f.Data)
		dir, name := path.Split(f.Name)
		if env, ok := strings.CutSuffix(name, ".state"); ok {
			if !slices.Contains(environments, env) {
				environments = append(environments, env)
			}
			if stack := path.Clean(dir); !slices.Contains(stacks, stack) {
				stacks = append(stacks, stack)
			}
		}
	}
	if len(environments) != 2 {
		t.Fatalf("environments %q", environments)
	}
	s := &scenario{a: parity.Side{Environment: environments[0]}, b: parity.Side{Environment: environments[1]}}
	s.readRules(t, all["rules"])
	for _, side := range []*parity.Side{&s.a, &s.b} {
		for _, stack := range stacks {
			side.Instances = append(side.Instances, s.instance(t, all, stack, side.Environment))
		}
	}
	return s
}

func (s *scenario) readRules(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if words[0] == "name" {
			s.rules.Names = map[string][]string{words[1]: words[2:]}
			continue
		}
		p, err := parity.ParsePattern(words[1])
		if err != nil {
			t.Fatal(err)
		}
		list := map[string]*[]parity.Pattern{"ignore": &s.rules.Ignore, "identity": &s.rules.Identity, "derived": &s.rules.Derived}[words[0]]
		*list = append(*list, p)
	}
}

func (s *scenario) instance(t *testing.T, all map[string]string, stack, environment string) parity.Instance {
	t.Helper()
	in := parity.Instance{Stack: stack, Wanted: true, Release: parity.Release{Number: 1, Commit: "c1"}, Engine: parity.Version{Name: "tofu", Number: "1.12.6"},
		Variables: map[string]parity.Variable{}}
	text, ok := all[stack+"/"+environment+".state"]
	if !ok {
		in.Wanted, in.Unwanted = false, "its block has other environments"
		return in
	}
	in.Applied = true
	in.State = s.state(t, text)
	tree := files{}
	for name, content := range all {
		if strings.HasPrefix(name, stack+"/") && strings.HasSuffix(name, ".tf") || strings.HasPrefix(name, "modules/") {
			tree[name] = content
		}
	}
	for name, content := range all {
		if rest, ok := strings.CutPrefix(name, stack+"@"+environment+"/"); ok {
			tree[stack+"/"+rest] = content
			in.Release = parity.Release{Number: 2, Commit: "c2"}
		}
	}
	values := map[string]cty.Value{}
	if raw := all[stack+"/"+environment+".json"]; raw != "" {
		var given map[string]json.RawMessage
		if err := json.Unmarshal([]byte(raw), &given); err != nil {
			t.Fatal(err)
		}
		for name, value := range given {
			var from struct {
				Value     json.RawMessage `json:"$value"`
				From      []string        `json:"$from"`
				Sensitive bool            `json:"$sensitive"`
			}
			if json.Unmarshal(value, &from) == nil && from.Value != nil {
				value = from.Value
			}
			typ, err := ctyjson.ImpliedType(value)
			if err != nil {
				t.Fatal(err)
			}
			v, err := ctyjson.Unmarshal(value, typ)
			if err != nil {
				t.Fatal(err)
			}
			if from.Sensitive {
				v = v.Mark(config.SensitiveMark)
			}
			values[name] = v
			variable := parity.Variable{Sensitive: from.Sensitive, Where: "variables of environment " + environment}
			for _, f := range from.From {
				other, output, _ := strings.Cut(f, ".")
				variable.From = append(variable.From, parity.Output{Stack: other, Name: output})
			}
			in.Variables[name] = variable
		}
	}
	reader, err := code.NewReader(tree, "tofu")
	if err != nil {
		t.Fatal(err)
	}
	opened, err := reader.Open(stack, values, in.State)
	if err != nil {
		in.NoCode = err.Error()
		return in
	}
	in.Code = opened
	for name, v := range opened.Variables() {
		v.From, v.Where = in.Variables[name].From, in.Variables[name].Where
		in.Variables[name] = v
	}
	return in
}

var (
	stateLine   = regexp.MustCompile(`^(.*?) (\{.*\})(?: !(.*))?$`)
	addressLine = regexp.MustCompile(`^((?:module\.[a-z_]+(?:\[[^\]]*\])?\.)*)(data\.)?([a-z_]+)\.([a-z_]+)(\[[^\]]*\])?(?: \((?:deposed )?([a-z0-9]+)\))?$`)
)

// state reads lines such as cloud_server.web[0] {"id": "srv-1", "key": "…"} !key
func (s *scenario) state(t *testing.T, text string) statefile.File {
	t.Helper()
	f := statefile.File{Version: 4, Engine: "1.12.6"}
	for line := range strings.Lines(text) {
		m := stateLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			t.Fatalf("no state line: %s", line)
		}
		a := addressLine.FindStringSubmatch(m[1])
		if a == nil {
			t.Fatalf("no address: %s", m[1])
		}
		r := map[string]any{"module": strings.TrimSuffix(a[1], "."), "mode": "managed", "type": a[3], "name": a[4], "provider": `provider["registry.opentofu.org/acme/cloud"]`}
		if a[2] != "" {
			r["mode"] = "data"
		}
		i := map[string]any{"attributes": json.RawMessage(m[2])}
		if a[5] != "" {
			i["index_key"] = json.RawMessage(a[5][1 : len(a[5])-1])
		}
		switch {
		case a[6] == "tainted":
			i["status"] = "tainted"
		case a[6] != "":
			i["deposed"] = a[6]
		}
		var paths []any
		for name := range strings.FieldsSeq(m[3]) {
			paths = append(paths, []any{map[string]any{"type": "get_attr", "value": name}})
		}
		i["sensitive_attributes"] = paths
		r["instances"] = []any{i}
		raw, err := json.Marshal(map[string]any{"resources": []any{r}})
		if err != nil {
			t.Fatal(err)
		}
		one, err := statefile.Read(raw)
		if err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		f.Resources = append(f.Resources, one.Resources...)
		s.secrets = append(s.secrets, regexp.MustCompile(`hidden-[a-z0-9]+`).FindAllString(m[2], -1)...)
	}
	return f
}
