package store

import (
	"slices"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

// TestWhatNamesAStackMovesWithIt asks of every table that names a stack whether its rows
// follow an instance to its new name.
func TestWhatNamesAStackMovesWithIt(t *testing.T) {
	stays := map[string]string{
		"instances":   "is moved by a statement of its own",
		"runs":        "are history, and their tokens and logs go by the run",
		"state_locks": "have to be free",
		"votes":       "are history, and bound to their runs",
	}
	db := open(t)
	if err := db.View(t.Context(), func(ctx core.Tx) error {
		for _, table := range tables {
			columns, err := ctx.(*tx).columns(table.name)
			if err != nil {
				return err
			}
			if slices.Contains(columns, "stack") == (stays[table.name] == "" && !slices.Contains(moved, table.name)) {
				t.Errorf("%s names stacks: do its rows follow an instance that gets another name? Then add it to moved, else say here why they stay", table.name)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
