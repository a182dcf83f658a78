package web

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/terrace-cd/terrace/internal/ansi"
	"github.com/terrace-cd/terrace/internal/wire"
)

func (s *site) modules(w http.ResponseWriter, req *http.Request) error {
	all, err := s.backend.Modules(req.Context())
	if err != nil {
		return err
	}
	return s.show(w, req, http.StatusOK, modulesPage(s.moduleFrame("Modules"), all))
}

func (s *site) module(w http.ResponseWriter, req *http.Request) error {
	address := req.PathValue("namespace") + "/" + req.PathValue("name") + "/" + req.PathValue("system")
	m, err := s.backend.Module(req.Context(), address, req.URL.Query().Get("version"))
	if err != nil {
		return err
	}
	f := s.moduleFrame(m.Address)
	f.Crumbs = append(f.Crumbs, crumb{m.Address, moduleURL(m.Address)})
	return s.show(w, req, http.StatusOK, modulePage(f, m))
}

func (s *site) moduleFrame(title string) frame {
	f := s.frame(title)
	f.Crumbs = []crumb{{"Modules", "/modules"}}
	return f
}

func moduleURL(address string) string {
	parts := strings.Split(address, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return "/modules/" + strings.Join(parts, "/")
}

func versionURL(address, version string) string {
	return moduleURL(address) + "?version=" + url.QueryEscape(version)
}

// moduleBlock is what people write to use a version of a module.
func moduleBlock(m wire.ShownModule) string {
	_, rest, _ := strings.Cut(m.Address, "/")
	name, _, _ := strings.Cut(rest, "/")
	return "module \"" + name + "\" {\n  source  = \"" + m.Source + "\"\n  version = \"" + m.Version + "\"\n}"
}

// versionNote says what became of a version's tag.
func versionNote(v wire.ModuleVersion) string {
	switch {
	case v.Moved != "":
		return "Its tag was moved to " + shortCommit(wire.Release{Commit: v.Moved}) + ", which nobody gets."
	case v.Gone:
		return "Its tag is gone. Releases that have it keep it."
	}
	return ""
}

// plain is text of a module's author, without what terminals would obey.
func plain(s string) string { return ansi.Strip(s) }
