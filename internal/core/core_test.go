package core_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func TestErrorsKeepTheirCauseAndSayItOnce(t *testing.T) {
	err := core.Errorf(core.Unavailable, "the blob %s cannot be read: %w", "b1", fs.ErrNotExist)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("the cause is lost")
	}
	if got := strings.Count(err.Error(), fs.ErrNotExist.Error()); got != 1 {
		t.Errorf("the cause is printed %d times: %s", got, err)
	}
	wrapped := fmt.Errorf("while starting: %w", err)
	if core.CodeOf(wrapped) != core.Unavailable || core.MessageOf(wrapped) != err.Message {
		t.Errorf("through a wrapper: code %q, message %q", core.CodeOf(wrapped), core.MessageOf(wrapped))
	}
	if core.CodeOf(nil) != "" || core.CodeOf(fs.ErrExist) != core.Internal {
		t.Error("codes of nil and of a foreign error are wrong")
	}
}

func TestIDsSortByAgeAndDoNotRepeat(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	seen := map[string]bool{}
	var ids []string
	for i := range 1000 {
		id := core.NewID(core.PrefixRun, now.Add(time.Duration(i)*time.Millisecond))
		if seen[id] {
			t.Fatalf("%s twice", id)
		}
		seen[id] = true
		ids = append(ids, id)
	}
	if !slices.IsSorted(ids) {
		t.Error("identifiers do not sort by age")
	}
}

// Every status is reached from queued, and each is either terminal or has a way out.
func TestTransitionsAreComplete(t *testing.T) {
	reached := map[core.RunStatus]bool{core.RunQueued: true}
	all := core.ByReconciler | core.ByExecutor | core.ByRunner | core.ByPerson
	for range core.RunStatuses() {
		for _, from := range core.RunStatuses() {
			for _, to := range core.RunStatuses() {
				if reached[from] && core.CanMove(from, to, all) {
					reached[to] = true
				}
			}
		}
	}
	for _, s := range core.RunStatuses() {
		if !reached[s] {
			t.Errorf("nothing leads to %s", s)
		}
	}
}

func TestNothingIsSupersededOnceApplying(t *testing.T) {
	all := core.ByReconciler | core.ByExecutor | core.ByRunner | core.ByPerson
	for _, from := range []core.RunStatus{core.RunApplying, core.RunProvisioning, core.RunVerifying} {
		if core.CanMove(from, core.RunSuperseded, all) {
			t.Errorf("%s can be superseded (rule 6)", from)
		}
		if core.CanMove(from, core.RunQueued, all) {
			t.Errorf("%s can start again (rule 19)", from)
		}
	}
	for _, from := range core.RunStatuses() {
		if from.Changing() != core.CanMove(from, core.RunUnknown, core.ByExecutor) {
			t.Errorf("%s: a lost runner leaves unknown exactly where infrastructure changes (rule 20)", from)
		}
		if from.Supersedable() != core.CanMove(from, core.RunSuperseded, all) {
			t.Errorf("%s: Supersedable and the table disagree", from)
		}
	}
}

func TestMovesAreForThoseWhoMayCauseThem(t *testing.T) {
	if core.CanMove(core.RunChecking, core.RunApplying, core.ByRunner) {
		t.Error("a runner lets itself apply")
	}
	if err := core.CheckMove(core.RunSucceeded, core.RunQueued, core.ByPerson); core.CodeOf(err) != core.Conflict {
		t.Errorf("a terminal run moves: %v", err)
	}
}

func TestNames(t *testing.T) {
	for _, good := range []string{"web", "a", "Web-2_x", strings.Repeat("a", 63)} {
		if !core.ValidName(good) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{"", "-web", "_x", "a/b", "..", "a b", "web\n", ";id", "$(id)", "ä", strings.Repeat("a", 64), "a@b", "--upload-pack=x"} {
		if core.ValidName(bad) {
			t.Errorf("%q is accepted", bad)
		}
	}
	stack, environment, err := core.ParseInstance("web@production")
	if stack != "web" || environment != "production" || err != nil {
		t.Errorf("web@production is %q, %q, %v", stack, environment, err)
	}
	for _, bad := range []string{"web", "@dev", "web@", "a@b@c", "-x@dev"} {
		if _, _, err := core.ParseInstance(bad); core.CodeOf(err) != core.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
