package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/terrace-cd/terrace/internal/wire"
)

func TestVotingOnARun(t *testing.T) {
	t.Parallel()
	f := shop()
	site := serve(t, f)
	ctx := tab(t)
	var text string
	do(t, ctx, chromedp.Navigate(site+"/runs/r-asks-web"), chromedp.Text("main", &text))
	for _, want := range []string{"Waits for approval", "Again, because the state of web@production is another one", "1 missing", "2 of group:platform, user:ana", "neither the commit's author nor who asked",
		"met", "more than max_replace = 1", "the guardrails (environment \"prod*\")", "user:bob", "looked at it with <b>Ana</b>", "void, because the state is another one", "serial 17"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}

	// What somebody writes stays while others vote.
	until(t, ctx, isLive)
	do(t, ctx, chromedp.SendKeys(".vote textarea", "seen it\nwith Bob"))
	f.do(func() {
		r := f.runs["r-asks-web"]
		a := *r.Approval
		a.Votes = append(slices.Clone(a.Votes), wire.Vote{ID: "v-3", By: "user:eve", Verdict: "approve", At: now})
		r.Approval = &a
		f.runs["r-asks-web"] = r
	})
	until(t, ctx, `document.querySelector("main").textContent.includes("user:eve")`)
	if got := evaluate[string](t, ctx, `document.querySelector(".vote textarea").value`); got != "seen it\nwith Bob" {
		t.Errorf("the reason is %q now", got)
	}
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(`.vote button[value="approve"]`)); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.votes) != 1 || strings.ReplaceAll(f.votes[0], "\r", "") != "r-asks-web digest-of-web true seen it\nwith Bob" {
		t.Errorf("voted %q", f.votes)
	}
}

func TestVotingOnAStageWithoutJavaScript(t *testing.T) {
	t.Parallel()
	f := shop()
	site := serve(t, f)
	ctx := tab(t)
	do(t, ctx, emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(site+"/rollouts/ro-asks"), chromedp.SendKeys(".vote textarea", "not now"))
	var at, text string
	do(t, ctx, chromedp.Text("main", &text))
	if !strings.Contains(text, "user:bob approved web@production") || strings.Contains(text, "user:dan") {
		t.Errorf("who approved is not said: %s", text)
	}
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(`.vote button[value="reject"]`)); err != nil {
		t.Fatal(err)
	}
	do(t, ctx, chromedp.Location(&at))
	if at != site+"/rollouts/ro-asks" {
		t.Errorf("it goes on at %s", at)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if want := []string{"r-asks-web digest-of-web false not now", "r-asks-database digest-of-database false not now"}; !slices.Equal(f.votes, want) {
		t.Errorf("voted %q", f.votes)
	}
}

func TestBadBallots(t *testing.T) {
	t.Parallel()
	f := shop()
	pages := serve(t, f)
	post := func(form url.Values) (int, string) {
		resp, err := http.PostForm(pages+"/runs/r-asks-web/vote", form)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		rec := httptest.NewRecorder()
		_, _ = rec.Body.ReadFrom(resp.Body)
		return resp.StatusCode, rec.Body.String()
	}
	for name, form := range map[string]url.Values{
		"nothing":       {},
		"no plan":       {"run": {"r-asks-web"}, "verdict": {"approve"}},
		"an empty plan": {"run": {"r-asks-web"}, "plan": {""}, "verdict": {"approve"}},
		"one too few":   {"run": {"r-asks-web", "r-asks-database"}, "plan": {"p"}, "verdict": {"approve"}},
		"no verdict":    {"run": {"r-asks-web"}, "plan": {"p"}},
		"another one":   {"run": {"r-asks-web"}, "plan": {"p"}, "verdict": {"perhaps"}},
		"too much":      {"run": {"r-asks-web"}, "plan": {"p"}, "verdict": {"approve"}, "reason": {strings.Repeat("x", 100_000)}},
	} {
		if status, _ := post(form); status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, status)
		}
	}
	if len(f.votes) != 0 {
		t.Errorf("voted %q", f.votes)
	}
	status, body := post(url.Values{"run": {"r-asks-web", "r-asks-database"}, "plan": {"digest-of-another", "digest-of-database"}, "verdict": {"approve"}})
	if status != http.StatusConflict || !strings.Contains(body, "the plan of web@production is another one than you looked at") || len(f.votes) != 2 {
		t.Errorf("%d, voted %q: %s", status, f.votes, body)
	}
}
