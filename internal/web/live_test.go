package web_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/terrace-cd/terrace/internal/web"
	"github.com/terrace-cd/terrace/internal/wire"
)

// set changes the state of a cell of shop's board.
func (f *fake) set(instance, state, phase string) {
	f.do(func() {
		st := f.status["shop"]
		st.Instances = append([]wire.InstanceStatus(nil), st.Instances...)
		for i := range st.Instances {
			if st.Instances[i].Instance == instance {
				st.Instances[i].State, st.Instances[i].Phase = state, phase
			}
		}
		f.status["shop"] = st
	})
}

const isLive = `document.getElementById("live").textContent === "live"`

func says(selector, text string) string {
	return fmt.Sprintf(`(document.querySelector(%q)?.textContent.includes(%q) ?? false)`, selector, text)
}

func TestBoardIsLiveForEverybody(t *testing.T) {
	t.Parallel()
	f := shop()
	url := serve(t, f)
	ana, ben := tab(t), tab(t)
	for _, ctx := range []context.Context{ana, ben} {
		do(t, ctx, chromedp.Navigate(url+"/p/shop"))
		until(t, ctx, isLive)
		do(t, ctx, chromedp.Focus("#c-network-staging"), chromedp.Evaluate("window.same = true", nil))
	}
	f.set("network@staging", "running", "verifying")
	for _, ctx := range []context.Context{ana, ben} {
		until(t, ctx, says("#c-network-staging", "verifying"))
	}
	f.set("network@staging", "up_to_date", "")
	for _, ctx := range []context.Context{ana, ben} {
		until(t, ctx, says("#c-network-staging", "up to date"))
		if !evaluate[bool](t, ctx, "window.same === true") {
			t.Error("the whole page was loaded again")
		}
		if got := evaluate[string](t, ctx, "document.activeElement.id"); got != "c-network-staging" {
			t.Errorf("the focus went to %q", got)
		}
	}
}

func TestFilterWhileTyping(t *testing.T) {
	t.Parallel()
	f := shop()
	url := serve(t, f)
	ctx := tab(t)
	do(t, ctx, chromedp.Navigate(url+"/p/shop"))
	until(t, ctx, isLive)
	rows := func(n int) string { return fmt.Sprintf(`document.querySelectorAll(".grid tbody tr").length === %d`, n) }
	do(t, ctx, chromedp.SendKeys("#q", "d"))
	until(t, ctx, rows(3)+` && location.search.includes("q=d")`)
	// What is drawn anew while somebody types takes nothing of it away.
	do(t, ctx, chromedp.SendKeys("#q", "n"))
	f.set("dns@staging", "running", "planning")
	do(t, ctx, chromedp.SendKeys("#q", "s"))
	until(t, ctx, rows(1)+` && location.search.includes("q=dns")`)
	if got := evaluate[string](t, ctx, `document.activeElement.id + "=" + document.activeElement.value`); got != "q=dns" {
		t.Errorf("after filtering the focus and the text are %q", got)
	}
	// A change keeps the filter.
	f.set("dns@dev", "failed", "")
	until(t, ctx, says("#c-dns-dev", "failed")+" && "+rows(1))
}

func TestRunIsFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	f := shop()
	url := serve(t, f)
	ctx := tab(t)
	do(t, ctx, chromedp.Navigate(url+"/runs/r-net-stg"))
	until(t, ctx, isLive)
	do(t, ctx, chromedp.Click(`summary:has(code)`)) // fold the first resource of the plan
	for i := range 200 {
		f.write("r-net-stg", "apply", fmt.Sprintf("ying... %d\ndemocloud_network.shop: Modif", i))
	}
	until(t, ctx, `document.getElementById("L212")?.textContent === "democloud_network.shop: Modif"`)
	if got := evaluate[string](t, ctx, `document.getElementById("L12").textContent`); got != "democloud_network.shop: Modifying... 0" {
		t.Errorf("line 12 is %q", got)
	}
	until(t, ctx, `window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 40`)
	f.write("r-net-stg", "verify", "ying done\nhttp://10.20.0.4 answers\n")
	f.do(func() {
		r := f.runs["r-net-stg"]
		r.Status, r.Finished = "succeeded", now
		f.runs["r-net-stg"] = r
	})
	until(t, ctx, says(".title", "succeeded")+` && document.getElementById("live").hidden`)
	numbers := evaluate[string](t, ctx, `[...document.querySelectorAll("#sections li")].map(l => l.id).join(" ")`)
	var want []string
	for i := 1; i <= 214; i++ {
		want = append(want, fmt.Sprintf("L%d", i))
	}
	if numbers != strings.Join(want, " ") {
		t.Errorf("lines: %s", numbers)
	}
	if got := evaluate[string](t, ctx, `document.querySelector(".phase:last-child summary").textContent`); got != "verify" {
		t.Errorf("the last section is %q", got)
	}
	if evaluate[bool](t, ctx, `document.querySelector(".resource").open`) {
		t.Error("what was folded is open again")
	}
	if evaluate[bool](t, ctx, `document.querySelector(".act") !== null`) {
		t.Error("a run that is over can still be cancelled")
	}
}

func TestStreamThatIsCutMissesNothing(t *testing.T) {
	t.Parallel()
	f := shop()
	srv := httptest.NewServer(web.New(f, web.Options{Gather: time.Millisecond}))
	t.Cleanup(srv.CloseClientConnections)
	t.Cleanup(srv.Close)
	t.Cleanup(srv.CloseClientConnections)
	ctx := tab(t)
	do(t, ctx, chromedp.Navigate(srv.URL+"/runs/r-net-stg"))
	until(t, ctx, isLive)
	for i := range 3 {
		f.write("r-net-stg", "apply", fmt.Sprintf("\nbefore cut %d", i))
		srv.CloseClientConnections()
		f.write("r-net-stg", "apply", fmt.Sprintf("\nafter cut %d", i))
		until(t, ctx, says("#sections", fmt.Sprintf("after cut %d", i)))
	}
	text := evaluate[string](t, ctx, `[...document.querySelectorAll("#sections li")].slice(11).map(l => l.textContent).join("|")`)
	if want := "democloud_network.shop: Modif|before cut 0|after cut 0|before cut 1|after cut 1|before cut 2|after cut 2"; text != want {
		t.Errorf("lines: %s", text)
	}
}

func TestCancelAsksFirst(t *testing.T) {
	t.Parallel()
	f := shop()
	url := serve(t, f)
	ctx := tab(t)
	var accept atomic.Bool
	var asked atomic.Int32
	chromedp.ListenTarget(ctx, func(e any) {
		if _, ok := e.(*page.EventJavascriptDialogOpening); ok {
			asked.Add(1)
			go func() { _ = chromedp.Run(ctx, page.HandleJavaScriptDialog(accept.Load())) }()
		}
	})
	do(t, ctx, chromedp.Navigate(url+"/rollouts/ro-42"))
	until(t, ctx, isLive)
	do(t, ctx, chromedp.Click(".act button"))
	if asked.Load() != 1 || len(f.cancels) != 0 {
		t.Fatalf("asked %d times, cancelled %v", asked.Load(), f.cancels)
	}
	accept.Store(true)
	resp, err := chromedp.RunResponse(ctx, chromedp.Click(".act button"))
	if err != nil {
		t.Fatal(err)
	}
	if resp.Status != 200 || len(f.cancels) != 1 || f.cancels[0] != "ro-42" {
		t.Errorf("answer %d, cancelled %v", resp.Status, f.cancels)
	}
}

// hostile is what a provider or a playbook may print.
const hostile = "<script>window.pwned = 1</script><img src=x onerror=\"window.pwned = 1\">\n" +
	"</span></li></ol><script>window.pwned = 1</script>\n" +
	"see \x1b]8;;javascript:window.pwned=1\x1b\\this link\x1b]8;;\x1b\\\n" +
	"visible\x1b[2K\x1b[1Ahidden\rover\x1b[8mconcealed\n" +
	"\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x07\x1b[31mred \x1b[0;1mbold\x1b[0m\u202egnp.exe\n" +
	"\x1b[38;5;99999999999999999999mx\x1b[9999999999;;;;;my \x00\x01\xff\n"

func TestHostileLogIsOnlyText(t *testing.T) {
	t.Parallel()
	f := shop()
	f.runs["r-evil"] = wire.Run{ID: "r-evil", Instance: "web@dev", Stack: "web", Environment: "dev", Project: "shop", Kind: "deploy", Status: "applying",
		Release: wire.Release{Number: 1, Commit: "0123456789", Subject: "<script>window.pwned = 1</script>", Author: "\"><img src=x onerror=window.pwned=1>"}, Created: now,
		Error: &wire.Problem{Code: "failed", Message: hostile}, Checks: []wire.Check{{Name: hostile, Verdict: "deny", Message: hostile}}}
	f.plans["r-evil"] = &wire.Plan{Resources: []wire.ResourceChange{{Address: hostile, Action: "create", Reason: hostile, Attrs: []wire.AttrChange{{Path: hostile, Before: hostile, After: "x"}}}}}
	f.write("r-evil", "plan", hostile)
	url := serve(t, f)
	ctx := tab(t)
	do(t, ctx, chromedp.Navigate(url+"/runs/r-evil"))
	until(t, ctx, isLive)
	f.write("r-evil", "<script>window.pwned = 1</script>", hostile)
	until(t, ctx, `document.querySelectorAll(".phase").length === 2 && document.getElementById("L14") !== null`)
	if evaluate[bool](t, ctx, `"pwned" in window`) {
		t.Error("a script from the log ran")
	}
	if n := evaluate[int](t, ctx, `document.querySelectorAll("main script, main img, #sections span a").length`); n != 0 {
		t.Errorf("%d elements came out of the log", n)
	}
	// What the server drew and what the stream wrote are the same.
	drawn := evaluate[string](t, ctx, `[...document.querySelectorAll(".phase:first-child li span")].map(s => s.innerHTML).join("\n")`)
	wrote := evaluate[string](t, ctx, `[...document.querySelectorAll(".phase:last-child li span")].map(s => s.innerHTML).join("\n")`)
	if drawn != wrote {
		t.Errorf("drawn:\n%s\nwritten:\n%s", drawn, wrote)
	}
	for _, want := range []string{"&lt;script&gt;", "see this link", "visiblehidden\nover", `<b class="t2">red </b><b class="bold">bold</b>gnp.exe`} {
		if !strings.Contains(drawn, want) {
			t.Errorf("%q is not in the log:\n%s", want, drawn)
		}
	}
	if strings.ContainsAny(drawn, "\x1b\x07\x00\x01\u202e") {
		t.Errorf("control characters are left in %q", drawn)
	}
}

func TestReadableWithoutJavaScript(t *testing.T) {
	t.Parallel()
	url := serve(t, shop())
	ctx := tab(t)
	do(t, ctx, emulation.SetScriptExecutionDisabled(true))
	for path, want := range map[string][]string{
		"/p/shop":         {"behind by 2", "quota of 3 databases", "Under way"},
		"/runs/r-net-stg": {"democloud_rule.legacy: Destruction complete", "destroys the old one first"},
	} {
		var text string
		do(t, ctx, chromedp.Navigate(url+path), chromedp.Text("main", &text))
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s without JavaScript does not say %q", path, w)
			}
		}
	}
}

func TestKeyboard(t *testing.T) {
	t.Parallel()
	url := serve(t, shop())
	ctx := tab(t)
	do(t, ctx, chromedp.Navigate(url+"/p/shop"))
	until(t, ctx, isLive)
	do(t, ctx, chromedp.KeyEvent(kb.Tab))
	if got := evaluate[string](t, ctx, "document.activeElement.className"); got != "skip" {
		t.Errorf("the first stop is %q, not the link to the content", got)
	}
	for range 60 {
		do(t, ctx, chromedp.KeyEvent(kb.Tab))
		if evaluate[string](t, ctx, "document.activeElement.id") == "c-database-dev" {
			break
		}
	}
	if outline := evaluate[string](t, ctx, "getComputedStyle(document.activeElement).outlineStyle"); outline != "solid" {
		t.Errorf("what has the focus is not outlined: %s", outline)
	}
	resp, err := chromedp.RunResponse(ctx, chromedp.KeyEvent(kb.Enter))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(resp.URL, "/runs/r-db-dev") {
		t.Errorf("Enter went to %s", resp.URL)
	}
}

func TestLineLink(t *testing.T) {
	t.Parallel()
	url := serve(t, shop())
	ctx := tab(t)
	do(t, ctx, chromedp.Navigate(url+"/runs/r-net-stg#L4"), chromedp.WaitReady("#L4"))
	if !evaluate[bool](t, ctx, `document.querySelector("#L4").matches(":target")`) {
		t.Error("the line of the address is not marked")
	}
}

// Streams end with their readers: nobody is listened for any more.
func TestStreamsEnd(t *testing.T) {
	t.Parallel()
	f := shop()
	url := serve(t, f)
	ctx := tab(t)
	do(t, ctx, chromedp.Navigate(url+"/runs/r-net-stg"))
	until(t, ctx, isLive)
	do(t, ctx, chromedp.Navigate("about:blank"))
	look, deadline := time.NewTicker(10*time.Millisecond), time.After(20*time.Second)
	defer look.Stop()
	for f.listening() > 0 {
		select {
		case <-look.C:
			f.tick("")
		case <-deadline:
			t.Fatalf("%d streams are left", f.listening())
		}
	}
}
