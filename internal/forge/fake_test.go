package forge

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fake is a forge that answers what a test wrote down, and fails the test when it is asked anything else.
type fake struct {
	*httptest.Server
	t testing.TB
	// auth is what every request has to carry as Authorization.
	auth string

	mutex   sync.Mutex
	answers map[string][]answer // by method and path; the last one stays
	asked   []asked
}

type answer struct {
	status int
	file   string // in testdata
	body   string
	header map[string]string
}

// asked is one request, as the fake got it.
type asked struct {
	line string // method, path and query
	body string
}

func newFake(t testing.TB, auth string) *fake {
	t.Helper()
	f := &fake{t: t, auth: auth, answers: map[string][]answer{}}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

// on adds what to answer to a request; line is its method and path with the query.
func (f *fake) on(line string, a answer) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.answers[line] = append(f.answers[line], a)
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	line := r.Method + " " + r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		line += "?" + r.URL.RawQuery
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Error(err)
	}
	f.asked = append(f.asked, asked{line, string(body)})
	if got := r.Header.Get("Authorization"); f.auth != "" && got != f.auth {
		f.t.Errorf("%s: Authorization is %q, not %q", line, got, f.auth)
	}
	if len(body) > 0 && (r.Header.Get("Content-Type") != "application/json" || !json.Valid(body)) {
		f.t.Errorf("%s: the body is no JSON: %s", line, body)
	}
	answers := f.answers[line]
	if len(answers) == 0 {
		f.t.Errorf("nobody should ask for %s", line)
		w.WriteHeader(http.StatusTeapot)
		return
	}
	a := answers[0]
	if len(answers) > 1 {
		f.answers[line] = answers[1:]
	}
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	if a.file != "" {
		a.body = string(recorded(f.t, a.file))
	}
	w.WriteHeader(max(a.status, http.StatusOK))
	_, _ = io.WriteString(w, a.body) // a client that went away is the client's matter
}

// lines are the requests until now.
func (f *fake) lines() []string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	var lines []string
	for _, a := range f.asked {
		lines = append(lines, a.line)
	}
	return lines
}

// last returns the body of the last request, decoded.
func (f *fake) last() map[string]string {
	f.t.Helper()
	f.mutex.Lock()
	defer f.mutex.Unlock()
	body := map[string]string{}
	if err := json.Unmarshal([]byte(f.asked[len(f.asked)-1].body), &body); err != nil {
		f.t.Fatal(err)
	}
	return body
}

func recorded(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func open(t testing.TB, c Config) Client {
	t.Helper()
	client, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// next is a Link header with another page.
func next(f *fake) map[string]string {
	return map[string]string{"Link": fmt.Sprintf(`<%s/elsewhere?page=2>; rel="next", <http://other.example.com/?page=9>; rel="last"`, f.URL)}
}

const canary = "t0ken-canary"

// noCanary fails the test when an error shows the token.
func noCanary(t testing.TB, err error) {
	t.Helper()
	if strings.Contains(fmt.Sprintf("%v %+v", err, err), canary) {
		t.Errorf("the token is in %v", err)
	}
}
