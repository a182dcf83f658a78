package runner

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/testkit"
	"github.com/terrace-cd/terrace/internal/wire"
)

// watched is a run of kind verify that asks an address whose answer can change.
func watched(t *testing.T) (w *world, status, asked *atomic.Int32) {
	t.Helper()
	status, asked = new(atomic.Int32), new(atomic.Int32)
	status.Store(200)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(int(status.Load()))
	}))
	t.Cleanup(site.Close)
	w = newWorld(t, map[string]string{"stacks/web/main.tf": ""})
	w.job.Kind, w.job.VerifyEvery = "verify", "50ms"
	w.job.Verify = []wire.Verify{{Kind: "http", URL: site.URL, Status: 200, Within: "2s"}}
	return w, status, asked
}

func TestABakeEndsWellWhenTheServerSaysSo(t *testing.T) {
	t.Parallel()
	w, _, asked := watched(t)
	w.start()
	w.until("some rounds", func() bool { return asked.Load() >= 3 })
	w.do(func() { w.beat.Stop = true })
	f := w.ends("succeeded")
	if len(f.Verified) != 1 || f.Verified[0].Verdict != "pass" || f.Phases["verify"] == 0 {
		t.Errorf("it was finished with %+v", f)
	}
	if want := []string{"claim", "phase verifying", "finish"}; !slices.Equal(w.reported(), want) {
		t.Errorf("reported %q, want %q", w.reported(), want)
	}
	if got := w.log.text("verify"); strings.Count(got, "\n") != 1 {
		t.Errorf("a bake in which nothing changes logs\n%s", got)
	}
}

func TestOneFailEndsABake(t *testing.T) {
	t.Parallel()
	w, status, asked := watched(t)
	w.job.Verify = append(w.job.Verify, wire.Verify{Kind: "command", Command: []string{"./check.sh"}, Within: "1m"})
	w.commit(map[string]string{"check.sh": "#!/bin/sh\nexit 0\n"})
	w.start()
	w.until("some rounds", func() bool { return asked.Load() >= 2 })
	status.Store(503)
	if f := w.ends("failed", "answered 503, expected 200"); f.Error.Code != "failed" || len(f.Verified) != 2 {
		t.Errorf("it was finished with %+v", f)
	}
}

// A bake ends when the number that it watches crosses the threshold.
func TestAMetricEndsABake(t *testing.T) {
	t.Parallel()
	var errors, asked atomic.Int32
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = fmt.Fprintf(w, "app_errors %d\n", errors.Load())
	}))
	t.Cleanup(site.Close)
	server := testkit.Prometheus(t, strings.TrimPrefix(site.URL, "http://"))
	w := newWorld(t, map[string]string{"stacks/web/main.tf": ""})
	w.job.Kind, w.job.VerifyEvery = "verify", "50ms"
	w.job.Verify = []wire.Verify{{Kind: "prometheus", URL: server, Query: "app_errors", Compare: "below", Than: 5, Within: "1s"}}
	w.start()
	w.until("a pass", func() bool { return strings.Contains(w.log.text("verify"), "is 0, which is below 5") })
	errors.Store(5)
	if f := w.ends("failed", "app_errors", "is 5, which is not below 5"); f.Error.Code != "failed" || len(f.Verified) != 1 || f.Verified[0].Verdict != "fail" {
		t.Errorf("it was finished with %+v", f)
	}
	if asked.Load() < 2 {
		t.Errorf("Prometheus asked %d times", asked.Load())
	}
}

// Asked by hand, it asks once and ends.
func TestAskedByHandItAsksOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int32
		ends   string
		code   string
	}{{200, "succeeded", ""}, {503, "failed", "failed"}} {
		w, status, asked := watched(t)
		w.job.VerifyOnce = true
		status.Store(c.status)
		w.start()
		f := w.ends(c.ends)
		if len(f.Verified) != 1 || (f.Error == nil) != (c.code == "") || f.Phases["verify"] == 0 {
			t.Errorf("it was finished with %+v", f)
		}
		if n := asked.Load(); c.status == 200 && n != 1 {
			t.Errorf("it asked %d times", n)
		}
	}
}

func TestABakeNeverEndsWellOnInconclusive(t *testing.T) {
	t.Parallel()
	w, _, asked := watched(t)
	w.job.Verify = append(w.job.Verify, wire.Verify{Kind: "command", Command: []string{"sh", "-c", "exit 75"}, Within: "1m"})
	w.start()
	w.until("some rounds", func() bool { return asked.Load() >= 2 })
	w.do(func() { w.beat.Stop = true })
	if f := w.ends("errored", "could not be answered"); f.Error.Code != "inconclusive" {
		t.Errorf("it was finished with %+v", f)
	}
}

func TestABakeCanBeCancelled(t *testing.T) {
	t.Parallel()
	w, _, asked := watched(t)
	w.start()
	w.until("a round", func() bool { return asked.Load() >= 1 })
	w.do(func() { w.beat.Cancel = true })
	w.ends("cancelled", "cancelled in verification")
}

// A server that gave the run to somebody else gets no further word.
func TestARunnerThatWasReplacedIsSilent(t *testing.T) {
	t.Parallel()
	w, _, asked := watched(t)
	w.start()
	w.until("a round", func() bool { return asked.Load() >= 1 })
	w.do(func() {
		w.refuse["heartbeat"] = &client.Error{Status: 409, Code: "conflict", Message: "attempt 2 of r-1 took over"}
	})
	w.wait()
	if w.end() != nil || w.proc.Wait() == nil || !strings.Contains(w.output(), "taken from the runner") {
		t.Errorf("it was finished with %+v and said %q", w.end(), w.output())
	}
}

// The server goes away in the middle and comes back: nobody notices.
func TestARunnerOutlivesTheServer(t *testing.T) {
	t.Parallel()
	w, status, asked := watched(t)
	w.start()
	w.until("a round", func() bool { return asked.Load() >= 1 })
	w.away()
	seen := asked.Load()
	w.until("rounds without the server", func() bool { return asked.Load() > seen+3 })
	status.Store(500)
	w.back()
	w.ends("failed", "answered 500")
	w.mustHave("verify http://")
}

func TestARunnerThatIsToldToEnd(t *testing.T) {
	t.Parallel()
	w, _, asked := watched(t)
	w.start()
	w.until("a round", func() bool { return asked.Load() >= 1 })
	w.terminate()
	w.ends("errored", "told to end")
}

// A signal makes the runner ask at once, not with its next heartbeat.
func TestASignalCanMeanThatTheBakeIsOver(t *testing.T) {
	t.Parallel()
	w, _, asked := watched(t)
	w.heartbeat = time.Hour
	w.start()
	w.until("a round", func() bool { return asked.Load() >= 1 })
	w.do(func() { w.beat.Stop = true })
	w.terminate()
	w.ends("succeeded")
}

func TestClaimsThatAreRefused(t *testing.T) {
	t.Parallel()
	// What the server cannot say because of the configuration is the end of the run.
	w, _, _ := watched(t)
	w.refuse["claim"] = &client.Error{Status: 422, Code: "invalid", Message: "dev needs the secret KEY, which has no value"}
	w.start().ends("failed", "needs the secret KEY")

	// A run that is not ours is left alone.
	w, _, _ = watched(t)
	no := &client.Error{Status: 409, Code: "conflict", Message: "r-1 is succeeded"}
	w.refuse["claim"], w.refuse["finish"] = no, no
	w.start().wait()
	if w.end() != nil || w.proc.Wait() == nil || !strings.Contains(w.output(), "r-1 is succeeded") {
		t.Errorf("it said %q", w.output())
	}
}

func TestOrdersThatAreNone(t *testing.T) {
	t.Parallel()
	for _, orders := range []string{"", "[]", "{}", `{"server":"http://x","run":"r","token":"t","dir":"rel","work":"/w"}`} {
		if _, err := ReadOptions(strings.NewReader(orders)); err == nil {
			t.Errorf("%q was taken", orders)
		}
	}
}
