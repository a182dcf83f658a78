package wanted

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/promotion"
)

// imagePart begins the name of the part of an input digest that says which image an instance
// gets; the image's name follows.
const imagePart = "image "

// ImagePart is the part of an input digest that has the id of an image.
func ImagePart(name string) string { return imagePart + name }

// ImageDigest is the digest of all that goes into an image of a commit, with its parts.
func (e *Evaluator) ImageDigest(ctx context.Context, p core.Project, commit string, im config.Image) (sum string, parts map[string]string, err error) {
	all, err := e.Source.Images(ctx, p.Repo, commit, p.Path)
	if err != nil {
		return "", nil, err
	}
	command, err := json.Marshal(im.Command)
	if err != nil {
		return "", nil, err
	}
	parts = map[string]string{"name": im.Name, "folder": p.Path, "command": string(command)}
	for name, hash := range all[im.Name].Parts {
		parts[name] = hash
	}
	for name, value := range im.Variables {
		parts["variable "+name] = value
	}
	if len(im.Secrets) > 0 {
		parts["secrets"] = im.Environment + ": " + strings.Join(im.Secrets, ", ")
	}
	return digest(parts), parts, nil
}

// Built returns an image that was built. NotFound while it is not. A sandbox has what its
// base's promotion built, and what it built itself, which nobody else ever gets (rule 26).
func Built(tx core.Tx, p core.Project, name, digest string) (core.Image, error) {
	if p.Sandbox != nil {
		if im, err := tx.Image(p.Sandbox.Of, name, digest); core.CodeOf(err) != core.NotFound {
			return im, err
		}
	}
	return tx.Image(p.Name, name, digest)
}

// ImageID returns the id of an image of a commit, "" while it is not built.
func (e *Evaluator) ImageID(ctx context.Context, p core.Project, commit string, im config.Image) (id string, err error) {
	digest, _, err := e.ImageDigest(ctx, p, commit, im)
	if err != nil {
		return "", err
	}
	err = e.Store.Peek(ctx, func(tx core.Tx) error {
		built, err := Built(tx, p, im.Name, digest)
		if core.CodeOf(err) == core.NotFound {
			err = nil
		}
		id = built.ID
		return err
	})
	return id, err
}

// had are the parts of the digest with which an instance was applied.
func (e *Evaluator) had(ctx context.Context, p core.Project, environment, stack string) (parts map[string]string, err error) {
	err = e.Store.Peek(ctx, func(tx core.Tx) error {
		there, err := tx.Instance(p.Name, stack, environment)
		parts = there.Components
		return err
	})
	return parts, err
}

// imageOf gives expressions access to the images of a commit.
func (e *Evaluator) imageOf(ctx context.Context, p core.Project, commit string, cfg *config.Config, missing *missing) func(name string) (id string, ok bool) {
	missing.images = map[string]string{}
	return func(name string) (string, bool) {
		im := cfg.Image(name)
		if id := missing.images[name]; id != "" || im == nil {
			return id, id != ""
		}
		id, err := e.ImageID(ctx, p, commit, *im)
		if id == "" {
			id = missing.had[ImagePart(name)]
		}
		if err != nil {
			missing.err = err
		} else if id == "" {
			missing.image = name
		}
		missing.images[name] = id
		return id, id != ""
	}
}

// NotReady is why an instance that is not ready cannot be planned.
func (w Wanted) NotReady(instance string) error {
	if w.Image != "" {
		return promotion.NotBuilt(instance, w.Image)
	}
	return promotion.NoOutputs(instance, w.WaitsFor)
}
