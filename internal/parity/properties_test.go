package parity

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/terrace-cd/terrace/internal/statefile"
)

// said is a Code that writes what it is told to.
type said map[[2]string]Expression

func (s said) Block(string) (string, bool) { return "block", true }
func (s said) Keys(string) Keys            { return Keys{} }
func (s said) Writes(address, name string) bool {
	_, ok := s[[2]string{address, name}]
	return ok
}
func (s said) Expression(address, name string) Expression { return s[[2]string{address, name}] }
func (s said) Output(string) Expression                   { return Expression{} }
func (s said) Given(string) map[string]Expression         { return nil }

// words are what texts of resources are made of: names of environments, identities of all
// shapes, and ordinary ones.
var words = []string{"web", "staging", "Production", "device", "dev", "srv-0a1b2c3d4e", "10.0.3.7/16", "0.0.0.0/0", "10.1.2.3", "10.1.2.3:5432", "fe80::1", "2001:db8::5",
	"6ba7b810-9dad-11d1-80b4-00c04fd430c8", "2026-01-02T03:04:05Z", "02:00:00:0a:0b:0c", "arn:aws:iam::111122223333:role/web", "${environment}", "${", "Z0123456789ABCDEF", "é", "-", "/", ".", " ", ":", ""}

func drawText(t *rapid.T, label string) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 0, 5).Draw(t, label), "")
}

func drawValue(t *rapid.T, depth int) any {
	kinds := []string{"text", "text", "number", "bool", "null"}
	if depth > 0 {
		kinds = append(kinds, "list", "map", "document")
	}
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "text":
		return drawText(t, "text")
	case "number":
		return json.Number(fmt.Sprint(rapid.IntRange(0, 3).Draw(t, "number")))
	case "bool":
		return rapid.Bool().Draw(t, "bool")
	case "list":
		list := []any{}
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			list = append(list, drawValue(t, depth-1))
		}
		return list
	case "map":
		m := map[string]any{}
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			m[rapid.SampledFrom([]string{"a", "b", "dev", "staging", "password"}).Draw(t, "key")] = drawValue(t, depth-1)
		}
		return m
	case "document":
		return text(map[string]any{"a": drawValue(t, depth-1)})
	}
	return nil
}

// drawSide makes an environment. Whatever is sensitive in it has a text of its own, of those
// that are returned.
func drawSide(t *rapid.T, environment string) (Side, []string) {
	var secrets []string
	side := Side{Environment: environment}
	for _, stack := range []string{"network", "web"} {
		in := Instance{Stack: stack, Wanted: rapid.Bool().Draw(t, "wanted"), Applied: rapid.IntRange(0, 4).Draw(t, "applied") > 0, Unwanted: "its block says so",
			Release: Release{Number: rapid.Int64Range(1, 2).Draw(t, "release")}, Engine: Version{Name: "tofu", Number: rapid.SampledFrom([]string{"", "1.1", "1.2"}).Draw(t, "engine")},
			Variables: map[string]Variable{"size": {Value: drawValue(t, 1)}}, NoCode: "it is gone"}
		if rapid.IntRange(0, 9).Draw(t, "not compared") == 9 {
			in.NotCompared = "keeps its state elsewhere"
		}
		code := said{}
		var resources []any
		for n := range rapid.IntRange(0, 3).Draw(t, "resources") {
			attributes := map[string]any{"id": fmt.Sprintf("%s-%d-%s", stack, n, drawText(t, "id"))}
			for _, name := range []string{"name", "size", "tags", "password"} {
				attributes[name] = drawValue(t, 2)
			}
			secret := fmt.Sprintf("hidden%s%s%dx", environment, stack, n)
			secrets = append(secrets, secret)
			attributes["key"] = secret
			attributes["url"] = "https://user:" + secret + "@host"
			resources = append(resources, map[string]any{"mode": "managed", "type": "cloud_server", "name": fmt.Sprint("s", n), "instances": []any{map[string]any{
				"attributes": attributes, "sensitive_attributes": []any{[]any{map[string]any{"type": "get_attr", "value": "key"}}}}}})
			if rapid.Bool().Draw(t, "written") {
				address := fmt.Sprint("cloud_server.s", n)
				code[[2]string{address, "size"}] = Expression{Value: drawValue(t, 1), Text: "size", Roots: []Root{{Kind: RootVariable, Name: "size"}}}
				code[[2]string{address, "name"}] = Expression{Value: Unknown{}, Text: "name", Roots: []Root{{Kind: RootResource, Name: "cloud_server.s0", Path: "size"}, {Kind: RootResource, Name: address, Path: "name"}}}
				code[[2]string{address, "url"}] = Expression{Value: "https://user:" + secret + "@other", Text: "url"}
			}
		}
		if rapid.IntRange(0, 4).Draw(t, "code") > 0 {
			in.Code = code
		}
		raw := text(map[string]any{"version": 4, "resources": resources})
		state, err := statefile.Read([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		in.State = state
		side.Instances = append(side.Instances, in)
	}
	return side, secrets
}

func TestProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, secretsA := drawSide(t, "dev")
		b, secretsB := drawSide(t, "staging")
		ignore, err := ParsePattern("*.*.tags.a")
		if err != nil {
			t.Fatal(err)
		}
		rules := Rules{Names: map[string][]string{"staging": {"stg"}}}
		if rapid.Bool().Draw(t, "rules") {
			rules.Ignore = []Pattern{ignore}
		}
		there, back := Compare(a, b, rules), Compare(b, a, rules)
		n, ok := there.Number()
		m, also := back.Number()
		if n != m || ok != also || there.Declared != back.Declared || there.Undeclared != back.Undeclared || there.Attributes != back.Attributes || there.Resources != back.Resources {
			t.Fatalf("there %v %v %+v, back %v %v %+v", n, ok, there.Total, m, also, back.Total)
		}
		if n < 0 || n > 1 || ok && (n == 1) != (there.Undeclared == 0) {
			t.Fatalf("%v with %d undeclared", n, there.Undeclared)
		}
		// A report of the same environment under another name has nothing undeclared but what carries
		// the name; with itself it has nothing at all.
		for _, side := range []Side{a, b} {
			same := Compare(side, side, rules)
			if n, ok := same.Number(); ok && n != 1 || same.Undeclared != 0 || same.Declared != 0 {
				t.Fatalf("%s differs from itself: %v %+v", side.Environment, n, same)
			}
		}
		raw := text(there) + text(back)
		for _, secret := range append(secretsA, secretsB...) {
			if strings.Contains(raw, secret) {
				t.Fatalf("the report tells %s: %s", secret, raw)
			}
		}
	})
}

func TestNormalisingTwiceIsNormalisingOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := newNormaliser(rapid.SampledFrom([]string{"dev", "staging", "production"}).Draw(t, "environment"), []string{"prod"})
		for i, w := range words {
			if rapid.Bool().Draw(t, "known") {
				n.refs.add(w, place{"web", fmt.Sprint("cloud_server.s", i), "id"}, rankID)
			}
		}
		for _, d := range []depth{asWritten, asChosen} {
			v := drawValue(t, 2)
			once := n.value(v, d, place{})
			if twice := n.value(once, d, place{}); text(once) != text(twice) {
				t.Fatalf("%s\nonce  %s\ntwice %s", text(v), text(once), text(twice))
			}
		}
	})
}

// FuzzCompare gives it states as anybody may write them.
func FuzzCompare(f *testing.F) {
	f.Add([]byte(`{"version":4,"resources":[{"mode":"managed","type":"a","name":"b","instances":[{"attributes":{"id":"x-0123456789","l":[{"a":1},{"b":[2]}],"d":"{\"a\":[1,{\"b\":2}]}"}}]}]}`),
		[]byte(`{"version":4,"resources":[{"mode":"managed","type":"a","name":"b","instances":[{"attributes":{"id":"x-9876543210","l":[{"b":[3]},{"a":1}],"d":"[]"},"status":"tainted"},{"deposed":"1"}]}]}`))
	f.Add([]byte(`{"resources":[{"module":"module.a[\"","type":"","name":"","instances":[{"index_key":"dev","attributes":{"dev":null}}]}]}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, one, other []byte) {
		sides := make([]Side, 2)
		for i, content := range [][]byte{one, other} {
			state, err := statefile.Read(content)
			if err != nil {
				return
			}
			sides[i] = Side{Environment: []string{"dev", "staging"}[i], Instances: []Instance{{Stack: "web", Wanted: true, Applied: true, State: state}}}
		}
		there, back := Compare(sides[0], sides[1], Rules{}), Compare(sides[1], sides[0], Rules{})
		n, _ := there.Number()
		m, _ := back.Number()
		if n != m || there.Undeclared != back.Undeclared {
			t.Errorf("there %v (%d), back %v (%d)", n, there.Undeclared, m, back.Undeclared)
		}
		if same := Compare(sides[0], sides[0], Rules{}); same.Undeclared != 0 {
			t.Errorf("it differs from itself: %+v", same)
		}
	})
}
