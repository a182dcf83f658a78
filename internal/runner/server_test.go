package runner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/wire"
)

// server is the other side of the protocol, written by hand for these tests: one run,
// its log, its state, and what it answers to reports. It can be taken away and brought
// back on the same address.
type server struct {
	t     *testing.T
	addr  string
	http  *http.Server
	conns sync.WaitGroup

	mu     sync.Mutex
	job    wire.Job
	calls  []string // what was reported, in order, without heartbeats and logs
	log    shelf
	next   func(wire.Planned) wire.Next
	after  wire.After // the answer to applied
	then   wire.After // the answer to provisioned
	beat   wire.Beat
	refuse map[string]*client.Error // by call

	planned   wire.Planned
	looked    wire.Looked
	finished  *wire.Finish
	state     []byte
	lock      string
	writes    int
	keepState func() int // status of a state write, nil for 200
	recovered []byte
}

const runToken = "trr_token-of-the-run"

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, refuse: map[string]*client.Error{}}
	s.next = func(p wire.Planned) wire.Next {
		if p.NoChanges {
			return wire.Next{Do: "after", After: s.after}
		}
		return wire.Next{Do: "apply"}
	}
	s.listen("127.0.0.1:0")
	t.Cleanup(s.away)
	return s
}

func (s *server) url() string { return "http://" + s.addr }

func (s *server) listen(addr string) {
	s.t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.http = &http.Server{Handler: s.handler()}
	serving := s.http
	s.conns.Go(func() { _ = serving.Serve(l) })
}

// away ends the server, its connections included.
func (s *server) away() {
	_ = s.http.Close()
	s.conns.Wait()
}

// back brings it back where it was.
func (s *server) back() { s.listen(s.addr) }

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	report := func(name string, f func(body []byte) (any, error)) {
		mux.HandleFunc("POST /api/v1/runs/r-1/"+name, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			var answer any
			if r.Header.Get("Authorization") != "Bearer "+runToken {
				err = &client.Error{Status: 401, Code: "unauthenticated", Message: "no token"}
			} else if refused, ok := s.refuse[name]; ok {
				err = refused
			} else {
				answer, err = f(body)
			}
			if name != "heartbeat" && name != "logs" && name != "hosts" {
				call := name
				if name == "phase" {
					call += " " + s.status(body)
				}
				s.calls = append(s.calls, call)
			}
			var e *client.Error
			if errors.As(err, &e) {
				w.WriteHeader(e.Status)
				answer = map[string]string{"code": e.Code, "message": e.Message}
			} else if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				answer = map[string]string{"code": "invalid", "message": err.Error()}
			}
			_ = json.NewEncoder(w).Encode(answer)
		})
	}
	nothing := struct{}{}
	report("claim", func(body []byte) (any, error) {
		var c wire.Claim
		if err := json.Unmarshal(body, &c); err != nil || c.PID == 0 || c.PIDStart == "" {
			return nil, fmt.Errorf("a claim without a process: %s", body)
		}
		job := s.job
		job.Spool = wire.SpoolKey{Key: make([]byte, 32), Wrapped: []byte("wrapped")}
		return job, nil
	})
	report("phase", func([]byte) (any, error) { return nothing, nil })
	report("planned", func(body []byte) (any, error) {
		err := json.Unmarshal(body, &s.planned)
		return s.next(s.planned), err
	})
	report("applied", func([]byte) (any, error) { return s.after, nil })
	report("provisioned", func([]byte) (any, error) { return s.then, nil })
	report("hosts", func([]byte) (any, error) { return nothing, nil })
	report("looked", func(body []byte) (any, error) {
		return nothing, json.Unmarshal(body, &s.looked)
	})
	report("recovered", func(body []byte) (any, error) {
		s.recovered = body
		return nothing, nil
	})
	report("finish", func(body []byte) (any, error) {
		s.finished = new(wire.Finish)
		return nothing, json.Unmarshal(body, s.finished)
	})
	report("heartbeat", func([]byte) (any, error) { return s.beat, nil })
	report("logs", func(body []byte) (any, error) {
		var chunks []wire.LogChunk
		if err := json.Unmarshal(body, &chunks); err != nil {
			return nil, err
		}
		return nothing, s.log.add(chunks)
	})
	mux.HandleFunc("/state/", s.backend)
	return mux
}

func (s *server) status(body []byte) string {
	var p wire.Phase
	_ = json.Unmarshal(body, &p) // what cannot be read is not in the list
	return p.Status
}

// backend speaks the engine's HTTP state protocol.
func (s *server) backend(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, password, _ := r.BasicAuth(); password != runToken && r.Header.Get("Authorization") != "Bearer "+runToken {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch r.Method {
	case "LOCK":
		var info struct{ ID string }
		if json.Unmarshal(body, &info) == nil && s.lock != "" && s.lock != info.ID {
			w.WriteHeader(http.StatusLocked)
			return
		}
		s.lock = info.ID
	case "UNLOCK":
		s.lock = ""
	case http.MethodGet:
		if s.state == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = w.Write(s.state)
	case http.MethodPost:
		s.writes++
		if s.keepState != nil {
			if status := s.keepState(); status != http.StatusOK {
				w.WriteHeader(status)
				return
			}
		}
		s.state = body
	}
}

// do runs f while nothing is answered.
func (s *server) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// reported lists what was reported.
func (s *server) reported() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// end is how the run was finished, nil when it was not.
func (s *server) end() *wire.Finish {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.finished
}

// resources lists the addresses in the stored state.
func (s *server) resources() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var state struct {
		Resources []struct{ Type, Name string }
	}
	if len(s.state) > 0 {
		if err := json.Unmarshal(s.state, &state); err != nil {
			s.t.Errorf("the stored state: %v", err)
		}
	}
	for _, r := range state.Resources {
		names = append(names, r.Type+"."+r.Name)
	}
	return names
}

func (s *server) mustHave(text string) {
	s.t.Helper()
	if !strings.Contains(s.log.text(""), text) {
		s.t.Errorf("the log has no %q:\n%s", text, s.log.text(""))
	}
}
