package runner

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/redact"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Only the engine of an apply may ask for provisioning, and it hears why not, without
// secrets.
func TestGateRefuses(t *testing.T) {
	t.Parallel()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, `{"code":"conflict","message":"no canary-7 for you"}`)
	}))
	defer refusing.Close()
	a := &attempt{Options: Options{Exec: wire.Exec{Dir: t.TempDir(), Run: "r-1"}}, mask: redact.New([]string{"canary-7"}),
		api: client.New(refusing.URL, "token"), work: t.Context(), report: t.Context()}
	defer a.api.Close()
	g, err := a.openGate()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.close(); err != nil {
			t.Error(err)
		}
	}()
	var address, token string
	for _, v := range g.environment([]string{"PATH=/bin"}) {
		if value, ok := strings.CutPrefix(v, wire.GateURL+"="); ok {
			address = value
		}
		if value, ok := strings.CutPrefix(v, wire.GateToken+"="); ok {
			token = value
		}
		if value, ok := strings.CutPrefix(v, "PATH=/bin:"); ok {
			if _, err := os.Stat(value + "/terrace"); err != nil {
				t.Error(err)
			}
		}
	}
	ask := func(method, token, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, address+"/provision", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }() // read whole
		said, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(said)
	}
	for _, c := range []struct {
		method, token, body string
		applying            bool
		want                int
		says                string
	}{
		{http.MethodPost, "", `{}`, true, http.StatusUnauthorized, "one run"},
		{http.MethodPost, token + "x", `{}`, true, http.StatusUnauthorized, "one run"},
		{http.MethodGet, token, ``, true, http.StatusMethodNotAllowed, ""},
		{http.MethodPost, token, `{"outputs":`, true, http.StatusBadRequest, "cannot be read"},
		{http.MethodPost, token, `{"outputs":"` + string(bytes.Repeat([]byte("x"), gateLimit)) + `"}`, true, http.StatusBadRequest, "cannot be read"},
		{http.MethodPost, token, `{}`, false, http.StatusConflict, "not applying"},
		{http.MethodPost, token, `{}`, true, http.StatusConflict, "for you"},
	} {
		g.open(c.applying)
		status, said := ask(c.method, c.token, c.body)
		if status != c.want || !strings.Contains(said, c.says) || strings.Contains(said, "canary-7") {
			t.Errorf("%s %.20s with %.10q: %d %s", c.method, c.body, c.token, status, said)
		}
	}
}
