package runs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/service/law"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/wire"
)

// beforeDoc is how the hooks of a run ended.
const beforeDoc = "before_change"

// hooks are the before_change blocks that a plan asks for, and what they may not show.
type hooks struct {
	touched []string // stateful addresses
	list    []wire.Hook
	mask    []string
}

// hooks evaluates them. Those of every source of the law run, so that a release which
// drops one still meets it once (rule 28); that one runs with the files of the release
// that wrote it. Two that come to the same command are one.
func (s *Service) hooks(ctx context.Context, p core.Project, run core.Run, planned wire.Planned, l law.Law) (h hooks, err error) {
	sources := slices.DeleteFunc(slices.Clone(l.Sources), func(s law.Source) bool { return s.Config == nil || !s.Stacks[run.Stack].BeforeChange })
	if h.touched = guard.Touched(l.Protection(run.Stack), planned.Plan); len(sources) == 0 || len(h.touched) == 0 {
		return hooks{}, nil
	}
	own, err := s.Wanted.Outputs(ctx, p.Name, run.Stack, run.Environment)
	if err != nil {
		return h, err
	}
	h.mask = wanted.SensitiveStrings(own)
	for _, source := range sources {
		hook, err := s.Wanted.BeforeChange(ctx, p, run.Release, source.Config, cmp.Or(source.Commit, run.Release.Commit), run.Environment, run.Stack, own)
		if core.CodeOf(err) == core.NotFound || err == nil && hook == nil {
			continue // it has the stack in other environments only
		}
		if err != nil {
			return h, fmt.Errorf("before_change (%s): %w", source.From, err)
		}
		w := wire.Hook{From: source.From, Commit: source.Commit, Command: hook.Command, Within: hook.Within.String()}
		sum := sha256.Sum256([]byte(strings.Join(hook.Command, "\x00"))) // which no argument holds
		w.ID = hex.EncodeToString(sum[:8])
		if !slices.ContainsFunc(h.list, func(o wire.Hook) bool { return o.ID == w.ID }) {
			h.list = append(h.list, w)
		}
	}
	return h, nil
}

// left are those that have not run yet in this attempt, or not well.
func (h hooks) left(ran []wire.Hooked) []wire.Hook {
	return slices.DeleteFunc(slices.Clone(h.list), func(hook wire.Hook) bool {
		return slices.ContainsFunc(ran, func(done wire.Hooked) bool { return done.ID == hook.ID && done.OK })
	})
}

// first has a plan wait for hooks: the run is not applying yet, and nothing of the
// instance counts as changed.
func (h hooks) first(tx core.Tx, run core.Run, left []wire.Hook) (wire.Next, error) {
	touches := some(h.touched)
	reason := "The plan touches " + touches + ", which is stateful"
	if len(h.touched) > 1 {
		reason = "The plan touches " + touches + ", which are stateful"
	}
	next := wire.Next{Do: "before", Reason: reason, Before: left, After: wire.After{Mask: h.mask}}
	return next, tx.AddEvent(core.Event{By: "server", Kind: "run.before_change", Project: run.Project, On: run.ID,
		Data: map[string]string{"instance": run.Instance(), "touches": touches}})
}

// some lists the first few of many addresses.
func some(addresses []string) string {
	const most = 5
	if len(addresses) <= most {
		return strings.Join(addresses, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(addresses[:most], ", "), len(addresses)-most)
}
