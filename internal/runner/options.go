package runner

import (
	"encoding/json"
	"io"
	"path/filepath"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// maxOptions bounds the document on standard input.
const maxOptions = 1 << 20

// Options of one attempt.
type Options struct {
	wire.Exec
	// Heartbeat is how often the runner says that it lives; default 5 s.
	Heartbeat time.Duration
}

// ReadOptions reads the document that an executor gives to `terrace exec` on standard
// input. An Invalid error says what is missing: somebody started it by hand.
func ReadOptions(r io.Reader) (Options, error) {
	var o Options
	if err := json.NewDecoder(io.LimitReader(r, maxOptions)).Decode(&o.Exec); err != nil {
		return o, core.Errorf(core.Invalid, "a runner is started by the server, which gives it its orders on standard input; these cannot be read: %w", err)
	}
	return o, o.check()
}

func (o *Options) check() error {
	for name, value := range map[string]string{"server": o.Server, "run": o.Run, "token": o.Token, "dir": o.Dir, "work": o.Work} {
		if value == "" {
			return core.Errorf(core.Invalid, "the runner's orders have no %q", name)
		}
	}
	for name, dir := range map[string]string{"dir": o.Dir, "work": o.Work} {
		if !filepath.IsAbs(dir) {
			return core.Errorf(core.Invalid, "the runner's orders have a %q that is not absolute: %s", name, dir)
		}
	}
	if o.Cache == "" {
		o.Cache = filepath.Join(o.Work, "cache")
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = 5 * time.Second
	}
	return nil
}
