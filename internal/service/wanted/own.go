package wanted

import (
	"context"
	"slices"

	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/state"
)

type outputKey struct{ project, stack, environment string }

type cachedOutputs struct {
	version int64
	values  map[string]cty.Value
}

// Outputs returns the outputs of an instance's state, as it is stored here, or as a run
// last reported it from the stack's own backend; nil without a state.
func (e *Evaluator) Outputs(ctx context.Context, project, stack, environment string) (map[string]cty.Value, error) {
	own, err := e.own(ctx, outputKey{project, stack, environment}, nil)
	return own.Outputs, err
}

// own is what an instance's state tells: its outputs, and its resources of these types.
func (e *Evaluator) own(ctx context.Context, at outputKey, types []string) (out config.Own, err error) {
	file, version, err := e.file(ctx, at, len(types) == 0)
	if err != nil || file == nil && version == 0 {
		return out, err
	}
	if file == nil {
		cached, _ := e.kept.Load(at)
		return config.Own{Outputs: cached.(cachedOutputs).values}, nil
	}
	if out.Outputs, err = config.OutputsFromState(file); err != nil {
		return out, err
	}
	if version != 0 {
		e.kept.Store(at, cachedOutputs{version: version, values: out.Outputs})
	}
	if len(types) > 0 {
		out.Resources, err = config.ResourcesFromState(file, types)
	}
	return out, err
}

// file reads an instance's state: a state file, or what a run saw of one in the form of one.
// version is 0 when it is not stored here. The file is nil when there is none, and when
// cached is fine and the outputs of that version are.
func (e *Evaluator) file(ctx context.Context, at outputKey, cached bool) (file []byte, version int64, err error) {
	var current core.StateVersion
	own := false
	err = e.Store.View(ctx, func(tx core.Tx) (err error) {
		if file, own, err = state.OwnOutputs(tx, e.Seal, at.project, at.stack, at.environment); own || err != nil {
			return err
		}
		current, err = tx.CurrentState(at.project, at.stack, at.environment)
		return err
	})
	switch {
	case core.CodeOf(err) == core.NotFound:
		return nil, 0, nil
	case err != nil || own:
		return file, 0, err
	}
	if kept, ok := e.kept.Load(at); ok && cached && kept.(cachedOutputs).version == current.ID {
		return nil, current.ID, nil
	}
	sealed, err := e.Blobs.Get(ctx, current.Blob)
	if err != nil {
		return nil, 0, err
	}
	file, err = e.Seal.Open(current.Blob, sealed)
	return file, current.ID, err
}

// SensitiveStrings lists the texts inside sensitive outputs, for masking.
func SensitiveStrings(outputs map[string]cty.Value) []string {
	var out []string
	for _, v := range outputs {
		out = appendSensitive(out, v)
	}
	return out
}

// sensitiveIn lists the texts inside sensitive outputs and attributes, each once.
func sensitiveIn(own config.Own) []string {
	out := SensitiveStrings(own.Outputs)
	for _, r := range own.Resources {
		out = appendSensitive(out, r.Value)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// appendSensitive collects the texts inside sensitive parts of a value.
func appendSensitive(out []string, v cty.Value) []string {
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		if !v.IsMarked() {
			return true, nil
		}
		plain, _ := v.UnmarkDeep()
		return false, cty.Walk(plain, func(_ cty.Path, v cty.Value) (bool, error) {
			if v.Type() == cty.String && v.IsKnown() && !v.IsNull() && v.AsString() != "" {
				out = append(out, v.AsString())
			}
			return true, nil
		})
	})
	return out
}
