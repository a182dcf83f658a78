package democloud

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Operation is what is done to a resource.
type Operation string

// The operations. Read is never in the journal, it can only be made to fail.
const (
	Create Operation = "create"
	Read   Operation = "read"
	Update Operation = "update"
	Delete Operation = "delete"
	Stop   Operation = "stop"
	Start  Operation = "start"
)

// Caller says on whose behalf a change is made, as the provider was told by its
// environment (TERRACE_RUN, TERRACE_FENCE).
type Caller struct {
	Run   string `json:"run,omitempty"`
	Fence string `json:"fence,omitempty"`
}

// Entry is one line of the journal: one change that was made.
type Entry struct {
	Seq       int64     `json:"seq"`
	At        time.Time `json:"at"`
	Operation Operation `json:"operation"`
	Caller
	// Resource is as the change left it; for delete, as it was.
	Resource Resource `json:"resource"`
}

// journal is the append-only file of changes. It is written before the change is
// carried out, so that its last line can finish what a crash interrupted. The cloud's
// mutex guards it.
type journal struct {
	file *os.File
	size int64 // of the complete lines
	last Entry // zero when the journal is empty
}

// openJournal reads the file to its last complete line and cuts off what follows.
func openJournal(path string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{file: file}
	reader := bufio.NewReader(file)
	for {
		line, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break // an incomplete line was never acknowledged
		}
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: the line at byte %d is not an entry: %w", path, j.size, err), file.Close())
		}
		j.size += int64(len(line))
		j.last = e
	}
	if err := file.Truncate(j.size); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return j, nil
}

// append makes an entry durable, or leaves the journal as it was.
func (j *journal) append(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if _, err := j.file.WriteAt(line, j.size); err != nil {
		return errors.Join(err, j.file.Truncate(j.size))
	}
	if err := j.file.Sync(); err != nil {
		return errors.Join(err, j.file.Truncate(j.size))
	}
	j.size += int64(len(line))
	j.last = e
	return nil
}

// entries returns what follows the entry numbered after, oldest first.
func (j *journal) entries(after int64) ([]Entry, error) {
	all := make([]byte, j.size)
	if _, err := j.file.ReadAt(all, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	entries := []Entry{}
	for line := range bytes.Lines(all) {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, err
		}
		if e.Seq > after {
			entries = append(entries, e)
		}
	}
	return entries, nil
}
