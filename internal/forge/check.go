package forge

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/terrace-cd/terrace/internal/core"
)

const (
	// titleLimit and nameLimit bound what strangers call things, in characters.
	titleLimit = 300
	nameLimit  = 255
)

// checkComment refuses what a forge would refuse, and what would be another address.
func checkComment(pull int64, id, text string, limit int) error {
	switch {
	case pull <= 0:
		return core.Errorf(core.Invalid, "%d is no number of a pull request", pull)
	case id != "" && !digits(id):
		return core.Errorf(core.Invalid, "%q is no comment's", id)
	case strings.TrimSpace(text) == "":
		return core.Errorf(core.Invalid, "the comment is empty")
	case utf8.RuneCountInString(text) > limit:
		return core.Errorf(core.Invalid, "the comment has %d characters; %d fit", utf8.RuneCountInString(text), limit)
	}
	return nil
}

func checkStatus(commit string, s Status) error {
	if !commitName(commit) {
		return core.Errorf(core.Invalid, "%q is no commit", line(commit, 80))
	}
	switch s.State {
	case Pending, Success, Failure, Error:
	default:
		return core.Errorf(core.Invalid, "%q is no state of a status", line(s.State, 80))
	}
	if s.Context == "" || utf8.RuneCountInString(s.Context) > nameLimit {
		return core.Errorf(core.Invalid, "a status needs a context of 1 to %d characters", nameLimit)
	}
	return nil
}

// commentID is the number of a comment that was made, as text.
func (c *conn) commentID(r request, id int64) (string, error) {
	if id <= 0 {
		return "", c.unreadable(r, errors.New("the comment has no number"))
	}
	return strconv.FormatInt(id, 10), nil
}

// checked makes what strangers wrote safe to keep and to show. ok is false for what has no commit: a branch that is gone, or one that the forge
// has not looked at yet.
func (p Pull) checked() (_ Pull, ok bool) {
	p.Title, p.Author = line(p.Title, titleLimit), line(p.Author, nameLimit)
	p.Branch, p.Target = line(p.Branch, nameLimit), line(p.Target, nameLimit)
	return p, p.Number > 0 && commitName(p.Commit)
}

// ordered sorts by number, and drops what came twice because something was closed between two pages.
func ordered(pulls []Pull) []Pull {
	slices.SortFunc(pulls, func(a, b Pull) int { return cmp.Compare(a.Number, b.Number) })
	return slices.CompactFunc(pulls, func(a, b Pull) bool { return a.Number == b.Number })
}
