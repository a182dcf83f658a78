package source

import (
	"context"
	"path"
	"strconv"
	"strings"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
)

// Images digests the files of the repository that go into each image, by its name: parts
// "program PATH", "reads GLOB" and "folder PATH". Invalid when the configuration has errors, or
// a symbolic link that counts leads out of the repository.
func (s *Source) Images(ctx context.Context, repo, commit, root string) (map[string]Content, error) {
	t, err := s.Tree(ctx, repo, commit)
	if err != nil {
		return nil, err
	}
	key := strings.Join([]string{repo, t.hash, path.Clean(root), "", "images"}, "\x00")
	if all, ok := s.content.get(key); ok {
		return all, nil
	}
	cfg, err := s.soundConfig(ctx, repo, commit, root)
	if err != nil {
		return nil, err
	}
	all, err := s.images(t, cfg)
	if err != nil {
		return nil, err
	}
	s.content.put(key, all, weightOf(all))
	return all, nil
}

func (s *Source) images(t *Tree, cfg *config.Config) (_ map[string]Content, err error) {
	m := s.pin(t.repo)
	defer s.unpin(m)
	g := newGraph(t, m, cfg.Project.Engine)
	all := make(map[string]Content, len(cfg.Images))
	for _, im := range cfg.Images {
		if all[im.Name], err = g.image(im); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// image digests what goes into one. Where a symbolic link leads to a folder, all that is in
// that folder does.
func (g *graph) image(im config.Image) (Content, error) {
	parts := map[string]string{}
	if im.Program != "" {
		parts["program "+im.Program] = missing
		if e := g.tree.regular(im.Program); e != nil {
			parts["program "+im.Program] = g.tree.oid(e) + " " + strconv.Itoa(int(e.kind)) // may it be executed
		}
	}
	for _, pattern := range im.Reads {
		found := g.glob(path.Clean(pattern))
		parts["reads "+pattern] = found.sum
		for _, e := range found.matches {
			if e.kind != link {
				continue
			}
			dir, err := g.tree.resolve(e.path)
			if err == nil && g.tree.regular(e.path) == nil && len(g.tree.under(dir)) > 0 {
				parts["folder "+dir], err = g.everything(dir)
			}
			if l := onlyLeaves(err); l != nil {
				return Content{}, core.Errorf(core.Invalid, "the image %s cannot be used: %w; copy what it needs into the repository", im.Name, l)
			}
		}
	}
	return Content{Digest: digest(parts), Parts: parts}, nil
}
