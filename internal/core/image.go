package core

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Image is an image that was built: what its command told, for the digest of all that went
// into it. Whoever wants an image with that digest gets this one.
type Image struct {
	Project string
	Name    string
	Digest  string
	ID      string
	Run     string
	Release Release // Number and Commit are set: the first that had it
	Created time.Time
}

// Images stores images that were built.
type Images interface {
	AddImage(Image) error // Conflict when there is one of that digest
	// Image returns the one of a digest. NotFound while it is not built.
	Image(project, name, digest string) (Image, error)
	Images(project string) ([]Image, error) // by name, newest first
	DeleteImage(project, name, digest string) error
}

// imagePrefix has a dot, which no name of a stack has.
const imagePrefix = "image."

// ImageStack is what stands for the stack in a run that builds an image, and in a stage: as
// people write it in terrace.hcl.
func ImageStack(name string) string { return imagePrefix + name }

// ImageOf is the image that a run's stack stands for, "" for a stack.
func ImageOf(stack string) string {
	name, ok := strings.CutPrefix(stack, imagePrefix)
	if !ok {
		return ""
	}
	return name
}

// MaxImageID bounds an image's id, in bytes.
const MaxImageID = 512

// CheckImageID says what is wrong with what a command told as the id of an image.
func CheckImageID(id string) error {
	switch {
	case id == "":
		return Errorf(Invalid, "the command of the image printed nothing to its standard output; the last line there has to be the image's id")
	case len(id) > MaxImageID:
		return Errorf(Invalid, "the last line that the command of the image printed to its standard output has %d bytes; it has to be the image's id, of at most %d", len(id), MaxImageID)
	case !utf8.ValidString(id) || strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsPrint(r) }):
		return Errorf(Invalid, "the last line that the command of the image printed to its standard output, %.200q, has characters that cannot be shown; it has to be the image's id", id)
	case strings.TrimSpace(id) != id:
		return Errorf(Invalid, "the id of the image, %.200q, begins or ends with a space", id)
	}
	return nil
}
