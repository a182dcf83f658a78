package policy

import (
	"bytes"
	"encoding/json"
	"maps"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Document is what policies see as input: the engine's plan as `tofu show -json` prints it,
// and under the key terrace what Terrace knows beside it.
type Document struct {
	value ast.Value
	json  map[string]any
	about wire.About
}

// Decode reads the engine's JSON. An Invalid error says that it is no plan.
func Decode(plan []byte) (map[string]any, error) {
	var decoded map[string]any
	decoder := json.NewDecoder(bytes.NewReader(plan))
	decoder.UseNumber() // as policies see numbers, and as they are in the plan
	if err := decoder.Decode(&decoded); err != nil {
		return nil, core.Errorf(core.Invalid, "the plan that policies should judge is not the JSON it should be: %w", err)
	}
	if decoded == nil {
		return nil, core.Errorf(core.Invalid, "the plan that policies should judge is not a JSON object, as tofu show -json writes it")
	}
	return decoded, nil
}

// NewDocument puts the document together.
func NewDocument(plan map[string]any, about wire.About) (Document, error) {
	own, err := json.Marshal(about)
	if err != nil {
		return Document{}, err
	}
	known, err := Decode(own)
	if err != nil {
		return Document{}, err
	}
	d := Document{json: maps.Clone(plan), about: about}
	d.json["terrace"] = known
	d.value, err = ast.InterfaceToValue(d.json)
	return d, err
}

// JSON is the document as text, for people who write policies.
func (d Document) JSON() ([]byte, error) { return json.MarshalIndent(d.json, "", "  ") }
