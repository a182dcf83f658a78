package store

import (
	"github.com/terrace-cd/terrace/internal/core"
)

const imageColumns = "project, name, digest, id, run, release_number, release_commit, created"

func scanImage(r row) (im core.Image, err error) {
	err = r.Scan(&im.Project, &im.Name, &im.Digest, &im.ID, &im.Run, &im.Release.Number, &im.Release.Commit, into(&im.Created))
	im.Release.Project = im.Project
	return im, err
}

func (t *tx) AddImage(im core.Image) error {
	if _, err := t.Project(im.Project); err != nil {
		return err
	}
	return t.add("the image "+im.Name+" of "+im.Project+" was built already", "INSERT INTO images ("+imageColumns+") VALUES ("+placeholders(8)+")",
		im.Project, im.Name, im.Digest, im.ID, im.Run, im.Release.Number, im.Release.Commit, micros(im.Created))
}

func (t *tx) Image(project, name, digest string) (core.Image, error) {
	return get(t, "image "+name+" with the digest "+digest, scanImage, "SELECT "+imageColumns+" FROM images WHERE project = ? AND name = ? AND digest = ?", project, name, digest)
}

func (t *tx) Images(project string) ([]core.Image, error) {
	return list(t, scanImage, "SELECT "+imageColumns+" FROM images WHERE project = ? ORDER BY name, created DESC, digest", project)
}

func (t *tx) DeleteImage(project, name, digest string) error {
	return t.change("image "+name+" with the digest "+digest, "DELETE FROM images WHERE project = ? AND name = ? AND digest = ?", project, name, digest)
}
