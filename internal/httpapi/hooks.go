package httpapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/forge"
)

// hookLimit bounds a webhook's body, in bytes: anybody may send one. A longer one is only a hint that polling
// makes up for.
const hookLimit = 1 << 20

// hookRoutes take webhooks: a signed hint that a branch may have moved (rule 3). The
// same hint a hundred times reads git at most a few times.
func (a *API) hookRoutes(r *routes) {
	r.raw(forAll, http.MethodPost, "/hooks/{project}", func(w http.ResponseWriter, req *http.Request) error {
		data, err := readAll(w, req, hookLimit)
		if err != nil {
			return err
		}
		refused := core.Errorf(core.Unauthenticated, "the webhook is not signed with the project's secret: send X-Terrace-Signature: sha256=HMAC of the body; terrace project show NAME prints the secret")
		name := req.PathValue("project")
		if core.CheckName("project", name) != nil {
			return refused
		}
		p, err := a.Projects.Get(req.Context(), name)
		if core.CodeOf(err) == core.NotFound {
			return refused // who may not know is not told which projects exist
		}
		if err != nil {
			return err
		}
		secret, err := a.Projects.WebhookSecret(p)
		if err != nil {
			return err
		}
		if !signed(req, secret, data) {
			if p.Forge == nil {
				return refused
			}
			if _, err := forge.ReadHook(p.Forge.Kind, req.Header, data, secret); err != nil {
				return err
			}
		}
		a.Ask(name)
		writeJSON(w, http.StatusAccepted, struct {
			Accepted bool `json:"accepted"`
		}{true})
		return nil
	})
}

// signed compares in constant time.
func signed(req *http.Request, secret string, data []byte) bool {
	header := req.Header.Get("X-Terrace-Signature")
	if header == "" {
		header = req.Header.Get("X-Hub-Signature-256")
	}
	text, ok := strings.CutPrefix(header, "sha256=")
	if !ok {
		return false
	}
	got, err := hex.DecodeString(text)
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(data)
	return hmac.Equal(got, mac.Sum(nil))
}
