package forge

import (
	"net/http"

	"github.com/terrace-cd/terrace/internal/core"
)

// Events of a Hook.
const (
	PushEvent    = "push"
	PullEvent    = "pull"
	CommentEvent = "comment"
	PingEvent    = "ping"
	OtherEvent   = "other"
)

// Hook is what a webhook says. It is only a hint that something is new: who gets one asks the forge.
type Hook struct {
	Event string
	// Branch is the one pushed to, or the pull request's.
	Branch  string
	Pull    int64
	Author  string
	Comment string
}

// ReadHook reads the webhook of a forge of a kind, signed with secret.
// core.Unauthenticated: the signature is missing or wrong. core.Invalid: the body is none.
func ReadHook(kind string, header http.Header, body []byte, secret string) (Hook, error) {
	return Hook{}, core.Errorf(core.Invalid, "webhooks of %q are not known", kind)
}
