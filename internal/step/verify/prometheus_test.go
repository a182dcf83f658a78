package verify

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/testkit"
	"github.com/terrace-cd/terrace/internal/wire"
)

// app is a web server that a Prometheus scrapes; errors is its metric, gone when negative.
type app struct{ errors atomic.Int64 }

func (a *app) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if n := a.errors.Load(); n >= 0 {
		_, _ = fmt.Fprintf(w, "app_errors{path=\"/\"} %d\napp_errors{path=\"/pay\"} %d\n", n, n)
	}
	_, _ = fmt.Fprint(w, "app_broken NaN\n")
}

func metric(url, query, compare string, than float64) wire.Verify {
	return wire.Verify{Kind: "prometheus", URL: url, Query: query, Compare: compare, Than: than, Within: "1s"}
}

// passes waits until Prometheus has scraped what the query asks for.
func passes(t *testing.T, v wire.Verify, o Options) wire.Probe {
	t.Helper()
	v.Within = "1m"
	p := Run(t.Context(), v, o)
	if p.Verdict != Pass {
		t.Fatalf("got %+v", p)
	}
	return p
}

func TestPrometheus(t *testing.T) {
	t.Parallel()
	site := new(app)
	address := serve(t, site.ServeHTTP)
	server := testkit.Prometheus(t, strings.TrimPrefix(address, "http://"))
	passes(t, metric(server, "sum(app_errors)", "equals", 0), Options{})
	for name, c := range map[string]struct {
		query, compare string
		than           float64
		verdict        string
		message        string
	}{
		"below":                 {"max(app_errors)", "below", 1, Pass, "it is 0, which is below 1"},
		"below is not equal":    {"max(app_errors)", "below", 0, Fail, "it is 0, which is not below 0"},
		"above":                 {"count(app_errors)", "above", 1.5, Pass, "it is 2, which is above 1.5"},
		"above is not equal":    {"count(app_errors)", "above", 2, Fail, "it is 2, which is not above 2"},
		"equals":                {"up", "equals", 1, Pass, "is 1, which is 1"},
		"not equal":             {"up", "equals", 0, Fail, "is 1, which is not 0 (tried for "},
		"every number":          {"app_errors", "below", 1, Pass, "all 2 numbers are below 1"},
		"one of several":        {`app_errors + on(path) (app_errors{path="/"} or app_errors{path="/pay"} + 7)`, "below", 1, Fail, `{path="/pay"} is 7, which is not below 1`},
		"several of several":    {"app_errors", "above", 0, Fail, "and so are 1 more of 2"},
		"a scalar":              {"1 + 1", "equals", 2, Pass, "it is 2"},
		"infinite":              {"1 / 0", "below", 5, Fail, "it is +Inf, which is not below 5"},
		"no data":               {"app_errors{path=\"/none\"}", "below", 1, Inconclusive, "there is no data"},
		"no number":             {"app_broken", "below", 1, Inconclusive, "is NaN, which is no number"},
		"none divided by none":  {"0 / 0", "below", 1, Inconclusive, "it is NaN"},
		"a range":               {"app_errors[1m]", "below", 1, Inconclusive, "a range of numbers"},
		"a text":                {`"up"`, "below", 1, Inconclusive, `gives "string", and no number`},
		"not PromQL":            {"sum(", "below", 1, Inconclusive, "answered 400"},
		"an unknown comparison": {"up", "within", 1, Fail, "which is not within 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if p := gives(t, metric(server, c.query, c.compare, c.than), Options{}, c.verdict, c.message); p.Name != c.query {
				t.Errorf("got %+v", p)
			}
		})
	}
}

// A metric that changes is asked for until it is right; one that goes away is no pass.
func TestPrometheusIsAskedUntilItIsRight(t *testing.T) {
	t.Parallel()
	site := new(app)
	site.errors.Store(9)
	address := serve(t, site.ServeHTTP)
	server := testkit.Prometheus(t, strings.TrimPrefix(address, "http://"))
	passes(t, metric(server, "max(app_errors)", "equals", 9), Options{})
	done := make(chan wire.Probe)
	go func() {
		v := metric(server, "max(app_errors)", "below", 5)
		v.Within = "1m"
		done <- Run(context.WithoutCancel(t.Context()), v, Options{})
	}()
	site.errors.Store(4)
	if p := <-done; p.Verdict != Pass || !strings.Contains(p.Message, "it is 4") {
		t.Errorf("got %+v", p)
	}
	site.errors.Store(-1)
	testkit.Eventually(t, time.Minute, "no data", func() bool {
		p := Run(t.Context(), metric(server, "max(app_errors)", "below", 5), Options{})
		return p.Verdict == Inconclusive && strings.Contains(p.Message, "no data")
	})
}

// Whoever asks logs in with what the environment keeps secret, and says nothing of it.
func TestPrometheusThatAsksWhoIsThere(t *testing.T) {
	t.Parallel()
	server, err := url.Parse(testkit.Prometheus(t))
	if err != nil {
		t.Fatal(err)
	}
	behind := httputil.NewSingleHostReverseProxy(server)
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.Header.Get("Authorization") != "Bearer s3cret" && (user != "ana" || password != "s3cret") {
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		http.StripPrefix("/metrics", behind).ServeHTTP(w, r)
	})
	o := Options{Secrets: map[string]string{"RIGHT": "s3cret", "WRONG": "other"}}
	v := metric(address+"/metrics/", "vector(1)", "equals", 1)
	for name, c := range map[string]struct {
		token, user, password string
		verdict, message      string
	}{
		"a token":          {"RIGHT", "", "", Pass, "it is 1"},
		"a login":          {"", "ana", "RIGHT", Pass, "it is 1"},
		"another token":    {"WRONG", "", "", Inconclusive, "answered 401: who are you"},
		"another password": {"", "ana", "WRONG", Inconclusive, "answered 401: who are you"},
		"nobody":           {"", "", "", Inconclusive, "answered 401: who are you"},
		"no such secret":   {"NONE", "", "", Inconclusive, "the secret NONE, which it logs in with"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := v
			v.Token, v.User, v.Password = c.token, c.user, c.password
			if p := gives(t, v, o, c.verdict, c.message); strings.Contains(fmt.Sprint(p), "s3cret") {
				t.Errorf("got %+v", p)
			}
		})
	}
}

// Whatever is not an answer is no pass, and no fail either: it says nothing about the stack.
func TestRule16_WhatIsNoAnswerOfPrometheusIsInconclusive(t *testing.T) {
	t.Parallel()
	says := func(code int, text string) string {
		return serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = fmt.Fprint(w, text)
		})
	}
	vector := func(rest string) string {
		return says(200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}`+rest+`}`)
	}
	for name, c := range map[string]struct{ url, verdict, message string }{
		"a whole answer":       {vector(""), Pass, "it is 1"},
		"about the style":      {vector(`,"warnings":["PromQL info: metric might not be a counter"]`), Pass, "it is 1"},
		"a part of the data":   {vector(`,"warnings":["a store did not answer"]`), Inconclusive, "warns that its answer may be wrong: a store did not"},
		"nobody listens":       {closed(t), Inconclusive, "does not answer: connection refused"},
		"no such name":         {"http://name.invalid", Inconclusive, "does not resolve"},
		"no answer":            {serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), Inconclusive, "no answer in time"},
		"closed":               {serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), Inconclusive, "closed without an answer"},
		"not an address":       {"ftp://x", Inconclusive, "not an http or https address"},
		"a page":               {says(200, "<html>hello\x1b[2J"), Inconclusive, "no answer of a Prometheus: <html>hello[2J"},
		"nothing":              {says(200, ""), Inconclusive, "no answer of a Prometheus"},
		"another JSON":         {says(200, `{"status":200}`), Inconclusive, "no answer of a Prometheus"},
		"no data at all":       {says(200, `{"status":"success"}`), Inconclusive, `gives "", and no number`},
		"a vector of texts":    {says(200, `{"status":"success","data":{"resultType":"vector","result":["x"]}}`), Inconclusive, "no answer of a Prometheus"},
		"a scalar of nothing":  {says(200, `{"status":"success","data":{"resultType":"scalar","result":{}}}`), Inconclusive, "no answer of a Prometheus"},
		"a number as number":   {says(200, `{"status":"success","data":{"resultType":"scalar","result":[1,1]}}`), Inconclusive, "no number"},
		"a histogram":          {says(200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"histogram":[1,{}]}]}}`), Inconclusive, `{a="b"} is a histogram, which is no number`},
		"an error":             {says(503, `{"status":"error","errorType":"timeout","error":"query timed out"}`), Inconclusive, "answered 503: query timed out"},
		"an error with a pass": {says(500, `{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}`), Inconclusive, "answered 500"},
		"elsewhere": {serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusFound)
		}), Inconclusive, "which is not followed"},
		"too much": {says(200, `{"status":"success","x":"`+strings.Repeat("x", maxAnswer)+`"}`), Inconclusive, "gives more than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gives(t, metric(c.url, "x", "equals", 1), Options{}, c.verdict, c.message)
		})
	}
}
