package source

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"sync"
)

// parsesHeader starts the file of what was extracted. Its number changes with what
// extract finds or how it is written; a file with another one is written anew.
const parsesHeader = "terrace parses 3\n"

// parseKey is a form and the first 20 bytes of a blob's name.
type parseKey [21]byte

// parses remembers what was extracted from blobs: in memory, and in a file so that a
// restart starts warm. It keeps two generations: when the young one is full it becomes
// the old one, so what is in use stays without bookkeeping on each hit. The file is
// only appended to, each record with a checksum; what is damaged is read again from git.
type parses struct {
	path string
	max  int64

	mu         sync.Mutex
	loaded     bool
	young, old map[parseKey]string
	size       int64 // of the young generation
	pending    []byte
	written    int64 // size of the file, 0 when it has to be written anew
}

func newParses(path string, max int64) *parses {
	return &parses{path: path, max: max, young: map[parseKey]string{}}
}

func keyOf(f form, oid []byte) (k parseKey) {
	k[0] = byte(f)
	copy(k[1:], oid)
	return k
}

// get returns a remembered record.
func (p *parses) get(key parseKey) (record string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.load()
	if record, ok = p.young[key]; ok {
		return record, true
	}
	if record, ok = p.old[key]; ok {
		p.keep(key, record)
	}
	return record, ok
}

// has reports whether get would find something.
func (p *parses) has(key parseKey) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.load()
	_, young := p.young[key]
	_, old := p.old[key]
	return young || old
}

// put remembers a record; flush writes it down.
func (p *parses) put(key parseKey, record string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.load()
	p.keep(key, record)
	p.pending = appendRecord(p.pending, key, record)
}

const recordOverhead = 64 // bytes that a record takes in memory beside its text

func (p *parses) keep(key parseKey, record string) {
	if p.size > p.max/2 {
		p.young, p.old, p.size = map[parseKey]string{}, p.young, 0
	}
	p.young[key] = record
	p.size += int64(len(record)) + recordOverhead
}

func appendRecord(b []byte, key parseKey, record string) []byte {
	start := len(b)
	b = append(b, key[:]...)
	b = binary.AppendUvarint(b, uint64(len(record)))
	b = append(b, record...)
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[start:]))
}

// load reads the file, once and as far as it is sound.
func (p *parses) load() {
	if p.loaded {
		return
	}
	p.loaded = true
	f, err := os.Open(p.path)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }() // only read
	r := bufio.NewReaderSize(f, 1<<16)
	header := make([]byte, len(parsesHeader))
	if _, err := io.ReadFull(r, header); err != nil || string(header) != parsesHeader {
		return
	}
	sound := int64(len(header))
	for {
		key, record, n, err := readRecord(r)
		if err != nil {
			break
		}
		p.keep(key, record)
		sound += n
	}
	if os.Truncate(p.path, sound) == nil {
		p.written = sound
	}
}

var errDamaged = errors.New("damaged record")

func readRecord(r *bufio.Reader) (key parseKey, record string, size int64, err error) {
	if _, err := io.ReadFull(r, key[:]); err != nil {
		return key, "", 0, err
	}
	n, err := binary.ReadUvarint(r)
	if err != nil || n > 1<<24 {
		return key, "", 0, errDamaged
	}
	text := make([]byte, n+4)
	if _, err := io.ReadFull(r, text); err != nil {
		return key, "", 0, err
	}
	// What is written for the record that was read has to be what is there.
	again := appendRecord(nil, key, string(text[:n]))
	if !bytes.Equal(again[len(again)-4:], text[n:]) {
		return key, "", 0, errDamaged
	}
	return key, string(text[:n]), int64(len(again)), nil
}

// flush writes what is new to the file, or the file anew when it has outgrown what is
// remembered. A failure costs time after a restart, nothing else, and is not reported.
func (p *parses) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pending) == 0 {
		return
	}
	if p.written == 0 || p.written+int64(len(p.pending)) > 2*p.max {
		p.rewrite()
		return
	}
	f, err := os.OpenFile(p.path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		p.written = 0
		return
	}
	n, err := f.Write(p.pending)
	if err = errors.Join(err, f.Close()); err != nil {
		p.written = 0 // perhaps half a record: anew next time
		return
	}
	p.written += int64(n)
	p.pending = nil
}

func (p *parses) rewrite() {
	b := []byte(parsesHeader)
	for key, record := range p.old {
		if _, ok := p.young[key]; !ok {
			b = appendRecord(b, key, record)
		}
	}
	for key, record := range p.young {
		b = appendRecord(b, key, record)
	}
	temporary := p.path + ".new"
	if os.WriteFile(temporary, b, 0o600) == nil && os.Rename(temporary, p.path) == nil {
		p.written, p.pending = int64(len(b)), nil
	}
}

// unload gives the memory back, when the file has everything.
func (p *parses) unload() {
	p.flush()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pending) == 0 {
		p.young, p.old, p.size, p.loaded = map[parseKey]string{}, nil, 0, false
	}
}
