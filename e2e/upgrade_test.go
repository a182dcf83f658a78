package e2e

import (
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// An upgrade in the middle of an apply, as somebody sees it who has the run's page open:
// the server is killed, another one is started, and the log goes on where it was.
func TestLogPageGoesOnAfterAnUpgrade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "", "")
	w.stack("one", "first", strings.Replace(w.gate("dev", "a"), "sleep 0.05", "n=$((n+1)); echo tick $n; sleep 0.2", 1))
	first := w.repo.Commit("One")
	w.repo.Push()
	w.add("park")
	w.began("a")
	page := testkit.Chromium(t)
	in := strings.TrimSpace(w.run("browse"))
	do := func(actions ...chromedp.Action) {
		t.Helper()
		if err := chromedp.Run(page, actions...); err != nil {
			t.Fatal(err)
		}
	}
	ticks := func() (all []string) {
		t.Helper()
		do(chromedp.Evaluate(`[...document.querySelectorAll("#sections li span")].map(l => l.textContent).filter(l => /tick \d+$/.test(l)).map(l => l.match(/tick (\d+)$/)[1])`, &all))
		return all
	}
	do(chromedp.Navigate(in), chromedp.Navigate(w.url+"/runs/"+w.runAt("one@dev", "applying").ID), chromedp.Evaluate("window.same = true", nil))
	testkit.Eventually(t, patience, "lines to appear", func() bool { return len(ticks()) > 2 })
	w.stop(syscall.SIGKILL)
	seen := len(ticks())
	written := time.Now().Add(2 * time.Second) // without a server
	testkit.Eventually(t, patience, "lines to be written meanwhile", func() bool { return time.Now().After(written) })
	w.start()
	testkit.Eventually(t, patience, "the page to go on", func() bool { return len(ticks()) > seen+10 })
	open(t, w.file("go-a"))
	var over bool
	testkit.Eventually(t, patience, "the page to say how it ended", func() bool {
		do(chromedp.Evaluate(`document.body.textContent.includes("Apply complete!")`, &over))
		return over
	})
	for i, n := range ticks() {
		if n != strconv.Itoa(i+1) {
			t.Fatalf("line %d of the log says tick %s: there is a gap, or a repetition", i+1, n)
		}
	}
	var same bool
	if do(chromedp.Evaluate("window.same === true", &same)); !same {
		t.Error("the page was loaded again")
	}
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
}
