package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/wire"
)

func TestPagesSayWhatIsThere(t *testing.T) {
	t.Parallel()
	url := serve(t, shop())
	for _, tt := range []struct {
		path string
		want []string
	}{
		{"/", []string{"shop", "payments", "connection refused", "read <time"}},
		{"/p/shop", []string{"Network: allow the metrics", `href="/runs/r-db-dev"`, "quota of 3 databases", "behind by 2", "not deployed", "applying", `href="/rollouts/ro-42"`, "the yearly stock-taking", "waits for a hold on production"}},
		{"/rollouts/ro-42", []string{"Release #42", "Waits for staging: not verified yet", "&lt;b&gt;the yearly&lt;/b&gt; stock-taking", "<code>terrace unhold production</code>", "until 17:09:26 on 14 March (UTC)", "from group:platform", "user:ana skipped window: the shop is down", "user:ben agreed", `href="/runs/r-net-stg"`, "no changes", "destroy", `action="/rollouts/ro-42/cancel"`, `entered <time`}},
		{"/rollouts/ro-39", []string{"never entered", "Dev, which failed", "Ana Lindqvist<"}},
		{"/runs/r-net-stg", []string{"network@staging", "destroys the old one first", "forces replacement", "known after apply", "sensitive", `id="L12"`, "10.20.0.0/16", "will be a gap"}},
		{"/runs/r-db-dev", []string{"main.tf line 14", "10.20.0.13", "status 502, want 200", "14 tries", "1m 00s"}},
		{"/login?next=/p/shop&failed=1", []string{`value="/p/shop"`, "not known here", `type="password"`}},
	} {
		resp, body := fetch(t, http.MethodGet, url+tt.path)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", tt.path, resp.Status)
		}
		for _, want := range tt.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s does not say %q", tt.path, want)
			}
		}
		if regexp.MustCompile(`@[a-z]+\(`).MatchString(body) {
			t.Errorf("%s shows its own source", tt.path)
		}
		if regexp.MustCompile(`(?i)<(script|style)>|<[^>]+ (style|on[a-z]+)=`).MatchString(body) {
			t.Errorf("%s has an inline script or style, which its policy refuses", tt.path)
		}
		if other := regexp.MustCompile(`(src|href|action|hx-get)="(https?:)?//[^"]*"`).FindString(body); other != "" {
			t.Errorf("%s leads to another host: %s", tt.path, other)
		}
		policy := resp.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", tt.path, policy)
		}
	}
}

func TestEmptyPagesSayWhatToDoFirst(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.status["new"] = wire.Status{Project: "new"}
	url := serve(t, f)
	if _, body := fetch(t, http.MethodGet, url+"/"); !strings.Contains(body, "terrace project add") {
		t.Error("the empty list of projects does not say how to add one")
	}
	if _, body := fetch(t, http.MethodGet, url+"/p/new"); !strings.Contains(body, "terrace validate") {
		t.Error("the empty board does not say what is missing")
	}
}

func TestErrorsArePages(t *testing.T) {
	t.Parallel()
	f := shop()
	url := serve(t, f)
	for _, tt := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/p/nothing", 404, "there is no project nothing"},
		{"GET", "/runs/r-nothing", 404, "there is no run r-nothing"},
		{"GET", "/rollouts/nothing", 404, "there is no rollout nothing"},
		{"GET", "/nothing", 404, "there is no page /nothing"},
		{"GET", "/assets/nothing.js", 404, ""},
		{"GET", "/assets/..%2fweb.go", 404, ""},
		{"GET", "/runs/r-net-stg/log?after=-1", 400, "number of a chunk"},
		{"POST", "/runs/r-db-dev/cancel", 409, "nothing to cancel"},
		{"POST", "/p/shop", 404, ""},
		{"GET", "/p/%3Cscript%3E", 404, "there is no project &lt;script&gt;"},
	} {
		resp, body := fetch(t, tt.method, url+tt.path)
		if resp.StatusCode != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s %s: %s, want %d and %q", tt.method, tt.path, resp.Status, tt.status, tt.want)
		}
	}
	f.do(func() { f.fails = errors.New("database: password of terrace is hunter2") })
	resp, body := fetch(t, http.MethodGet, url+"/p/shop")
	if resp.StatusCode != http.StatusInternalServerError || strings.Contains(body, "hunter2") || !strings.Contains(body, "went wrong") {
		t.Errorf("an internal error is shown: %s", body)
	}
}

func TestCancelGoesBackToThePage(t *testing.T) {
	t.Parallel()
	f := shop()
	url := serve(t, f)
	for path, back := range map[string]string{"/runs/r-net-stg/cancel": "/runs/r-net-stg", "/rollouts/ro-42/cancel": "/rollouts/ro-42"} {
		resp, _ := fetch(t, http.MethodPost, url+path)
		if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != back {
			t.Errorf("%s: %s to %q", path, resp.Status, resp.Header.Get("Location"))
		}
	}
	if len(f.cancels) != 2 {
		t.Errorf("cancelled: %v", f.cancels)
	}
}

func TestBoardFilters(t *testing.T) {
	t.Parallel()
	url := serve(t, shop())
	rows := regexp.MustCompile(`<th scope="row">([^<]*)</th>`)
	for query, want := range map[string]string{
		"":                     "database dns monitoring-and-alerting network web",
		"?q=NET":               "network",
		"?state=failed":        "database",
		"?state=up_to_date":    "database monitoring-and-alerting network web",
		"?env=production":      "database network web",
		"?env=dev&state=never": "",
		"?q=%22%3E%3Cu%3E":     "",
	} {
		_, body := fetch(t, http.MethodGet, url+"/p/shop"+query)
		var got []string
		for _, m := range rows.FindAllStringSubmatch(body, -1) {
			got = append(got, m[1])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s shows %v, want %s", query, got, want)
		}
		if want == "" && !strings.Contains(body, "No stack is like that") {
			t.Errorf("%s does not say that nothing fits", query)
		}
		if strings.Contains(body, `"><u>`) {
			t.Errorf("%s is taken over as markup", query)
		}
	}
}

// A part that has not changed is not sent again; one that has is.
func TestPartsAreSentWhenTheyChanged(t *testing.T) {
	t.Parallel()
	f := shop()
	url := serve(t, f)
	for _, page := range []string{"/", "/p/shop?q=net", "/rollouts/ro-42", "/runs/r-net-stg"} {
		_, body := fetch(t, http.MethodGet, url+page)
		m := regexp.MustCompile(`<div id="(\w+)"><div data-part="([^"]*)"`).FindStringSubmatch(body)
		if m == nil {
			t.Fatalf("%s has no part that fetches itself", page)
		}
		part := url + strings.ReplaceAll(m[2], "&amp;", "&")
		if resp, _ := fetch(t, http.MethodGet, part); resp.StatusCode != http.StatusNoContent {
			t.Errorf("%s: %s, though nothing changed", part, resp.Status)
		}
		f.do(func() {
			f.projects[0].Branch += "x"
			st := f.status["shop"]
			st.Warnings = append(st.Warnings, "careful")
			f.status["shop"] = st
			f.rollouts[0].By += "x"
			r := f.runs["r-net-stg"]
			r.Attempt++
			f.runs["r-net-stg"] = r
		})
		resp, body := fetch(t, http.MethodGet, part)
		if resp.StatusCode != http.StatusOK || !strings.Contains(body, `id="`+m[1]+`"`) || strings.Contains(body, "<html") {
			t.Errorf("%s: %s after a change", part, resp.Status)
		}
	}
}

func TestLogDownloadIsPlainText(t *testing.T) {
	t.Parallel()
	url := serve(t, shop())
	resp, body := fetch(t, http.MethodGet, url+"/runs/r-net-stg/log.txt")
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") || !strings.Contains(resp.Header.Get("Content-Disposition"), `"r-net-stg.log"`) {
		t.Errorf("headers: %v", resp.Header)
	}
	if !strings.Contains(body, "\n\nPlan: 2 to add, 1 to change, 1 to replace, 1 to destroy.\n") || strings.Contains(body, "\x1b") || !strings.HasSuffix(body, "shop: Modif\n") {
		t.Errorf("the download: %q", body)
	}
}

func TestAssetsAreKept(t *testing.T) {
	t.Parallel()
	url := serve(t, newFake())
	_, body := fetch(t, http.MethodGet, url+"/")
	for _, m := range regexp.MustCompile(`"(/assets/[^"]+)"`).FindAllStringSubmatch(body, -1) {
		resp, _ := fetch(t, http.MethodGet, url+m[1])
		if resp.StatusCode != http.StatusOK || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %s, %s", m[1], resp.Status, resp.Header.Get("Cache-Control"))
		}
	}
}

// large is a project of n stacks in three environments.
func large(n int) *fake {
	f := newFake()
	head := release(900, "Everything at once")
	st := wire.Status{Project: "large", Environments: []string{"dev", "staging", "production"}, Head: &head}
	for i := range n {
		for _, e := range st.Environments {
			name := fmt.Sprintf("stack-%04d", i)
			c := wire.InstanceStatus{Instance: name + "@" + e, Stack: name, Environment: e, State: "up_to_date", Release: &head, Run: "r-" + name + e, Since: now.Add(-time.Hour), Reason: "fulfils release 900, the newest"}
			if i%100 == 7 {
				c.State, c.Reason = "failed", "Error: no more addresses"
			}
			st.Instances = append(st.Instances, c)
		}
	}
	f.status["large"] = st
	return f
}

// TestLargeBoardIsQuick: a page of 1,000 stacks in three environments opens in under
// 200 ms. The best of several tries is measured: the machine does other things too.
func TestLargeBoardIsQuick(t *testing.T) {
	t.Parallel()
	url := serve(t, large(1000))
	best := time.Hour
	for range 8 {
		begin := time.Now()
		_, body := fetch(t, http.MethodGet, url+"/p/large")
		best = min(best, time.Since(begin))
		if got := strings.Count(body, "<td"); got != 3000 {
			t.Fatalf("%d cells", got)
		}
	}
	t.Logf("1,000 stacks in three environments: %s", best)
	if limit := 200 * time.Millisecond * slower; best > limit {
		t.Errorf("1,000 stacks took %s, more than %s", best, limit)
	}
}
