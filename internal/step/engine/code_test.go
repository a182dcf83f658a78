package engine_test

import (
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

func assertInvalid(t testing.TB, err error)     { t.Helper(); assertCode(t, err, core.Invalid) }
func assertUnavailable(t testing.TB, err error) { t.Helper(); assertCode(t, err, core.Unavailable) }

func assertCode(t testing.TB, err error, want core.Code) {
	t.Helper()
	if got := core.CodeOf(err); got != want {
		t.Errorf("code %q, want %q: %v", got, want, err)
	}
}
