package democloud_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/demo/democloud/democloudtest"
)

func count(t *testing.T, c *democloud.Client) int {
	t.Helper()
	all, err := c.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func hits(t *testing.T, c *democloud.Client) int {
	t.Helper()
	all, err := c.Faults(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range all {
		n += f.Hits
	}
	return n
}

func TestFaults(t *testing.T) {
	t.Parallel()
	_, c := democloudtest.Start(t, democloud.Options{})
	inject := func(f democloud.Fault) {
		t.Helper()
		if err := c.ClearFaults(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Inject(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	try := func(ctx context.Context, name string) error {
		_, err := c.Create(ctx, democloud.Server, name, small, nil)
		return err
	}

	inject(democloud.Fault{Type: democloud.Server, Name: "web-*", Operation: democloud.Create, Mode: democloud.Fail, Count: 2, Message: "no capacity"})
	for range 2 {
		if err := try(t.Context(), "web-1"); core.CodeOf(err) != core.Internal || core.MessageOf(err) != "no capacity" {
			t.Errorf("fail: %v", err)
		}
	}
	if n := count(t, c); n != 0 {
		t.Errorf("a failed create left %d resources", n)
	}
	if err := errors.Join(try(t.Context(), "web-1"), try(t.Context(), "db-1")); err != nil || hits(t, c) != 2 {
		t.Errorf("after its count: %v, %d hits", err, hits(t, c))
	}

	inject(democloud.Fault{Operation: democloud.Create, Mode: democloud.FailAfter})
	if err := try(t.Context(), "after"); core.CodeOf(err) != core.Internal || count(t, c) != 3 {
		t.Errorf("fail_after: %v, %d resources", err, count(t, c))
	}

	for _, mode := range []democloud.Mode{democloud.Hang, democloud.HangAfter} {
		before := count(t, c)
		inject(democloud.Fault{Name: "hangs", Mode: mode, Operation: democloud.Create})
		ended := make(chan error, 2)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { ended <- try(ctx, "hangs") }()
		go func() { ended <- try(t.Context(), "hangs") }()
		eventually(t, "both hang", func() bool { return hits(t, c) == 2 })
		cancel() // one caller gives up
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s ended first with %v", mode, err)
		}
		if err := c.ClearFaults(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; core.CodeOf(err) != core.Unavailable {
			t.Errorf("%s, cleared, ended with %v", mode, err)
		}
		if made := count(t, c) - before; (mode == democloud.Hang && made != 0) || (mode == democloud.HangAfter && made != 2) {
			t.Errorf("%s made %d resources", mode, made)
		}
	}

	// A slow operation happens although its caller has gone.
	before := count(t, c)
	inject(democloud.Fault{Mode: democloud.Slow, Delay: democloud.Duration(50 * time.Millisecond), Operation: democloud.Create})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- try(ctx, "slow") }()
	eventually(t, "it is under way", func() bool { return hits(t, c) == 1 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("slow: %v", err)
	}
	eventually(t, "it happened", func() bool { return count(t, c) == before+1 })

	inject(democloud.Fault{Mode: democloud.Fail, Operation: democloud.Read, Tenant: "other"})
	all, err := c.List(t.Context(), democloud.Server)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(t.Context(), democloud.Server, all[0].ID); err != nil {
		t.Errorf("a fault of another tenant hit: %v", err)
	}
	inject(democloud.Fault{Mode: democloud.Fail, Operation: democloud.Delete, Name: all[0].Name})
	if err := c.Delete(t.Context(), democloud.Server, all[0].ID); core.CodeOf(err) != core.Internal {
		t.Errorf("delete: %v", err)
	}
	if err := c.ClearFaults(t.Context(), "fault-0"); core.CodeOf(err) != core.NotFound {
		t.Errorf("removing a fault that is not there: %v", err)
	}
}

func TestCloseEndsWhatHangs(t *testing.T) {
	t.Parallel()
	cloud, c := democloudtest.Start(t, democloud.Options{})
	if _, err := c.Inject(t.Context(), democloud.Fault{Mode: democloud.Hang}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := c.Create(t.Context(), democloud.Server, "web", small, nil)
		ended <- err
	}()
	eventually(t, "it hangs", func() bool { return hits(t, c) == 1 })
	if err := cloud.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; core.CodeOf(err) != core.Unavailable {
		t.Errorf("it ended with %v", err)
	}
}
