package promotion

import (
	"maps"
	"slices"

	"github.com/terrace-cd/terrace/internal/core"
)

// Names is what is known of the names of one environment's instances when a release is in
// it (rule 27).
type Names struct {
	// Here is the name before, "" for none, of each stack that the release has there.
	Here map[string]string
	// Skipped is the same of the releases between the one that is there and this one,
	// newest first: a rename is one also where the release that made it never came by.
	Skipped []map[string]string
	// Moved is what was moved there, oldest first: a rename that is taken back, or rolled
	// back, is known without moved_from.
	Moved []core.Move
	// Has are the stacks that have a state there.
	Has map[string]bool
}

// Origins says of stacks which other one's state becomes theirs. Clashes are those whose
// moved_from has a state while they have one themselves.
func (n Names) Origins() (origins, clashes map[string]string) {
	origins, clashes = map[string]string{}, map[string]string{}
	taken := map[string]bool{}
	free := func(stack string) bool {
		_, here := n.Here[stack]
		return n.Has[stack] && !here && !taken[stack]
	}
	for _, find := range []func(string, func(string) bool) string{n.before, n.undone} {
		for _, stack := range slices.Sorted(maps.Keys(n.Here)) {
			from := n.Here[stack]
			switch {
			case n.Has[stack] && from != "" && free(from):
				clashes[stack] = from
			case n.Has[stack] || origins[stack] != "":
			default:
				if from = find(stack, free); from != "" {
					origins[stack], taken[from] = from, true
				}
			}
		}
	}
	return origins, clashes
}

// before follows a stack's names back through this release and those that were skipped.
func (n Names) before(stack string, free func(string) bool) string {
	for _, names := range append([]map[string]string{n.Here}, n.Skipped...) {
		if names[stack] == "" {
			continue
		}
		if stack = names[stack]; free(stack) {
			return stack
		}
	}
	return ""
}

// undone follows what was moved away from a stack to where it is now.
func (n Names) undone(stack string, free func(string) bool) string {
	for i := range n.Moved {
		if n.Moved[i].From != stack {
			continue
		}
		now := n.Moved[i].To
		for _, m := range n.Moved[i+1:] {
			if m.From == now {
				now = m.To
			}
		}
		if free(now) {
			return now
		}
	}
	return ""
}

// move has what got another name become that, before anything runs on it.
func (d *decider) move(p place, sum summary) int {
	n := 0
	for _, in := range sum.moving {
		if in.MoveWaits == "" {
			d.add(Move{Rollout: p.ro.ID, Stage: p.st.ID, From: in.MovesFrom, To: in.Stack})
			n++
		}
	}
	return n
}
