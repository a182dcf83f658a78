package policy

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/terrace-cd/terrace/internal/wire"
)

const (
	mostChecks    = 100
	longest       = 4 << 10 // of a message, and of details as JSON
	detailsTooBig = "(too large to be kept)"
)

// Bound cuts the verdicts of one set down to what is stored. Secrets have to be masked
// before: a part of one is not found. What denies comes first, so it is never lost.
func Bound(checks []wire.Check) []wire.Check {
	if len(checks) > mostChecks {
		last := checks[mostChecks-1]
		rest := len(checks) - mostChecks + 1
		checks = append(checks[:mostChecks-1:mostChecks-1], wire.Check{Name: last.Name, Verdict: last.Verdict, From: last.From,
			Message: fmt.Sprintf("and %d more verdicts of %s", rest, last.From)})
	}
	for i := range checks {
		c := &checks[i]
		c.Message = shorten(c.Message)
		c.Resource = shorten(c.Resource)
		if c.Details == nil {
			continue
		}
		if text, err := json.Marshal(c.Details); err != nil || len(text) > longest {
			c.Details = map[string]any{"details": detailsTooBig}
		}
	}
	return checks
}

func shorten(text string) string {
	if len(text) <= longest {
		return text
	}
	end := longest
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + fmt.Sprintf("… (%d bytes)", len(text))
}
