package policy

import (
	"bytes"
	"encoding/json"

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

// NewDocument puts the document together. An Invalid error says that the plan is not JSON.
func NewDocument(plan []byte, about wire.About) (Document, error) {
	d := Document{about: about}
	decoder := json.NewDecoder(bytes.NewReader(plan))
	decoder.UseNumber() // as policies see numbers, and as they are in the plan
	if err := decoder.Decode(&d.json); err != nil || d.json == nil {
		return d, core.Errorf(core.Invalid, "the plan that policies should judge is not a JSON object: %v", err)
	}
	own, err := json.Marshal(about)
	if err != nil {
		return d, err
	}
	var known any
	decoder = json.NewDecoder(bytes.NewReader(own))
	decoder.UseNumber()
	if err := decoder.Decode(&known); err != nil {
		return d, err
	}
	d.json["terrace"] = known
	d.value, err = ast.InterfaceToValue(d.json)
	return d, err
}

// JSON is the document as text, for people who write policies.
func (d Document) JSON() ([]byte, error) { return json.MarshalIndent(d.json, "", "  ") }
