package faults

import (
	"encoding/json"
	"strings"
)

// stateFile is what the oracle reads of a state.
type stateFile struct {
	Serial    int64  `json:"serial"`
	Lineage   string `json:"lineage"`
	Resources []struct {
		Type      string `json:"type"`
		Name      string `json:"name"`
		Instances []struct {
			Status     string          `json:"status"`
			Deposed    string          `json:"deposed"`
			Attributes json.RawMessage `json:"attributes"`
		} `json:"instances"`
	} `json:"resources"`
}

// known is a resource of the cloud as a state knows it.
type known struct {
	Name  string `json:"name"`
	Image string `json:"image"`
	Value string `json:"value"`
	CIDR  string `json:"cidr"`

	id      string
	tainted bool
}

// cloud lists the resources of the cloud in a state, by id.
func (f stateFile) cloud() map[string]known {
	found := map[string]known{}
	for _, r := range f.Resources {
		if !strings.HasPrefix(r.Type, "democloud_") {
			continue
		}
		for _, i := range r.Instances {
			var k struct {
				ID string `json:"id"`
				known
			}
			if json.Unmarshal(i.Attributes, &k) != nil {
				continue
			}
			k.known.id, k.known.tainted = k.ID, i.Status == "tainted"
			found[k.ID] = k.known
		}
	}
	return found
}

// parse reads a state; what is none has nothing in it.
func parse(content []byte) (f stateFile) {
	if json.Unmarshal(content, &f) != nil {
		return stateFile{}
	}
	return f
}
