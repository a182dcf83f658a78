package faults

import (
	"bytes"
	"crypto/md5" //nolint:gosec // the state protocol's digest
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func init() {
	register(row{number: 16, fault: "damaged, old, foreign and very large states", run: badStates})
}

func stateWith(serial int, lineage, filler string) []byte {
	return fmt.Appendf(nil, `{"version":4,"terraform_version":"1.12.0","serial":%d,"lineage":%q,"outputs":{"o":{"value":%q,"type":"string"}},"resources":[]}`, serial, lineage, filler)
}

// What is no state of the instance is refused, and the current version stays. A state of
// 100 MB is a state.
func badStates(t *trial) {
	w := newWorld(t)
	c := &http.Client{}
	defer c.CloseIdleConnections()
	lock := []byte(`{"ID":"l-1","Who":"row 16"}`)
	good := stateWith(7, "ours", "good")
	sum := func(b []byte) string {
		s := md5.Sum(b) //nolint:gosec // the state protocol's digest
		return base64.StdEncoding.EncodeToString(s[:])
	}
	post := func(body []byte, header ...string) (int, []byte) {
		return w.ask(c, http.MethodPost, aside, "?ID=l-1", body, header...)
	}
	if status, answer := w.ask(c, "LOCK", aside, "", lock); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	if status, answer := post(good, "Content-MD5", sum(good)); status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	same := func(what string) {
		t.Helper()
		status, now := w.ask(c, http.MethodGet, aside, "", nil)
		t.wants(status == 200 && bytes.Equal(now, good), "after %s the current state is %d %.200s", what, status, now)
	}
	for what, bad := range map[string]struct {
		body   []byte
		md5    string
		status int
	}{
		"a state that was cut off": {good[:len(good)/2], "", 400}, "the wrong MD5": {stateWith(8, "ours", "x"), sum(good), 400},
		"no JSON": {[]byte("<html>a proxy's page</html>"), "", 400}, "JSON that is no state": {[]byte(`{"a":1}`), "", 400}, "nothing": {nil, "", 400},
		"an older serial": {stateWith(6, "ours", "x"), "", 409}, "the same serial with other content": {stateWith(7, "ours", "x"), "", 409},
		"a foreign lineage": {stateWith(9, "theirs", "x"), "", 409}, "more than is accepted": {stateWith(8, "ours", strings.Repeat("x", 513<<20)), "", 413},
	} {
		if bad.status == 413 && !t.long {
			continue
		}
		header := []string{}
		if bad.md5 != "" {
			header = []string{"Content-MD5", bad.md5}
		}
		status, answer := post(bad.body, header...)
		t.injected("%s", what)
		t.wants(status == bad.status, "%s was answered %d %.200s, not %d", what, status, answer, bad.status)
		same(what)
	}
	w.hangsUp(good)
	t.injected("a connection that ended in the middle of a state")
	same("a connection that ended")

	large := stateWith(8, "ours", strings.Repeat("0123456789abcdef", 100<<20/16))
	status, answer := post(large, "Content-MD5", sum(large))
	t.injected("a state of %d bytes", len(large))
	t.wants(status == 200, "100 MB were answered %d %.200s", status, answer)
	status, now := w.ask(c, http.MethodGet, aside, "", nil)
	t.wants(status == 200 && bytes.Equal(now, large), "100 MB came back as %d bytes (%d)", len(now), status)
	if status, answer := w.ask(c, "UNLOCK", aside, "", lock); status != 200 {
		t.Errorf("%d %s", status, answer)
	}
	w.settle(w.commit()) // it goes on
	w.checkAll()
}

// hangsUp announces a state, sends half of it, and hangs up.
func (w *world) hangsUp(state []byte) {
	w.Helper()
	token, err := os.ReadFile(filepath.Join(w.data, "admin-token"))
	if err != nil {
		w.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", w.listen, 5*time.Second)
	if err != nil {
		w.Fatal(err)
	}
	_, err = fmt.Fprintf(conn, "POST /state/%s/dev/%s?ID=l-1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", project, aside,
		strings.TrimSpace(string(token)), len(state), state[:len(state)/2])
	if err != nil {
		w.Fatal(err)
	}
	_ = conn.Close() // that is the point
}
