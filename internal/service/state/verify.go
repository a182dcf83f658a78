package state

import (
	"context"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

// Stored is what a row says of a blob.
type Stored struct {
	Blob    string
	MD5     string
	Size    int64
	Serial  int64
	Lineage string
}

// Fault is what is wrong with a blob.
type Fault string

// What can be wrong.
const (
	Missing  Fault = "missing"  // there is no such blob
	Damaged  Fault = "damaged"  // it does not open
	Sealed   Fault = "sealed"   // its master key is not here
	Mismatch Fault = "mismatch" // it is not what the row describes
)

// Verify reads a blob and compares it with what its row says. fault is "" when they
// agree. The error is that of a storage which cannot be asked now.
func (s *Service) Verify(ctx context.Context, row Stored) (fault Fault, why string, err error) {
	sealed, err := s.blobs.Get(ctx, row.Blob)
	switch core.CodeOf(err) {
	case "":
	case core.NotFound, core.Invalid: // a key that cannot be one is not there either
		return Missing, core.MessageOf(err), nil
	case core.Internal:
		return Damaged, core.MessageOf(err), nil
	default:
		return "", "", err
	}
	content, err := s.seal.OpenOver(row.Blob, sealed)
	switch core.CodeOf(err) {
	case "":
	case core.Unavailable:
		return Sealed, core.MessageOf(err), nil
	default:
		return Damaged, core.MessageOf(err), nil
	}
	f, err := s.parse(content)
	if err != nil && !(f.nameless && row.Lineage == "") {
		return Mismatch, core.MessageOf(err), nil
	}
	var wrong []string
	for what, differ := range map[string]bool{"MD5": f.md5 != row.MD5, "size": f.size != row.Size, "serial": *f.Serial != row.Serial, "lineage": f.Lineage != row.Lineage} {
		if differ {
			wrong = append(wrong, what)
		}
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return Mismatch, row.Blob + " opens, but is not what the database says: another " + strings.Join(wrong, ", "), nil
	}
	return "", "", nil
}
