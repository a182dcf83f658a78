package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// previewView is what a branch would do, as its page shows it.
type previewView struct {
	part
	Now     time.Time
	Preview wire.Preview
}

func (s *site) preview(w http.ResponseWriter, req *http.Request) error {
	pv, err := s.backend.Preview(req.Context(), req.PathValue("project"), req.PathValue("id"))
	if err != nil {
		return err
	}
	v := previewView{part: live(req, "preview", pv), Now: s.options.Now(), Preview: pv}
	if done, err := s.showPart(w, req, v.part, previewPart(v)); done {
		return err
	}
	f := s.frame("Preview of " + pv.Branch).in(pv.Project)
	f.Crumbs = append(f.Crumbs, crumb{"preview of " + pv.Branch, previewURL(pv)})
	return s.show(w, req, http.StatusOK, previewPage(f, v))
}

func previewURL(pv wire.Preview) string {
	return projectURL(pv.Project) + "/previews/" + url.PathEscape(pv.ID)
}

// previewTone is the colour of what became of an instance, or of a preview.
func previewTone(state string) tone {
	switch state {
	case string(core.PreviewsDenied):
		return bad
	case string(core.PreviewsWait), string(core.PreviewsRemoval):
		return warn
	case string(core.PreviewsPlan):
		return good
	case string(core.PreviewsNothing), string(core.PreviewsUpstream):
		return quiet
	}
	return stateTone(state)
}

func previewWord(state string) string {
	switch state {
	case string(core.PreviewsNothing):
		return "no changes"
	case string(core.PreviewsUpstream):
		return "not looked at yet"
	case string(core.PreviewsRun):
		return "planning"
	}
	return stateWord(state)
}

// nothingHere: an environment in which nothing changes.
func nothingHere(e wire.PreviewEnvironment, over bool) bool { return over && len(e.Instances) == 0 }

// previewText is what an instance would do, in a line.
func previewText(in wire.PreviewInstance) string {
	switch {
	case in.WaitsFor != "":
		return "waits for " + in.WaitsFor + ", whose outputs only an apply tells"
	case in.State == string(core.PreviewsRemoval):
		return "the stack goes, and all that it has: " + plural(in.Resources, "resource", "resources")
	case in.Changes == (wire.Changes{}):
		return ""
	}
	text := changesText(in.Changes)
	if len(in.Against) > 0 {
		text += ", against the planned outputs of " + strings.Join(in.Against, ", ")
	}
	return text
}

// changesText says what changes there are, without those that there are none of.
func changesText(c wire.Changes) string {
	var words []string
	for _, w := range changesWords(c) {
		if w.Count > 0 {
			words = append(words, strconv.Itoa(w.Count)+" "+w.Words)
		}
	}
	return strings.Join(words, ", ")
}
