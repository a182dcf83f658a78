package ansible

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/wire"
)

const (
	// maxEvent bounds one line of the events; a longer one is skipped.
	maxEvent = 1 << 20
	// progressEvery is how often it is told how it goes.
	progressEvery = time.Second
	// drain is how long events may take to arrive that were told before Ansible's end.
	drain = 2 * time.Second
)

// event is what the callbacks tell, see terrace_events.py.
type event struct {
	Event string `json:"event"`
	Host  string `json:"host"`
	Task  string `json:"task"`
	Path  string `json:"path"`

	Message string `json:"message"`
	Stderr  string `json:"stderr"`
	Lasting bool   `json:"lasting"`
	Shown   string `json:"shown"` // the host key that is another one
	Changed bool   `json:"changed"`
	Handler bool   `json:"handler"`
	Diff    string `json:"diff"`

	Plays       []planned `json:"plays"`
	Play        string    `json:"play"`
	Hosts       []string  `json:"hosts"`
	Failed      []string  `json:"failed"`
	Counted     []string  `json:"counted"`
	Unreachable []string  `json:"unreachable"`

	// What a recap counts comes under names that mean something else before it.
	Counts wire.Recap `json:"-"`
}

type planned struct {
	Play  string    `json:"play"`
	Hosts *[]string `json:"hosts"` // nil: not known before it begins
}

// readEvent reads a line; false when it is none.
func readEvent(line []byte) (e event, ok bool) {
	var kind struct {
		Event string `json:"event"`
	}
	if json.Unmarshal(line, &kind) != nil {
		return e, false
	}
	if kind.Event == "recap" {
		e.Event = kind.Event
		return e, json.Unmarshal(line, &e.Counts) == nil
	}
	return e, json.Unmarshal(line, &e) == nil
}

// listening is the reading of events while Ansible runs.
type listening struct {
	ours, theirs *os.File
	reading      sync.WaitGroup
	done         chan struct{}
	telling      sync.WaitGroup
}

// listen takes events from a pipe as they come.
func (r *results) listen(progress func([]wire.HostResult)) (*listening, error) {
	ours, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	l := &listening{ours: ours, theirs: theirs, done: make(chan struct{})}
	l.reading.Go(func() { r.read(ours) })
	if progress != nil {
		l.telling.Go(func() { r.tell(progress, l.done) })
	}
	return l, nil
}

// end is called when nobody writes any more.
func (l *listening) end() {
	_ = l.ours.SetReadDeadline(time.Now().Add(drain)) // something that has hidden from us may hold the other end
	l.reading.Wait()
	close(l.done)
	l.telling.Wait()
	_ = l.ours.Close() // only read from
}

func (r *results) read(from io.Reader) {
	lines := bufio.NewReaderSize(from, 64<<10)
	for {
		line, err := readLine(lines)
		if e, ok := readEvent(line); ok {
			r.take(e)
		}
		if err != nil {
			return // the end of the pipe
		}
	}
}

// readLine returns the next line, or nothing of one that is too long.
func readLine(from *bufio.Reader) (line []byte, err error) {
	long := false
	for {
		part, err := from.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxEvent; long {
			line = nil
		} else {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSpace(line), err
		}
	}
}

// tell calls progress with what is news, until done.
func (r *results) tell(progress func([]wire.HostResult), done <-chan struct{}) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	told := 0
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		if now, seen := r.news(); seen != told {
			told = seen
			progress(now)
		}
	}
}

func (r *results) news() ([]wire.HostResult, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hostResults(), r.seen
}
