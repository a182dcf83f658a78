package demo

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// SendHook is the repository's post-receive hook: it tells the server at url that
// something was pushed, signed with the secret in secretFile. body is what git gives
// to the hook; the server reads the repository itself.
func SendHook(ctx context.Context, url, secretFile string, body io.Reader) error {
	secret, err := os.ReadFile(secretFile)
	if err != nil {
		return core.Errorf(core.Invalid, "the webhook's secret cannot be read: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(body, 1<<20))
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, []byte(strings.TrimSpace(string(secret))))
	_, _ = mac.Write(text) // a hash never fails to write
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		return core.Errorf(core.Invalid, "the webhook's address: %w", err)
	}
	req.Header.Set("X-Terrace-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return core.Errorf(core.Unavailable, "Terrace was not told of the push and will see it when it looks next: %w", err)
	}
	_ = resp.Body.Close() // only the status counts
	if resp.StatusCode >= 300 {
		return core.Errorf(core.Denied, "Terrace refused the webhook with %s and will see the push when it looks next", resp.Status)
	}
	return nil
}
