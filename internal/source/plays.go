package source

import (
	"path"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/playbook"
)

// concerning tells apart which hosts what of a playbook's folder concerns. What counts and is
// elsewhere concerns every host.
func (a *ansible) concerning(root, name string) playbook.Plays {
	own := within(root, a.dir) || len(a.tree.folders().configs[a.dir]) > 0 // the folder has other things too
	counts := func(rel string) bool {
		top, _, folder := strings.Cut(rel, "/")
		return !own || folder && slices.Contains(besides, top) || !folder && !strings.HasPrefix(top, ".") && (isYAML(top) || strings.HasSuffix(top, ".j2"))
	}
	f := playbook.Folder{Playbook: name, Read: func(p string) ([]byte, error) { return a.tree.ReadFile(p) }}
	inside := map[string]bool{"folder " + a.dir: true, "playbook " + name: true}
	for _, top := range besides {
		inside["folder "+path.Join(a.dir, top)] = true
	}
	entries := a.tree.under(a.dir)
	for i := range entries {
		e := &entries[i]
		rel := e.path
		if a.dir != "." {
			rel = strings.TrimPrefix(e.path, a.dir+"/")
		}
		if hidden(e.path) || !counts(rel) {
			continue
		}
		f.Files = append(f.Files, playbook.File{Path: e.path, Content: string(e.kind) + a.tree.oid(e), Link: e.kind == link})
		inside["file "+e.path] = true
	}
	p := playbook.Read(f)
	if !p.Known {
		return p
	}
	elsewhere := map[string]string{"rest": p.Rest}
	for part, content := range a.parts {
		if !inside[part] {
			elsewhere[part] = content
		}
	}
	p.Rest = digest(elsewhere)
	return p
}
