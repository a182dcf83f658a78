package core

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// OwnState is what a run last saw of the state of an instance that is kept by the
// stack's own backend (state = "stack"), which the server cannot reach. While an
// instance has one, it stands for its state: the built-in versions, if there are any,
// are history.
//
// The outputs are not here but sealed, as the document "outputs" of Run.
type OwnState struct {
	Project     string
	Stack       string
	Environment string
	Backend     string // its type: "s3", "pg", "local", …
	Lineage     string // "" while nothing is stored there
	Serial      int64
	Resources   int // managed ones
	// Digest is a keyed digest of ResourcesDigest.
	Digest string
	Run    string
	Seen   time.Time
}

// Stored reports whether the backend had a state at all.
func (o OwnState) Stored() bool { return o.Lineage != "" }

// ContinuedBy reports whether a state with this lineage and serial is the same state or
// a later one. Where nothing would be forgotten, every state is.
func (o OwnState) ContinuedBy(lineage string, serial int64) bool {
	return o.Resources == 0 || o.Lineage == lineage && o.Serial <= serial
}

// OwnStates stores what is known of states in backends of the stacks' own.
type OwnStates interface {
	PutOwnState(OwnState) error
	OwnState(project, stack, environment string) (OwnState, error)
	OwnStates(project string) ([]OwnState, error) // by environment and stack
	// DeleteOwnState succeeds when there is none.
	DeleteOwnState(project, stack, environment string) error
}

// ResourcesDigest identifies the managed resources in a state file with their
// attributes, whatever its lineage and serial are: engines give a state that is moved
// into an empty backend a new lineage. It is "" for a file whose resources cannot be
// read, because they are encrypted for example.
func ResourcesDigest(stateFile []byte) string {
	var f struct {
		Version   int `json:"version"`
		Resources []struct {
			Module, Mode, Type, Name string
			Instances                []struct {
				Index      json.RawMessage `json:"index_key"`
				Status     string          `json:"status"`
				Deposed    string          `json:"deposed"`
				Attributes json.RawMessage `json:"attributes"`
			}
		} `json:"resources"`
	}
	if json.Unmarshal(stateFile, &f) != nil || f.Version == 0 {
		return ""
	}
	var lines []string
	for _, r := range f.Resources {
		if r.Mode != "managed" {
			continue
		}
		for _, i := range r.Instances {
			line, err := json.Marshal([]string{r.Module, r.Type, r.Name, canonical(i.Index), i.Status, i.Deposed, canonical(i.Attributes)})
			if err != nil {
				return "" // strings always encode
			}
			lines = append(lines, string(line))
		}
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}

// canonical writes JSON without layout and with its keys in order.
func canonical(text json.RawMessage) string {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // a number stays as it is written
	var v any
	if decoder.Decode(&v) != nil {
		return string(text)
	}
	out, err := json.Marshal(v)
	if err != nil {
		return string(text)
	}
	return string(out)
}
