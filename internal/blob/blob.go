// Package blob keeps immutable objects: sealed states and other things too large for
// a row. Folder keeps them as files, Bucket in an object storage.
//
// Folder is a small store of our own because a state write may only be acknowledged
// once it would survive a power cut: the file is synced, then renamed into place, then
// its folder is synced. The fileblob of gocloud.dev renames without syncing anything.
// Services of object storage promise that themselves; for them gocloud.dev is used.
//
// Package blobtest is the suite that both pass.
package blob

import (
	"context"
	"net/url"
	"regexp"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

// OpenURL opens the storage that a person named: a folder (a path or file://PATH), or
// a bucket (s3://BUCKET?…). It writes, reads and deletes something small, so that what
// is wrong with names, keys and permissions shows now. Errors: Invalid when the URL or
// what it names cannot be used, Unavailable when the storage does not answer.
func OpenURL(ctx context.Context, storage string) (core.BlobStore, error) {
	scheme, rest, err := split(storage)
	if err != nil {
		return nil, err
	}
	if scheme == "file" {
		return Open(rest)
	}
	b, err := openS3(ctx, storage, defaultLimits)
	if err != nil {
		return nil, err
	}
	return b, b.probe(ctx)
}

// OpenReader is OpenURL for those who only look, perhaps while a server uses the
// storage: nothing is made or tidied up, and the result refuses to write.
func OpenReader(ctx context.Context, storage string) (core.BlobStore, error) {
	scheme, rest, err := split(storage)
	if err != nil {
		return nil, err
	}
	if scheme == "file" {
		return readOnly{&Folder{dir: rest}}, nil
	}
	b, err := openS3(ctx, storage, defaultLimits)
	if err != nil {
		return nil, err
	}
	return readOnly{b}, b.look(ctx)
}

// split returns what kind of storage a URL names, and the path of a folder.
func split(storage string) (scheme, path string, err error) {
	scheme, path, ok := strings.Cut(storage, "://")
	switch {
	case storage == "":
		return "", "", core.Errorf(core.Invalid, "the storage has no name; use a folder or s3://BUCKET")
	case !ok:
		return "file", storage, nil
	case scheme == "file" && path == "":
		return "", "", core.Errorf(core.Invalid, "file:// names no folder; use file:///PATH")
	case scheme == "file" || scheme == "s3":
		return scheme, path, nil
	}
	return "", "", core.Errorf(core.Invalid, "storage of the kind %s:// is not supported; use a folder, file://FOLDER or s3://BUCKET", scheme)
}

// Shown is a storage as it may be shown and logged: without what somebody may have put
// there as a password.
func Shown(storage string) string {
	scheme, rest, ok := strings.Cut(storage, "://")
	if !ok {
		return storage
	}
	if u, err := url.Parse(storage); err == nil && u.User == nil {
		return storage
	}
	_, rest, _ = strings.Cut(rest, "@")
	return scheme + "://" + rest
}

// readOnly refuses to change anything.
type readOnly struct{ core.BlobStore }

func (readOnly) Put(context.Context, string, []byte) error {
	return core.Errorf(core.Internal, "the storage was opened for reading")
}

func (readOnly) Delete(context.Context, string) error {
	return core.Errorf(core.Internal, "the storage was opened for reading")
}

var keyRE = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$`)

// maxKey keeps a key, which becomes a file name, below what file systems take.
const maxKey = 200

func isKey(key string) bool { return len(key) <= maxKey && keyRE.MatchString(key) }

func checkKey(key string) error {
	if !isKey(key) {
		return core.Errorf(core.Invalid, "%q is not a blob's key", key)
	}
	return nil
}
