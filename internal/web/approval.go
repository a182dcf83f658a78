package web

import (
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// maxBallot bounds the form that a vote is sent with, in bytes.
const maxBallot = 64 << 10

// vote says yes or no to the plans that a form names, and goes back to the page that the
// form is on.
func (s *site) vote(w http.ResponseWriter, req *http.Request) error {
	req.Body = http.MaxBytesReader(w, req.Body, maxBallot)
	if err := req.ParseForm(); err != nil {
		return core.Errorf(core.Invalid, "this form cannot be read: %w", err)
	}
	runs, plans, verdict := req.PostForm["run"], req.PostForm["plan"], req.PostFormValue("verdict")
	if len(runs) == 0 || len(runs) != len(plans) || slices.Contains(plans, "") || verdict != "approve" && verdict != "reject" {
		return core.Errorf(core.Invalid, "this form names no plan, or does not say what becomes of it; open its page again")
	}
	var refused []string
	var first error
	for i, run := range runs {
		if err := s.backend.Vote(req.Context(), run, plans[i], verdict == "approve", req.PostFormValue("reason")); err != nil {
			if core.CodeOf(err) == core.Internal {
				return err
			}
			if first == nil {
				first = err
			}
			refused = append(refused, core.MessageOf(err))
		}
	}
	if first != nil {
		return core.Errorf(core.CodeOf(first), "%s", strings.Join(refused, "\n"))
	}
	http.Redirect(w, req, strings.TrimSuffix(req.URL.EscapedPath(), "/vote"), http.StatusSeeOther)
	return nil
}

// votesOf are those that count for a run that waits, or what was said to one that does not.
func votesOf(r wire.Run) []wire.Vote {
	if r.Approval != nil {
		return r.Approval.Votes
	}
	return r.Votes
}

// voteID is another one when a plan is: then nothing that was written is for it.
func voteID(list []wire.Approval) string {
	h := fnv.New64a()
	for _, a := range list {
		_, _ = fmt.Fprintf(h, "%s %s\n", a.Run, a.Binding.Plan) // a hash never fails
	}
	return "vote-" + strconv.FormatUint(h.Sum64(), 36)
}

func mayApprove(list []wire.Approval) bool {
	return slices.ContainsFunc(list, func(a wire.Approval) bool { return a.May })
}

func allOf(verb string, list []wire.Approval) string {
	if len(list) > 1 {
		return fmt.Sprintf("%s all %d", verb, len(list))
	}
	return verb
}

// needWords is what a requirement asks for.
func needWords(r wire.Requirement) string {
	if len(r.From) == 0 {
		return plural(r.Count, "operator", "operators")
	}
	return fmt.Sprintf("%d of %s", r.Count, strings.Join(r.From, ", "))
}

// needReason is why, and where that is written.
func needReason(r wire.Requirement) string {
	text := r.Source
	if r.Others {
		text = "neither the commit's author nor who asked for the rollout · " + text
	}
	if r.Why != "" {
		text = "since " + r.Why + " · " + text
	}
	return text
}

func metTone(r wire.Requirement) tone {
	if r.Missing == 0 {
		return good
	}
	return waits
}

func metWord(r wire.Requirement) string {
	if r.Missing == 0 {
		return "met"
	}
	return strconv.Itoa(r.Missing) + " missing"
}

func voteTone(v wire.Vote) tone {
	switch {
	case v.Void != "":
		return quiet
	case v.Verdict == "approve":
		return good
	}
	return bad
}

func voteWord(v wire.Vote) string {
	if v.Verdict == "approve" {
		return "approved"
	}
	return "rejected"
}

func stateWords(b wire.Binding) string {
	if b.Lineage == "" && b.Serial == 0 {
		return "none yet"
	}
	return "serial " + strconv.FormatInt(b.Serial, 10)
}
