package plan

import (
	"maps"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Actions counts what happens to resources, for policies: each action has a number.
func Actions(p wire.Plan) map[string]int {
	out := maps.Clone(noActions)
	for _, r := range p.Resources {
		out[r.Action]++
	}
	return out
}

var noActions = map[string]int{"create": 0, "update": 0, "replace": 0, "delete": 0, "forget": 0, "import": 0, "move": 0, "read": 0}
