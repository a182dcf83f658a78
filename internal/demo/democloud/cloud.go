package democloud

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Options of a cloud.
type Options struct {
	// Dir keeps everything. It is made when it is not there.
	Dir string
	// Addr is where the API listens, a loopback address. Port 0 (the default is
	// 127.0.0.1:0) means the port of the last time, else any free one.
	Addr string
	// Latency is how long a resource takes from being made to being ready, unless
	// its maker asks for another.
	Latency time.Duration
	// HealthEvery is how often load balancers look at their servers, 500 ms by default.
	HealthEvery time.Duration
}

// Cloud is a running cloud. Its methods may be called by several goroutines at once.
type Cloud struct {
	opts   Options
	folder *folder
	key    []byte
	faults faults

	mu      sync.Mutex // guards what follows; held while a change is made durable
	journal *journal
	items   map[string]*item
	broken  error // a change that was half made; only a restart repairs it

	url      string
	api      *http.Server
	ctx      context.Context // ends with the cloud
	cancel   context.CancelFunc
	running  sync.WaitGroup
	closing  sync.Once
	closeErr error
}

// item is a resource and what runs for it.
type item struct {
	Resource
	ready    chan struct{} // closed when it is no longer being created, or gone
	machine  *machine
	balancer *balancer
}

// New opens the folder and finishes what a crash interrupted. Conflict when another
// cloud uses the folder.
func New(opts Options) (*Cloud, error) {
	if opts.Dir == "" {
		return nil, core.Errorf(core.Invalid, "democloud needs a folder to keep its resources in")
	}
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	if opts.HealthEvery == 0 {
		opts.HealthEvery = 500 * time.Millisecond
	}
	if err := checkLoopback(opts.Addr); err != nil {
		return nil, err
	}
	f, err := openFolder(opts.Dir)
	if err != nil {
		return nil, err
	}
	c := &Cloud{opts: opts, folder: f, items: map[string]*item{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if err := c.open(); err != nil {
		c.cancel()
		return nil, errors.Join(err, f.close())
	}
	return c, nil
}

func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return core.Errorf(core.Invalid, "%q is not an address such as 127.0.0.1:8790: %w", addr, err)
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return core.Errorf(core.Invalid, "democloud has no logins and listens on loopback only, not on %q", addr)
	}
	return nil
}

func (c *Cloud) open() error {
	var err error
	if c.key, err = c.openKey(); err != nil {
		return err
	}
	if c.journal, err = openJournal(c.folder.path("journal.jsonl")); err != nil {
		return err
	}
	resources, err := c.folder.load()
	if err == nil {
		for _, r := range resources {
			c.items[r.ID] = newItem(r)
		}
		err = c.redo(c.journal.last)
	}
	if err != nil {
		return errors.Join(err, c.journal.file.Close())
	}
	return nil
}

func (c *Cloud) openKey() ([]byte, error) {
	key, err := os.ReadFile(c.folder.path("key"))
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, 32)
		if _, err := rand.Read(key); err != nil {
			return nil, err
		}
		return key, writeFile(c.folder.path("key"), key)
	}
	return key, err
}

// redo carries out the last change of the journal if the process died in between.
// Changes are made one at a time, so that no earlier one can be missing.
func (c *Cloud) redo(last Entry) error {
	if last.Seq == 0 {
		return nil
	}
	it, there := c.items[last.Resource.ID]
	if last.Operation == Delete {
		delete(c.items, last.Resource.ID)
		return errors.Join(c.folder.remove(last.Resource), c.folder.erase(last.Resource))
	}
	if there && it.Seq >= last.Seq {
		return nil
	}
	c.items[last.Resource.ID] = newItem(last.Resource)
	err := c.folder.put(last.Resource)
	if last.Operation == Create {
		err = errors.Join(err, c.format(last.Resource))
	}
	return err
}

// format makes the folder of a new resource; that of a server has the files of its image.
func (c *Cloud) format(r Resource) error {
	if err := c.folder.format(r); err != nil || r.Type != Server {
		return err
	}
	image := c.items[r.Spec.Image]
	if image == nil {
		return nil // any word
	}
	for name, text := range image.Spec.Files {
		if err := writeFile(filepath.Join(c.folder.disk(r), filepath.FromSlash(name)), []byte(text)); err != nil {
			return err
		}
	}
	return nil
}

func newItem(r Resource) *item {
	it := &item{Resource: r, ready: make(chan struct{})}
	if r.State != Creating {
		close(it.ready)
	}
	return it
}

// Start listens, and starts every server and load balancer there is.
func (c *Cloud) Start() error {
	ln, err := c.listen(c.opts.Addr)
	if err != nil {
		return err
	}
	c.url = "http://" + ln.Addr().String()
	c.mu.Lock()
	for _, it := range c.items {
		switch it.State {
		case Creating:
			c.finishLater(it)
		case Ready:
			err = errors.Join(err, c.power(it))
		}
	}
	c.point()
	c.mu.Unlock()
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	c.api = &http.Server{Handler: c.routes(), ReadHeaderTimeout: 10 * time.Second}
	c.running.Go(func() { _ = c.api.Serve(ln) }) // ends with Close, says nothing else
	return nil
}

// listen takes the address asked for; with port 0 it tries that of the last time
// first, so that what is configured with it goes on working after a restart.
func (c *Cloud) listen(addr string) (net.Listener, error) {
	remembered := c.folder.path("address")
	if strings.HasSuffix(addr, ":0") {
		if last, err := os.ReadFile(remembered); err == nil {
			if ln, err := net.Listen("tcp", string(last)); err == nil {
				return ln, nil
			}
		}
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, core.Errorf(core.Unavailable, "democloud cannot listen on %s: %w", addr, err)
	}
	if err := writeFile(remembered, []byte(ln.Addr().String())); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// URL is where the API is, known after Start.
func (c *Cloud) URL() string { return c.url }

// Close stops everything that runs and leaves the folder for the next time.
func (c *Cloud) Close() error {
	c.closing.Do(func() {
		c.cancel() // ends what hangs
		var errs []error
		if c.api != nil {
			errs = append(errs, c.api.Close())
		}
		c.running.Wait()
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, it := range c.items {
			c.unpower(it)
		}
		errs = append(errs, c.journal.file.Close(), c.folder.close())
		c.closeErr = errors.Join(errs...)
	})
	return c.closeErr
}

// view is a resource as it is shown: with what follows from the rest.
func (c *Cloud) view(r Resource) Resource {
	switch r.Type {
	case Server:
		r.Root = c.folder.disk(r)
	case Database:
		r.Path = c.folder.disk(r)
		r.URL = "file://" + r.Path
		r.Username = "app"
		mac := hmac.New(sha256.New, c.key)
		_, _ = fmt.Fprint(mac, r.ID) // a hash never fails to write
		r.Password = hex.EncodeToString(mac.Sum(nil))[:32]
	}
	if r.Address != "" {
		r.URL = "http://" + r.Address
	}
	return r
}
