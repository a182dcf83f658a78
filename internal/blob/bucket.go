package blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/terrace-cd/terrace/internal/core"
)

// Bucket is a core.BlobStore in a bucket of an object storage, or below a prefix of
// one. Several servers may use it at once.
type Bucket struct {
	shown  string // for messages
	bucket *blob.Bucket
	limits limits
	// explain says in words what the service says, with what to do; "" when it has
	// nothing better than the error's own text.
	explain func(error) string
	// damaged tells that what the service sent is not what was stored.
	damaged func(error) bool
	// conditional: the service refuses to write a key that exists. Where it cannot, Put
	// looks first. That leaves a gap, in which nobody is: keys are random.
	conditional bool
}

var _ core.BlobStore = (*Bucket)(nil)

// limits bound every call, whatever the service does or fails to do. Who depends on
// them: state writes, which must end before the collector of orphans takes the object
// for one (internal/jobs), and people who wait.
type limits struct {
	answer time.Duration // to one request, once it is sent
	call   time.Duration // a whole call with its retries, and
	second int64         // a second more for so many bytes
}

var defaultLimits = limits{answer: 10 * time.Second, call: 30 * time.Second, second: 1 << 20}

func (l limits) of(bytes int64) time.Duration {
	return l.call + time.Duration(bytes/l.second)*time.Second
}

// contentType of everything: it is sealed.
const contentType = "application/octet-stream"

// Put stores data. The service has it on its disks when it says so.
func (b *Bucket) Put(ctx context.Context, key string, data []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, b.limits.of(int64(len(data))))
	defer cancel()
	if !b.conditional {
		switch existing, err := b.read(ctx, key); {
		case err == nil:
			return same(key, existing, data)
		case core.CodeOf(err) != core.NotFound:
			return err
		}
	}
	err := b.write(ctx, key, data, b.conditional)
	if err == nil {
		return nil
	}
	// It may be there all the same: the answer to the first try was lost, and the next
	// one found the key taken; or somebody else has it.
	existing, readErr := b.read(ctx, key)
	switch {
	case readErr == nil:
		return same(key, existing, data)
	case gcerrors.Code(err) == gcerrors.FailedPrecondition && core.CodeOf(readErr) != core.NotFound:
		return readErr
	}
	return b.failed("storing "+key, err)
}

// Replace stores data in place of what the key has, if anything. Services replace
// objects at once: who reads meanwhile gets the one or the other.
func (b *Bucket) Replace(ctx context.Context, key string, data []byte) error {
	if err := checkKey(key); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, b.limits.of(int64(len(data))))
	defer cancel()
	if err := b.write(ctx, key, data, false); err != nil {
		return b.failed("replacing "+key, err)
	}
	return nil
}

func (b *Bucket) write(ctx context.Context, key string, data []byte, onlyNew bool) error {
	return b.bucket.Upload(ctx, key, bytes.NewReader(data), &blob.WriterOptions{ContentType: contentType, IfNotExist: onlyNew})
}

func same(key string, existing, data []byte) error {
	if bytes.Equal(existing, data) {
		return nil
	}
	return core.Errorf(core.Conflict, "%s exists with other content", key)
}

// Get returns an object. Errors: NotFound; Internal when it is damaged and the service
// noticed. What is sealed shows any other damage when it is opened.
func (b *Bucket) Get(ctx context.Context, key string) ([]byte, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	return b.read(ctx, key)
}

// maxReads is how often a read that was cut off in the middle is tried; requests that
// get no answer at all are repeated below this.
const maxReads = 3

func (b *Bucket) read(ctx context.Context, key string) (data []byte, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	deadline := time.AfterFunc(b.limits.call, func() { cancel(context.DeadlineExceeded) })
	defer deadline.Stop()
	for range maxReads {
		var r *blob.Reader
		if r, err = b.bucket.NewReader(ctx, key, nil); err != nil {
			break
		}
		deadline.Reset(b.limits.of(r.Size()))
		data, err = readAll(r)
		if err == nil {
			return data, nil
		}
		if ctx.Err() != nil || b.damaged(err) {
			break
		}
	}
	if context.Cause(ctx) != nil {
		err = context.Cause(ctx)
	}
	switch {
	case b.damaged(err):
		return nil, core.Errorf(core.Internal, "the blob %s in %s is damaged; restore it from a backup: %w", key, b.shown, err)
	case gcerrors.Code(err) == gcerrors.NotFound && b.explain(err) == "":
		return nil, core.Errorf(core.NotFound, "there is no blob %s in %s", key, b.shown)
	}
	return nil, b.failed("reading "+key, err)
}

// readAll reads an object whose size is known.
func readAll(r *blob.Reader) ([]byte, error) {
	buffer := bytes.NewBuffer(make([]byte, 0, max(r.Size(), 0)+bytes.MinRead))
	_, err := io.Copy(buffer, r)
	if closeErr := r.Close(); err == nil {
		err = closeErr
	}
	if err == nil && int64(buffer.Len()) != r.Size() {
		err = io.ErrUnexpectedEOF
	}
	return buffer.Bytes(), err
}

// Delete removes an object; one that does not exist is no error.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, b.limits.call)
	defer cancel()
	if err := b.bucket.Delete(ctx, key); err != nil && (gcerrors.Code(err) != gcerrors.NotFound || b.explain(err) != "") {
		return b.failed("deleting "+key, err)
	}
	return nil
}

// pageSize is how many objects are listed at a time; it is the most that S3 gives.
const pageSize = 1000

// List returns what is there, by key. Objects that cannot be Terrace's are left out.
func (b *Bucket) List(ctx context.Context) ([]core.StoredBlob, error) {
	var all []core.StoredBlob
	for token := blob.FirstPageToken; len(token) > 0; {
		page, next, err := b.page(ctx, token, pageSize)
		if err != nil {
			return nil, err
		}
		for _, o := range page {
			if !o.IsDir && isKey(o.Key) {
				all = append(all, core.StoredBlob{Key: o.Key, Size: o.Size, Modified: o.ModTime})
			}
		}
		token = next
	}
	sortByKey(all)
	return all, nil
}

func (b *Bucket) page(ctx context.Context, token []byte, size int) ([]*blob.ListObject, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, b.limits.call)
	defer cancel()
	page, next, err := b.bucket.ListPage(ctx, token, size, nil)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, b.failed("listing blobs", err)
	}
	return page, next, nil
}

// failed says what went wrong. While a server runs, all of it may pass: a service comes
// back, somebody corrects a policy. So it is Unavailable, and those who wait try again.
func (b *Bucket) failed(what string, err error) error {
	why := b.explain(err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return core.Errorf(core.Unavailable, "%s failed: %s did not answer in time; nothing is lost, try again: %w", what, b.shown, err)
	case why != "":
		return &core.Error{Code: core.Unavailable, Message: what + " failed: " + why, Cause: err}
	}
	return core.Errorf(core.Unavailable, "%s in %s failed: %w", what, b.shown, err)
}

// probe finds out whether everything that will be needed is allowed, and whether the
// service keeps a key from being written twice.
func (b *Bucket) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.limits.call)
	defer cancel()
	key := "probe/" + core.NewID("p", time.Now()) // one that stays behind is collected
	first, second := []byte("Terrace looks whether it may write here."), []byte("It may not, twice.")
	b.conditional = true
	err := b.write(ctx, key, first, b.conditional)
	if gcerrors.Code(err) == gcerrors.Unimplemented || notImplemented(err) {
		b.conditional = false
		err = b.write(ctx, key, first, b.conditional)
	}
	if err != nil {
		return b.unusable("writing", err)
	}
	if b.conditional && b.write(ctx, key, second, true) == nil {
		b.conditional = false // it accepted the condition and ignored it
		first = second
	}
	if got, err := b.read(ctx, key); err != nil {
		return b.unusable("reading", err)
	} else if !bytes.Equal(got, first) {
		return core.Errorf(core.Invalid, "%s cannot keep states: what was just written is not what is read", b.shown)
	}
	if err := b.look(ctx); err != nil {
		return err
	}
	if err := b.Delete(ctx, key); err != nil {
		return b.unusable("deleting", err)
	}
	return nil
}

// look finds out whether the bucket is there and may be read.
func (b *Bucket) look(ctx context.Context) error {
	if _, _, err := b.page(ctx, blob.FirstPageToken, 1); err != nil {
		return b.unusable("listing", err)
	}
	return nil
}

// unusable is failed for the start of a server: what its owner has to change is Invalid.
func (b *Bucket) unusable(what string, err error) error {
	if why := b.explain(err); why != "" {
		return &core.Error{Code: core.Invalid, Message: "the storage " + b.shown + " cannot be used (" + what + " failed): " + why, Cause: err}
	}
	return core.Errorf(core.Unavailable, "the storage %s cannot be reached (%s failed): %w", b.shown, what, err)
}
