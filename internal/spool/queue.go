// Package spool is what a runner keeps on its disk while the server is away, and what
// somebody else delivers when the runner itself is gone: state writes that the engine
// was promised, the log, and how the run ended. It all lies in the folder of one attempt.
//
// State writes are sealed with a key that the server gave the attempt; the key itself
// lies beside them, wrapped by the server, so that whoever finds the folder can have it
// unwrapped and nobody else can read a state. The log is masked text. What has been
// delivered is removed.
package spool

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// KeySize is the size of a spool's key, in bytes.
const KeySize = 32

const (
	queueName   = "states"
	wrappedName = "key"
	entrySuffix = ".write"
)

// Entry is a request to the state backend that was answered here.
type Entry struct {
	Method string `json:"method"` // POST or UNLOCK
	Lock   string `json:"lock"`   // the ID that a POST carried
	MD5    string `json:"md5"`    // of a POST, in base64, as it came
	Body   []byte `json:"-"`
}

// Queue holds entries in the order in which they came. What Push accepted survives the
// end of the process and of the machine.
type Queue struct {
	dir  string
	aead cipher.AEAD

	mu    sync.Mutex
	names []string // oldest first
	next  int
}

// OpenQueue opens the queue of an attempt's folder. wrapped is the key as the server
// gave it for safekeeping.
func OpenQueue(dir string, key, wrapped []byte) (*Queue, error) {
	q, err := readQueue(dir, key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(q.dir, 0o700); err != nil {
		return nil, err
	}
	return q, place(q.dir, wrappedName, wrapped)
}

func readQueue(dir string, key []byte) (*Queue, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("a spool's key has %d bytes, not %d", KeySize, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	q := &Queue{dir: filepath.Join(dir, queueName), next: 1}
	if q.aead, err = cipher.NewGCM(block); err != nil {
		return nil, err
	}
	if q.names, err = entries(q.dir); err != nil {
		return nil, err
	}
	if n := len(q.names); n > 0 {
		if _, err := fmt.Sscanf(q.names[n-1], "%08d", &q.next); err != nil {
			return nil, fmt.Errorf("the spool holds a file %s that is not its own", q.names[n-1])
		}
		q.next++
	}
	return q, nil
}

// entries lists the names of the entries in a queue's folder, oldest first.
func entries(dir string) ([]string, error) {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if strings.HasSuffix(f.Name(), entrySuffix) {
			names = append(names, f.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Len is how many entries wait.
func (q *Queue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.names)
}

// Push appends an entry. It is on disk when Push returns; an error leaves nothing.
func (q *Queue) Push(e Entry) error {
	head, err := json.Marshal(e)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	name := fmt.Sprintf("%08d%s", q.next, entrySuffix)
	sealed, err := q.seal(name, head, e.Body)
	if err != nil {
		return err
	}
	if err := place(q.dir, name, sealed); err != nil {
		return err
	}
	q.names = append(q.names, name)
	q.next++
	return nil
}

// First returns the oldest entry; ok is false when there is none.
func (q *Queue) First() (e Entry, ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.names) == 0 {
		return e, false, nil
	}
	e, err = q.read(q.names[0])
	return e, true, err
}

// State returns the newest state that waits; ok is false when there is none.
func (q *Queue) State() (body []byte, ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, name := range slices.Backward(q.names) {
		e, err := q.read(name)
		if err != nil || e.Method == http.MethodPost {
			return e.Body, err == nil, err
		}
	}
	return nil, false, nil
}

// Drop removes the oldest entry: it was delivered.
func (q *Queue) Drop() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.names) == 0 {
		return nil
	}
	if err := os.Remove(filepath.Join(q.dir, q.names[0])); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	q.names = q.names[1:]
	return nil
}

// read opens an entry.
func (q *Queue) read(name string) (e Entry, err error) {
	head, body, err := q.open(name)
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(head, &e); err != nil {
		return e, fmt.Errorf("the spooled write %s cannot be read: %w", name, err)
	}
	e.Body = body
	return e, nil
}

// seal makes the content of a file: a line that anybody may read, a nonce, and the
// sealed body. The file's name and the line are bound into the seal. States are large:
// there is one copy of the body, no more.
func (q *Queue) seal(name string, head, body []byte) ([]byte, error) {
	content := make([]byte, 0, len(head)+1+q.aead.NonceSize()+len(body)+q.aead.Overhead())
	content = append(append(content, head...), '\n')
	nonce := content[len(content) : len(content)+q.aead.NonceSize()]
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return q.aead.Seal(content[:len(content)+len(nonce)], nonce, body, bound(name, head)), nil
}

// open opens what seal made. A damaged file, or one of another attempt, does not open.
func (q *Queue) open(name string) (head, body []byte, err error) {
	content, err := os.ReadFile(filepath.Join(q.dir, name))
	if err != nil {
		return nil, nil, err
	}
	head, rest, found := bytes.Cut(content, []byte{'\n'})
	if !found || len(rest) < q.aead.NonceSize() {
		return nil, nil, fmt.Errorf("the spooled file %s was cut off", name)
	}
	sealed := rest[q.aead.NonceSize():]
	body, err = q.aead.Open(sealed[:0], rest[:q.aead.NonceSize()], sealed, bound(name, head))
	if err != nil {
		return nil, nil, fmt.Errorf("the spooled file %s is damaged, or its key is another one: %w", name, err)
	}
	return head, body, nil
}

func bound(name string, head []byte) []byte { return append([]byte(name+"\n"), head...) }

// Reports that Keep is for, by what they say.
const (
	Applied     = "applied"     // the apply ended well; its state is stored, or in the queue
	Provisioned = "provisioned" // so did Ansible
	Finish      = "finish"      // how the run ended
)

// Keep keeps a report that is on its way to the server, sealed. It survives the end of
// the process.
func (q *Queue) Keep(name string, report []byte) error {
	sealed, err := q.seal(name, nil, report)
	if err != nil {
		return err
	}
	return place(q.dir, name, sealed)
}

// Kept returns a report; nil when there is none of the name.
func (q *Queue) Kept(name string) ([]byte, error) {
	_, report, err := q.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return report, err
}

// place writes a file whole or not at all, and makes it durable.
func place(dir, name string, content []byte) error {
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		_ = os.Remove(f.Name()) // nothing names it
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
