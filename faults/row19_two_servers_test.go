package faults

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/terrace-cd/terrace/internal/testkit"
)

func init() {
	register(row{number: 19, fault: "two servers on one PostgreSQL, one of them killed", only: "postgres", run: twoServers})
}

// Two servers share a database, a storage and a master key. Whichever of them is killed or
// stopped for a while, at any moment, the other one goes on: no stage is entered twice, no
// run started twice, and nobody has to help.
func twoServers(t *trial) {
	bucket := testkit.S3(t)
	key := filepath.Join(t.TempDir(), "master.key")
	if err := os.WriteFile(key, []byte("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	second := &secondServer{}
	w := newWorld(t, func(w *world) {
		w.flags = append(w.flags, "--storage", bucket.URL, "--master-key", "file:"+key)
		w.env = append(w.env, bucket.Env()...)
		second.listen = fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t))
		w.front = "http://" + failover(t, w.listen, second.listen)
	})
	second.w = w
	second.start()
	t.Cleanup(second.kill)
	for i := range t.times(3, 30) {
		seq := w.watch.last()
		commit := w.commit()
		w.passes(w.somewhere(t.rng))
		switch i % 3 {
		case 2: // it is not dead, it only does not answer, and goes on later
			w.signal(w.server.Process.Pid, syscall.SIGSTOP)
			w.passes(leaderLease + time.Second)
			w.signal(w.server.Process.Pid, syscall.SIGCONT)
			t.injected("the first server was stopped for longer than the leader's lease lasts")
		case 1:
			second.kill()
			second.start()
			t.injected("the second server was killed")
		default:
			w.stop(syscall.SIGKILL)
			w.passes(time.Duration(t.rng.Int64N(int64(3 * time.Second))))
			w.start()
			t.injected("the first server was killed")
		}
		did := w.settle(commit)
		t.wants(did == settled{}, "somebody had to help: %+v%s", did, tell(w.watch.since(seq)))
		w.check()
	}
	w.checkAll()
}

// leaderLease is longer than a server leads without renewing it.
const leaderLease = 16 * time.Second

// secondServer is another server of a world, with a folder of its own.
type secondServer struct {
	w      *world
	listen string
	cmd    *exec.Cmd
}

func (s *secondServer) start() {
	s.w.Helper()
	log, err := os.OpenFile(s.w.file("server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.w.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the server has its own
	args := append([]string{"server", "--data", s.w.file("data-2"), "--listen", s.listen, "--database", s.w.database}, s.w.flags...)
	s.cmd = exec.Command(s.w.program, args...) //nolint:noctx // ended by hand, that is what it is for
	s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = s.w.env, log, log
	if err := s.cmd.Start(); err != nil {
		s.w.Fatal(err)
	}
	testkit.Eventually(s.w, time.Minute, "the second server to answer", func() bool { return answers("http://" + s.listen + "/api/v1/health") })
}

func (s *secondServer) kill() {
	_ = s.cmd.Process.Kill() // it may have ended
	_ = s.cmd.Wait()         // by a signal
}

// failover is a place that passes connections on to the first address that takes them.
func failover(t *trial, addresses ...string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed with the test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			go pass(from, addresses)
		}
	}()
	return listener.Addr().String()
}

func pass(from net.Conn, addresses []string) {
	defer func() { _ = from.Close() }()
	for _, address := range addresses {
		to, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			continue
		}
		var both sync.WaitGroup
		for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
			both.Go(func() {
				_, err := io.Copy(pair[1], pair[0])
				if err == nil || errors.Is(err, net.ErrClosed) {
					_ = pair[1].(*net.TCPConn).CloseWrite() // the other end may be gone
					return
				}
				_ = pair[1].Close() // one side broke: so does the other
			})
		}
		both.Wait()
		_ = to.Close()
		return
	}
}
