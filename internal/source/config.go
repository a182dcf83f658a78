package source

import (
	"context"
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
)

type loadedConfig struct {
	config *config.Config
	diags  hcl.Diagnostics
}

// Config loads the configuration in the folder root of a commit. Besides what package
// config finds, a symbolic link that leads out of the repository from something an
// instance uses is a diagnostic. The Config is nil when there are errors among the
// diagnostics. err is for what is no fault of the configuration.
func (s *Source) Config(ctx context.Context, repo, commit, root string) (*config.Config, hcl.Diagnostics, error) {
	t, err := s.Tree(ctx, repo, commit)
	if err != nil {
		return nil, nil, err
	}
	root = path.Clean(root)
	key := strings.Join([]string{repo, t.hash, root}, "\x00")
	if c, ok := s.configs.get(key); ok {
		return c.config, c.diags, nil
	}
	cfg, diags := (&config.Loader{Modules: s.modules}).Load(t, root)
	if cfg != nil && !diags.HasErrors() && t.leaves() {
		_, err := s.images(t, cfg)
		for i := 0; err == nil && i < len(cfg.Environments); i++ {
			_, err = s.contents(ctx, t, cfg, root, cfg.Environments[i].Name)
		}
		if core.CodeOf(err) == core.Invalid {
			file := path.Join(root, config.FileName)
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "A symbolic link leaves the repository", Detail: core.MessageOf(err) + ".",
				Subject: &hcl.Range{Filename: file, Start: hcl.InitialPos, End: hcl.InitialPos},
			})
			cfg = nil
		} else if err != nil {
			return nil, nil, err
		}
	}
	// A configuration weighs about as much as its instances' settings; its tree is
	// weighed by itself.
	weight := 4 << 10
	if cfg != nil {
		weight += 1200 * len(cfg.Stacks)
	}
	s.configs.put(key, &loadedConfig{cfg, diags}, weight)
	return cfg, diags, nil
}

// soundConfig is Config with an Invalid error in place of diagnostics.
func (s *Source) soundConfig(ctx context.Context, repo, commit, root string) (*config.Config, error) {
	cfg, diags, err := s.Config(ctx, repo, commit, root)
	if err != nil {
		return nil, err
	}
	if diags.HasErrors() {
		return nil, core.Errorf(core.Invalid, "the configuration of %s at %s has errors: %w", repo, core.ShortCommit(commit), diags)
	}
	return cfg, nil
}

// leaves reports whether any symbolic link leads out of the repository.
func (t *Tree) leaves() bool {
	for name := range t.links {
		if _, err := t.resolve(name); onlyLeaves(err) != nil {
			return true
		}
	}
	return false
}
