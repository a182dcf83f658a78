package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/state"
)

// StateHandler speaks the protocol of the engines' "http" backend under
// /state/{project}/{environment}/{stack}. The lock methods are LOCK and UNLOCK; where
// a proxy lets only common methods through, PUT and DELETE on …/lock do the same. who
// says who asks, not whether that suffices.
//
// Engines try again after 5xx and never after 4xx, so every refusal for good is a
// 4xx. They take 404 for "no state yet", so nothing else is answered with it.
func StateHandler(s *state.Service, who func(*http.Request) (state.Caller, error), log *slog.Logger) http.Handler {
	h := &stateHandler{state: s, who: who, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("/state/{project}/{environment}/{stack}", h.route(map[string]stateMethod{
		http.MethodGet: h.get, http.MethodPost: h.post, http.MethodDelete: h.delete, "LOCK": h.lock, "UNLOCK": h.unlock,
	}))
	mux.HandleFunc("/state/{project}/{environment}/{stack}/lock", h.route(map[string]stateMethod{
		http.MethodPut: h.lock, http.MethodPost: h.lock, http.MethodDelete: h.unlock, "LOCK": h.lock, "UNLOCK": h.unlock,
	}))
	mux.HandleFunc("/state/", h.route(nil))
	return mux
}

type stateHandler struct {
	state *state.Service
	who   func(*http.Request) (state.Caller, error)
	log   *slog.Logger
}

// stateRequest is a request to an instance's state.
type stateRequest struct {
	*http.Request
	caller                      state.Caller
	project, stack, environment string
}

type stateMethod func(http.ResponseWriter, stateRequest) error

func (h *stateHandler) route(methods map[string]stateMethod) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		caller, err := h.who(req)
		if err == nil {
			if method, ok := methods[req.Method]; ok {
				err = method(w, stateRequest{Request: req, caller: caller,
					project: req.PathValue("project"), stack: req.PathValue("stack"), environment: req.PathValue("environment")})
			} else {
				err = core.Errorf(core.Invalid, "the state protocol has no %q; it has GET, POST, DELETE, LOCK and UNLOCK of /state/PROJECT/ENVIRONMENT/STACK", req.Method+" "+req.URL.EscapedPath())
			}
		}
		if err != nil {
			h.refuse(w, req, caller, err)
		}
	}
}

// refuse answers with an error and writes the one line about it. Who loses a lock is
// told the holder's lock info, as the protocol wants.
func (h *stateHandler) refuse(w http.ResponseWriter, req *http.Request, caller state.Caller, err error) {
	apiError := toAPIError(err)
	status := apiError.status
	var tooLarge *http.MaxBytesError
	var locked *state.Locked
	switch {
	case errors.As(err, &tooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.As(err, &locked):
		status = http.StatusLocked
	case status == http.StatusNotFound:
		status = http.StatusBadRequest // the engines would read "no state yet"
	case status == http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Basic realm="terrace", charset="UTF-8"`)
	}
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	h.log.Log(req.Context(), level, "state request refused", "method", req.Method, "path", req.URL.EscapedPath(), "status", status,
		"by", caller.By, "from", req.RemoteAddr, "error", err)
	if locked == nil {
		writeJSON(w, status, apiError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(locked.Info) // the client is gone; there is nobody to tell
}

func (h *stateHandler) get(w http.ResponseWriter, r stateRequest) error {
	content, version, err := h.state.Get(r.Context(), r.caller, r.project, r.stack, r.environment)
	if core.CodeOf(err) == core.NotFound {
		w.WriteHeader(http.StatusNoContent)
		return nil
	} else if err != nil {
		return err
	}
	if md5, err := hex.DecodeString(version.MD5); err == nil {
		w.Header().Set("Content-MD5", base64.StdEncoding.EncodeToString(md5))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	_, _ = w.Write(content) // the client is gone; there is nobody to tell
	return nil
}

func (h *stateHandler) post(w http.ResponseWriter, r stateRequest) error {
	md5, err := base64.StdEncoding.DecodeString(r.Header.Get("Content-MD5"))
	if err != nil {
		return core.Errorf(core.Invalid, "the Content-MD5 header is not base64: %w", err)
	}
	body, err := readBody(w, r, h.state.Limit())
	if err != nil {
		return err
	}
	if _, err := h.state.Write(r.Context(), r.caller, r.project, r.stack, r.environment, r.URL.Query().Get("ID"), hex.EncodeToString(md5), body); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (h *stateHandler) delete(w http.ResponseWriter, r stateRequest) error {
	if err := h.state.Delete(r.Context(), r.caller, r.project, r.stack, r.environment); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (h *stateHandler) lock(w http.ResponseWriter, r stateRequest) error {
	info, err := readBody(w, r, state.MaxLockInfo)
	if err != nil {
		return err
	}
	if err := h.state.Lock(r.Context(), r.caller, r.project, r.stack, r.environment, info); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (h *stateHandler) unlock(w http.ResponseWriter, r stateRequest) error {
	info, err := readBody(w, r, state.MaxLockInfo)
	if err != nil {
		return err
	}
	if err := h.state.Unlock(r.Context(), r.caller, r.project, r.stack, r.environment, info); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// readBody reads a whole body. One that ends early is refused, never stored.
func readBody(w http.ResponseWriter, r stateRequest, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, core.Errorf(core.Invalid, "the body has %d bytes; at most %d are accepted: %w", r.ContentLength, limit, &http.MaxBytesError{Limit: limit})
	}
	return readWhole(http.MaxBytesReader(w, r.Body, limit), r.ContentLength)
}

// readWhole reads a body, into one piece of memory when its length was announced: a state
// of 100 MB that grows in steps is five of them.
func readWhole(body io.Reader, announced int64) ([]byte, error) {
	var all bytes.Buffer
	if announced > 0 {
		all.Grow(int(announced) + bytes.MinRead)
	}
	if _, err := all.ReadFrom(body); err != nil {
		return nil, core.Errorf(core.Invalid, "the body could not be read whole: %w", err)
	}
	return all.Bytes(), nil
}
