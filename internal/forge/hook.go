package forge

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"

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

const (
	// HookLimit is how large a webhook's body can be, in bytes: GitHub's own limit.
	HookLimit = 25 << 20
	// hookProse bounds the text of a comment, in characters.
	hookProse = 65536
)

// Hook is what a webhook says. It is only a hint that something is new: who gets one asks the forge.
type Hook struct {
	Event string
	// Branch is the one pushed to, or the pull request's. A comment's on GitHub does not tell.
	Branch string
	Pull   int64
	// Author is who pushed, who did something to the pull request, or who wrote the comment.
	Author string
	// Comment is a new one's text. Edited and deleted ones are OtherEvent: who edits is not always who wrote.
	Comment string
}

// ReadHook reads the webhook of a forge of a kind, signed with secret.
// core.Unauthenticated: the signature is missing or wrong, or there is no secret. core.Invalid: the body is none.
func ReadHook(kind string, header http.Header, body []byte, secret string) (Hook, error) {
	if len(body) > HookLimit {
		return Hook{}, core.Errorf(core.Invalid, "the webhook is larger than %d MB", HookLimit>>20)
	}
	switch kind {
	case GitHub, GitLab, Gitea:
	default:
		return Hook{}, core.Errorf(core.Invalid, "%q is no kind of forge; there are github, gitlab and gitea", line(kind, 80))
	}
	content, isForm := body, false
	if media, _, _ := mime.ParseMediaType(header.Get("Content-Type")); media == "application/x-www-form-urlencoded" {
		isForm = true
		if form, err := url.ParseQuery(string(body)); err == nil {
			content = []byte(form.Get("payload"))
		}
	}
	signed := content
	if isForm && kind == GitHub { // Gitea signs what is inside the form
		signed = body
	}
	if !authentic(kind, header, signed, secret) {
		return Hook{}, core.Errorf(core.Unauthenticated, "the webhook is not signed with the project's secret; give the forge that secret, and JSON as the content type")
	}
	if kind == GitLab {
		return readGitLab(content)
	}
	return readGitHub(event(kind, header), content)
}

// authentic compares in constant time.
func authentic(kind string, header http.Header, signed []byte, secret string) bool {
	if secret == "" {
		return false
	}
	if kind == GitLab { // it sends the secret itself
		got, want := sha256.Sum256([]byte(header.Get("X-Gitlab-Token"))), sha256.Sum256([]byte(secret))
		return hmac.Equal(got[:], want[:])
	}
	got, err := hex.DecodeString(signature(kind, header))
	if err != nil || len(got) != sha256.Size {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(signed)
	return hmac.Equal(got, mac.Sum(nil))
}

func signature(kind string, header http.Header) string {
	if kind == Gitea {
		for _, name := range []string{"X-Forgejo-Signature", "X-Gitea-Signature"} {
			if value := header.Get(name); value != "" {
				return value
			}
		}
	}
	value, _ := strings.CutPrefix(header.Get("X-Hub-Signature-256"), "sha256=")
	return value
}

func event(kind string, header http.Header) string {
	if kind == Gitea {
		for _, name := range []string{"X-Forgejo-Event", "X-Gitea-Event"} {
			if value := header.Get(name); value != "" {
				return value
			}
		}
	}
	return header.Get("X-GitHub-Event")
}

// readGitHub reads the webhooks of GitHub and of Gitea, which have the same form.
func readGitHub(event string, body []byte) (Hook, error) {
	var says struct {
		Action  string      `json:"action"`
		Ref     string      `json:"ref"`
		RefType string      `json:"ref_type"`
		Sender  *githubUser `json:"sender"`
		Pull    *githubPull `json:"pull_request"`
		Issue   struct {
			Number int64           `json:"number"`
			Pull   json.RawMessage `json:"pull_request"`
		} `json:"issue"`
		Comment struct {
			Body string      `json:"body"`
			User *githubUser `json:"user"`
		} `json:"comment"`
	}
	if err := json.Unmarshal(body, &says); err != nil {
		return Hook{}, notAHook(err)
	}
	switch event {
	case "ping":
		return Hook{Event: PingEvent}, nil
	case "push":
		return pushed(says.Ref, loginOf(says.Sender)), nil
	case "create", "delete": // Gitea says only this of a branch that is gone
		if says.RefType == "branch" {
			return pushed("refs/heads/"+strings.TrimPrefix(says.Ref, "refs/heads/"), loginOf(says.Sender)), nil
		}
	case "pull_request":
		if says.Pull == nil || says.Pull.Number <= 0 {
			return Hook{}, notAHook(nil)
		}
		return Hook{Event: PullEvent, Pull: says.Pull.Number, Branch: line(says.Pull.Head.Ref, nameLimit), Author: line(loginOf(says.Sender), nameLimit)}, nil
	case "issue_comment":
		if says.Action != "created" || !present(says.Issue.Pull) || says.Issue.Number <= 0 {
			break
		}
		return Hook{Event: CommentEvent, Pull: says.Issue.Number, Author: line(loginOf(says.Comment.User), nameLimit), Comment: prose(says.Comment.Body, hookProse)}, nil
	}
	return Hook{Event: OtherEvent}, nil
}

func readGitLab(body []byte) (Hook, error) {
	type request struct {
		Number int64  `json:"iid"`
		Branch string `json:"source_branch"`
	}
	var says struct {
		Kind     string `json:"object_kind"`
		Ref      string `json:"ref"`
		Username string `json:"user_username"`
		User     struct {
			Username string `json:"username"`
		} `json:"user"`
		Is struct {
			request
			Action string `json:"action"`
			Note   string `json:"note"`
			On     string `json:"noteable_type"` //nolint:misspell // GitLab's word
		} `json:"object_attributes"`
		Pull request `json:"merge_request"`
	}
	if err := json.Unmarshal(body, &says); err != nil {
		return Hook{}, notAHook(err)
	}
	switch says.Kind {
	case "":
		return Hook{}, notAHook(nil)
	case "push":
		return pushed(says.Ref, says.Username), nil
	case "merge_request":
		if says.Is.Number <= 0 {
			return Hook{}, notAHook(nil)
		}
		return Hook{Event: PullEvent, Pull: says.Is.Number, Branch: line(says.Is.Branch, nameLimit), Author: line(says.User.Username, nameLimit)}, nil
	case "note":
		if says.Is.On != "MergeRequest" || says.Pull.Number <= 0 || says.Is.Action != "" && says.Is.Action != "create" {
			break
		}
		return Hook{Event: CommentEvent, Pull: says.Pull.Number, Branch: line(says.Pull.Branch, nameLimit),
			Author: line(says.User.Username, nameLimit), Comment: prose(says.Is.Note, hookProse)}, nil
	}
	return Hook{Event: OtherEvent}, nil
}

// pushed is about a branch; tags are something else.
func pushed(ref, by string) Hook {
	branch, ok := strings.CutPrefix(ref, "refs/heads/")
	if !ok || branch == "" {
		return Hook{Event: OtherEvent}
	}
	return Hook{Event: PushEvent, Branch: line(branch, nameLimit), Author: line(by, nameLimit)}
}

func present(value json.RawMessage) bool { return len(value) > 0 && string(value) != "null" }

func notAHook(err error) error {
	if err != nil {
		return core.Errorf(core.Invalid, "the webhook's body is not what a forge sends: %w", err)
	}
	return core.Errorf(core.Invalid, "the webhook's body is not what a forge sends: it does not say what it is about")
}
