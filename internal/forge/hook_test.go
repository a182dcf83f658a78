package forge

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/terrace-cd/terrace/internal/core"
)

const hookSecret = "webhook-secret"

func hmacOf(body []byte, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// hookHeader is what a forge sends with a webhook.
func hookHeader(kind, event string, body []byte, secret string) http.Header {
	header := http.Header{"Content-Type": {"application/json"}}
	switch kind {
	case GitHub:
		header.Set("X-GitHub-Event", event)
		header.Set("X-Hub-Signature-256", "sha256="+hmacOf(body, secret))
	case Gitea:
		header.Set("X-Gitea-Event", event)
		header.Set("X-GitHub-Event", event)
		header.Set("X-Gitea-Signature", hmacOf(body, secret))
		header.Set("X-Hub-Signature-256", "sha256="+hmacOf(body, secret))
	default:
		header.Set("X-Gitlab-Event", event)
		header.Set("X-Gitlab-Token", secret)
	}
	return header
}

func TestReadHook(t *testing.T) {
	comment := "terrace preview\nplease"
	for _, test := range []struct {
		kind, event, file string
		want              Hook
	}{
		{GitHub, "ping", "hook-ping.json", Hook{Event: PingEvent}},
		{GitHub, "push", "hook-push.json", Hook{Event: PushEvent, Branch: "feature/net", Author: "ana"}},
		{GitHub, "pull_request", "hook-pull.json", Hook{Event: PullEvent, Branch: "bigger-network", Pull: 7, Author: "ben"}},
		{GitHub, "issue_comment", "hook-comment.json", Hook{Event: CommentEvent, Pull: 7, Author: "ben", Comment: comment}},
		{GitHub, "issue_comment", "hook-issue-comment.json", Hook{Event: OtherEvent}},
		{GitHub, "star", "hook-ping.json", Hook{Event: OtherEvent}},
		{Gitea, "push", "hook-push.json", Hook{Event: PushEvent, Branch: "feature/net", Author: "ana"}},
		{Gitea, "delete", "hook-delete.json", Hook{Event: PushEvent, Branch: "feature/net", Author: "ana"}},
		{Gitea, "pull_request", "hook-pull.json", Hook{Event: PullEvent, Branch: "bigger-network", Pull: 1, Author: "ben"}},
		{Gitea, "issue_comment", "hook-comment.json", Hook{Event: CommentEvent, Pull: 1, Author: "ben", Comment: comment}},
		{GitLab, "Push Hook", "hook-push.json", Hook{Event: PushEvent, Branch: "feature/net", Author: "ana"}},
		{GitLab, "Merge Request Hook", "hook-pull.json", Hook{Event: PullEvent, Branch: "bigger-network", Pull: 3, Author: "ana"}},
		{GitLab, "Note Hook", "hook-comment.json", Hook{Event: CommentEvent, Branch: "bigger-network", Pull: 3, Author: "ben", Comment: comment}},
	} {
		body := recorded(t, test.kind+"/"+test.file)
		got, err := ReadHook(test.kind, hookHeader(test.kind, test.event, body, hookSecret), body, hookSecret)
		if err != nil {
			t.Errorf("%s %s: %v", test.kind, test.file, err)
		}
		same(t, test.kind+" "+test.file, got, test.want)
	}
}

func TestReadHookInAForm(t *testing.T) {
	inside := recorded(t, "github/hook-pull.json")
	body := []byte(url.Values{"payload": {string(inside)}}.Encode())
	for kind, signed := range map[string][]byte{GitHub: body, Gitea: inside} {
		header := hookHeader(kind, "pull_request", signed, hookSecret)
		header.Set("Content-Type", "application/x-www-form-urlencoded")
		if got, err := ReadHook(kind, header, body, hookSecret); err != nil || got.Pull != 7 {
			t.Errorf("%s: %+v, %v", kind, got, err)
		}
		if _, err := ReadHook(kind, header, append(body, "&x=y"...), "another"); core.CodeOf(err) != core.Unauthenticated {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestReadHookForgejo(t *testing.T) {
	body := recorded(t, "gitea/hook-pull.json")
	header := http.Header{"X-Forgejo-Event": {"pull_request"}, "X-Forgejo-Signature": {hmacOf(body, hookSecret)}}
	if got, err := ReadHook(Gitea, header, body, hookSecret); err != nil || got.Pull != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestForgedHooks: who does not know the secret is not believed, whatever else is there.
func TestForgedHooks(t *testing.T) {
	for _, kind := range []string{GitHub, GitLab, Gitea} {
		body := recorded(t, kind+"/hook-push.json")
		good := hookHeader(kind, "push", body, hookSecret)
		refused := func(what string, header http.Header, body []byte, secret string) {
			t.Helper()
			if got, err := ReadHook(kind, header, body, secret); core.CodeOf(err) != core.Unauthenticated || got != (Hook{}) {
				t.Errorf("%s, %s: %+v, %v", kind, what, got, err)
			}
		}
		refused("another secret", hookHeader(kind, "push", body, "other"), body, hookSecret)
		refused("no header", http.Header{}, body, hookSecret)
		refused("no secret on either side", hookHeader(kind, "push", body, ""), body, "")
		refused("no secret here", good, body, "")
		if kind != GitLab { // it signs nothing
			refused("another body", good, append(body, ' '), hookSecret)
		}
		for _, name := range []string{"X-Hub-Signature-256", "X-Gitea-Signature", "X-Gitlab-Token"} {
			if value := good.Get(name); value != "" {
				for _, wrong := range []string{value[:len(value)-2], value + "00", strings.ToUpper(value) + "x", "sha1=" + value, "zz"} {
					header := good.Clone()
					header.Set(name, wrong)
					if kind == Gitea && name != "X-Gitea-Signature" {
						continue // the first of the two counts
					}
					refused(name+" "+wrong, header, body, hookSecret)
				}
			}
		}
	}
	if _, err := ReadHook("svn", http.Header{}, nil, hookSecret); core.CodeOf(err) != core.Invalid {
		t.Error(err)
	}
	if _, err := ReadHook(GitHub, http.Header{}, make([]byte, HookLimit+1), hookSecret); core.CodeOf(err) != core.Invalid {
		t.Error(err)
	}
}

// TestOddHooks: signed, but not what a forge sends, or about nothing that matters here.
func TestOddHooks(t *testing.T) {
	for _, test := range []struct {
		kind, event, body, want string
		code                    core.Code
	}{
		{GitHub, "push", "", "", core.Invalid},
		{GitHub, "push", "[]", "", core.Invalid},
		{GitHub, "push", `{"ref":7}`, "", core.Invalid},
		{GitHub, "push", `{"ref":"refs/tags/v1"}`, OtherEvent, ""},
		{GitHub, "push", `{"ref":"refs/heads/"}`, OtherEvent, ""},
		{GitHub, "push", `null`, OtherEvent, ""},
		{GitHub, "pull_request", `{}`, "", core.Invalid},
		{GitHub, "pull_request", `{"pull_request":{"number":-1}}`, "", core.Invalid},
		{GitHub, "create", `{"ref":"v1","ref_type":"tag"}`, OtherEvent, ""},
		{GitHub, "issue_comment", `{"action":"edited","issue":{"number":7,"pull_request":{}},"comment":{"body":"terrace preview"}}`, OtherEvent, ""},
		{GitHub, "issue_comment", `{"action":"deleted","issue":{"number":7,"pull_request":{}}}`, OtherEvent, ""},
		{GitHub, "issue_comment", `{"action":"created","issue":{"number":7,"pull_request":null}}`, OtherEvent, ""},
		{GitLab, "Push Hook", `{}`, "", core.Invalid},
		{GitLab, "Push Hook", `x`, "", core.Invalid},
		{GitLab, "Note Hook", `{"object_kind":"note","object_attributes":{"action":"update","noteable_type":"MergeRequest"},"merge_request":{"iid":3}}`, OtherEvent, ""}, //nolint:misspell // GitLab's word
		{GitLab, "Note Hook", `{"object_kind":"note","object_attributes":{"noteable_type":"Commit"}}`, OtherEvent, ""},                                                   //nolint:misspell // GitLab's word
		{GitLab, "Merge Request Hook", `{"object_kind":"merge_request"}`, "", core.Invalid},
		{GitLab, "Tag Push Hook", `{"object_kind":"tag_push"}`, OtherEvent, ""},
	} {
		got, err := ReadHook(test.kind, hookHeader(test.kind, test.event, []byte(test.body), hookSecret), []byte(test.body), hookSecret)
		if core.CodeOf(err) != test.code || got.Event != test.want {
			t.Errorf("%s %s %s: %+v, %v", test.kind, test.event, test.body, got, err)
		}
	}
}

// FuzzReadHook: whatever is in a signed body, what is read of it can be stored and shown; and it is never believed unsigned.
func FuzzReadHook(f *testing.F) {
	for kind, events := range map[string]map[string]string{
		GitHub: {"push": "hook-push.json", "pull_request": "hook-pull.json", "issue_comment": "hook-comment.json", "ping": "hook-ping.json"},
		Gitea:  {"push": "hook-push.json", "delete": "hook-delete.json", "pull_request": "hook-pull.json", "issue_comment": "hook-comment.json"},
		GitLab: {"x": "hook-push.json", "y": "hook-pull.json", "z": "hook-comment.json"},
	} {
		for event, file := range events {
			f.Add(kind, event, "application/json", recorded(f, kind+"/"+file))
		}
	}
	f.Add(GitHub, "push", "application/x-www-form-urlencoded", []byte("payload=%7B%22ref%22%3A%22refs%2Fheads%2Fx%22%7D"))
	f.Fuzz(func(t *testing.T, kind, event, media string, body []byte) {
		header := hookHeader(kind, event, body, hookSecret)
		header.Set("Content-Type", media)
		got, err := ReadHook(kind, header, body, hookSecret)
		if err != nil && got != (Hook{}) {
			t.Errorf("%+v beside %v", got, err)
		}
		if (got.Event == PullEvent || got.Event == CommentEvent) && got.Pull <= 0 || got.Event == PushEvent && got.Branch == "" {
			t.Errorf("%+v says nothing", got)
		}
		for _, text := range []string{got.Branch, got.Author, got.Comment} {
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) || utf8.RuneCountInString(text) > hookProse {
				t.Errorf("%q can't be kept", text)
			}
		}
		if _, err := ReadHook(kind, header, body, "another secret"); err == nil {
			t.Error("the wrong secret was good enough")
		}
	})
}
