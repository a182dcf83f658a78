// Package plan reads what the engine proposes: the JSON of `tofu show -json PLANFILE`
// becomes a list of changes that a person can read and rules can judge, with every
// sensitive value masked, and a digest of what the plan would do.
// The format: https://opentofu.org/docs/internals/json-format/
package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/statefile"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Masked stands for a sensitive value.
const Masked = "(sensitive)"

// Parsed is a plan that was read.
type Parsed struct {
	Plan wire.Plan
	// NoChanges: applying would change neither a resource nor an output.
	NoChanges bool
	// Drift: the engine lists what is there and not as the state says. A plan without changes
	// may have it, when what is there is as it should be. Of deposed objects engines list none.
	Drift bool
	// Digest identifies what the plan would do: equal for equal proposals, whenever
	// and wherever they were made.
	Digest string
	// Sensitive lists the sensitive texts in the plan, for masking logs.
	Sensitive []string
	// Outputs are what the outputs will be, as far as the plan knows them, in clear and as it has them.
	Outputs json.RawMessage
}

// document is the part of the engine's JSON that is read.
type document struct {
	FormatVersion   string                    `json:"format_version"`
	ResourceChanges []resourceChange          `json:"resource_changes"`
	ResourceDrift   []resourceChange          `json:"resource_drift"`
	OutputChanges   map[string]change         `json:"output_changes"`
	Variables       map[string]map[string]any `json:"variables"`
	Errored         bool                      `json:"errored"`
	Configuration   configuration             `json:"configuration"`
	PriorState      priorState                `json:"prior_state"`
	PlannedValues   struct {
		Outputs json.RawMessage `json:"outputs"`
	} `json:"planned_values"`
}

type resourceChange struct {
	Address         string `json:"address"`
	PreviousAddress string `json:"previous_address"`
	Mode            string `json:"mode"`
	Type            string `json:"type"`
	ActionReason    string `json:"action_reason"`
	Deposed         string `json:"deposed"`
	Change          change `json:"change"`
}

type change struct {
	Actions         []string `json:"actions"`
	Before          any      `json:"before"`
	After           any      `json:"after"`
	AfterUnknown    any      `json:"after_unknown"`
	BeforeSensitive any      `json:"before_sensitive"`
	AfterSensitive  any      `json:"after_sensitive"`
	ReplacePaths    [][]any  `json:"replace_paths"`
	Importing       any      `json:"importing"`
}

func decode(data []byte) (doc document, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // a number is shown as it was written, however long
	if err := d.Decode(&doc); err != nil {
		return doc, core.Errorf(core.Invalid, "the engine's plan is not the JSON it should be: %w", err)
	}
	if major, _, _ := strings.Cut(doc.FormatVersion, "."); major != "1" {
		return doc, core.Errorf(core.Invalid, "the engine's plan has format %q; Terrace reads format 1", doc.FormatVersion)
	}
	return doc, nil
}

// Parse reads the engine's JSON. An Invalid error says what is wrong with it.
func Parse(data []byte) (*Parsed, error) {
	doc, err := decode(data)
	if err != nil {
		return nil, err
	}
	p := &Parsed{NoChanges: true, Drift: len(doc.ResourceDrift) > 0, Outputs: doc.PlannedValues.Outputs}
	secrets := map[string]bool{}
	var does []string
	for _, rc := range doc.ResourceChanges {
		r, effect := rc.read(secrets)
		if effect != "" {
			p.NoChanges = false
			does = append(does, effect)
		}
		if r.Action == "no-op" {
			continue
		}
		count(&p.Plan.Changes, r.Action)
		p.Plan.Resources = append(p.Plan.Resources, r)
	}
	p.dependencies(doc)
	for _, name := range slices.Sorted(keys(doc.OutputChanges)) {
		c := doc.OutputChanges[name]
		if c.action() == "no-op" {
			collect(c.After, c.AfterSensitive, secrets)
			continue
		}
		p.NoChanges = false
		does = append(does, "output "+name+" "+fingerprint(c))
		a := differ{change: c, secrets: secrets}.leaf(name, c.Before, c.After, c.AfterUnknown, c.BeforeSensitive, c.AfterSensitive)
		p.Plan.Outputs = append(p.Plan.Outputs, a)
	}
	if p.Plan.Resources == nil {
		p.Plan.Resources = []wire.ResourceChange{}
	}
	slices.Sort(does)
	sum := sha256.Sum256([]byte(strings.Join(does, "\n")))
	p.Digest = hex.EncodeToString(sum[:])
	for s := range secrets {
		p.Sensitive = append(p.Sensitive, s)
	}
	slices.Sort(p.Sensitive)
	return p, nil
}

// dependencies says of every change which of the replaced resources it depends on; of what
// goes, also which of the others that go.
func (p *Parsed) dependencies(doc document) {
	replaced, gone := map[string]bool{}, map[string]bool{}
	for _, r := range p.Plan.Resources {
		switch r.Action {
		case "replace":
			replaced[statefile.WithoutKeys(r.Address)] = true
		case "delete", "forget":
			gone[statefile.WithoutKeys(r.Address)] = true
		}
	}
	if len(replaced) == 0 && len(gone) < 2 {
		return
	}
	maps.Copy(gone, replaced)
	on := readGraph(doc.Configuration, doc.PriorState).among(slices.Sorted(keys(gone)))
	for i := range p.Plan.Resources {
		r := &p.Plan.Resources[i]
		r.DependsOn = on.from(statefile.WithoutKeys(r.Address))
		if r.Action != "delete" && r.Action != "forget" {
			r.DependsOn = slices.DeleteFunc(r.DependsOn, func(address string) bool { return !replaced[address] })
		}
	}
}

// read converts one resource. effect is "" when applying would do nothing to it.
func (rc resourceChange) read(secrets map[string]bool) (r wire.ResourceChange, effect string) {
	r = wire.ResourceChange{Address: rc.Address, Type: rc.Type, Action: rc.Change.action(), Reason: rc.ActionReason}
	if rc.Deposed != "" {
		r.Address += " (deposed " + rc.Deposed + ")"
	}
	if rc.PreviousAddress != rc.Address {
		r.Previous = rc.PreviousAddress
	}
	if r.Action == "replace" {
		r.Order = "destroy_first"
		if rc.Change.Actions[0] == "create" {
			r.Order = "create_first"
		}
	}
	if r.Action == "no-op" {
		switch {
		case rc.Change.Importing != nil:
			r.Action = "import"
		case r.Previous != "":
			r.Action = "move"
			r.Reason = "was " + rc.PreviousAddress
		default:
			collect(rc.Change.After, rc.Change.AfterSensitive, secrets)
			return r, ""
		}
	}
	r.Attrs = differ{change: rc.Change, secrets: secrets}.attributes()
	if rc.Mode == "data" {
		return r, "" // reading changes nothing by itself
	}
	return r, r.Action + " " + rc.Address + " " + rc.PreviousAddress + " " + rc.Deposed + " " + fingerprint(rc.Change)
}

func (c change) action() string {
	switch strings.Join(c.Actions, ",") {
	case "create":
		return "create"
	case "update":
		return "update"
	case "delete":
		return "delete"
	case "read":
		return "read"
	case "forget":
		return "forget"
	case "delete,create", "create,delete":
		return "replace"
	case "create,forget":
		return "replace"
	}
	return "no-op"
}

func count(c *wire.Changes, action string) {
	switch action {
	case "create":
		c.Create++
	case "update":
		c.Update++
	case "replace":
		c.Replace++
	case "delete":
		c.Delete++
	}
}

// fingerprint covers everything that a change would do.
func fingerprint(c change) string {
	data, err := json.Marshal([]any{c.Actions, c.Before, c.After, c.AfterUnknown, c.ReplacePaths})
	if err != nil {
		return "" // what was decoded from JSON can be encoded again
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
