package web_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

var screenshots = flag.String("screenshots", "", "folder for the pictures of the pages; default: a temporary one")

// browser is one headless Chromium for all tests of the package; each test gets a tab.
var browser = sync.OnceValues(func() (context.Context, error) {
	var path string
	for _, name := range []string{"chromium-headless-shell", "chromium", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		return nil, fmt.Errorf("no Chromium is installed, and these tests look at the pages with one: apt-get install chromium-headless-shell")
	}
	dir, err := os.MkdirTemp("", "terrace-web-browser-")
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(dir), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.NoFirstRun, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.WSURLReadTimeout(60*time.Second))
	allocated, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(allocated)
	if err := chromedp.Run(ctx); err != nil {
		stop()
		stopAllocator()
		return nil, err
	}
	closeBrowser = func() {
		stop()
		stopAllocator()
		_ = os.RemoveAll(dir)
	}
	return ctx, nil
})

var closeBrowser = func() {}

func TestMain(m *testing.M) {
	code := m.Run()
	closeBrowser()
	os.Exit(code)
}

// tab opens a tab that ends with the test, and fails the test when a page breaks its
// own policy or throws an error.
func tab(t *testing.T) context.Context {
	t.Helper()
	b, err := browser()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := chromedp.NewContext(b)
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	t.Cleanup(func() { cancel(); stop() })
	chromedp.ListenTarget(ctx, func(e any) {
		switch e := e.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("the page threw: %s", e.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			if e.Entry.Level == log.LevelError && !strings.Contains(e.Entry.Text, "net::ERR_") && !strings.Contains(e.Entry.Text, "status of 4") {
				t.Errorf("the page complains: %s", e.Entry.Text)
			}
		}
	})
	do(t, ctx, log.Enable(), chromedp.EmulateViewport(1280, 900))
	return ctx
}

func do(t *testing.T, ctx context.Context, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// evaluate returns the value of an expression in the page.
func evaluate[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	var out T
	do(t, ctx, chromedp.Evaluate(expression, &out))
	return out
}

// until waits for an expression to become true, with a deadline.
func until(t *testing.T, ctx context.Context, expression string) {
	t.Helper()
	do(t, ctx, chromedp.Poll(expression, nil, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(20*time.Second)))
}

func theme(name string) chromedp.Action {
	return emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}})
}

// TestScreenshots draws every page in both themes, wide and narrow, for a person to
// look at, and checks that nothing sticks out of a narrow screen.
func TestScreenshots(t *testing.T) {
	t.Parallel()
	dir := *screenshots
	if dir == "" {
		dir = t.TempDir()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	full, empty := serve(t, shop()), serve(t, newFake())
	for _, page := range []struct{ name, url string }{
		{"projects", full + "/"}, {"board", full + "/p/shop"}, {"rollout", full + "/rollouts/ro-42"}, {"run", full + "/runs/r-net-stg"},
		{"run-failed", full + "/runs/r-db-dev"}, {"run-asks", full + "/runs/r-asks-web"}, {"rollout-asks", full + "/rollouts/ro-asks"}, {"login", full + "/login?failed=1"}, {"missing", full + "/p/nothing"}, {"empty", empty + "/"},
	} {
		t.Run(page.name, func(t *testing.T) {
			ctx := tab(t)
			for _, width := range []int64{1280, 390} {
				do(t, ctx, chromedp.EmulateViewport(width, 900), chromedp.Navigate(page.url), chromedp.WaitReady("main"))
				if over := evaluate[int](t, ctx, "document.documentElement.scrollWidth - document.documentElement.clientWidth"); over > 0 {
					t.Errorf("at %d pixels the page is %d pixels too wide", width, over)
				}
				for _, name := range []string{"light", "dark"} {
					var png []byte
					do(t, ctx, theme(name), chromedp.FullScreenshot(&png, 100))
					if len(png) < 2000 {
						t.Errorf("a picture of %d bytes", len(png))
					}
					file := filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", page.name, width, name))
					if err := os.WriteFile(file, png, 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}
