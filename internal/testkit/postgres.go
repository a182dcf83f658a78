package testkit

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the "pgx" driver of database/sql
)

// PostgreSQL is a private PostgreSQL cluster on loopback. It ends with the program that
// started it, however that ends, and leaves nothing behind.
type PostgreSQL struct {
	port  int
	dir   string
	args  []string
	creds *syscall.Credential // nil: this program's own

	alive   io.Closer // closing it stops the server
	process *exec.Cmd
}

var sharedPostgres = sync.OnceValues(func() (*PostgreSQL, error) {
	p, err := newPostgres("-c", "fsync=off", "-c", "full_page_writes=off")
	if err == nil {
		err = p.start()
	}
	return p, err
})

// Postgres returns the URL of a fresh database, in a cluster that the tests of one
// package share. Its writes are not synced: what survives a crash is for
// PostgresServer.
func Postgres(t testing.TB) string {
	t.Helper()
	p, err := sharedPostgres()
	if err != nil {
		t.Fatal(err)
	}
	return p.Database(t)
}

// PostgresServer starts a cluster of the test's own, which syncs its writes, and can be
// stopped, killed and started again.
func PostgresServer(t testing.TB) *PostgreSQL {
	t.Helper()
	p, err := newPostgres()
	if err == nil {
		err = p.start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.stop("QUIT")
		_ = os.RemoveAll(p.dir) // a temporary folder
	})
	return p
}

// Database makes an empty database and returns its URL.
func (p *PostgreSQL) Database(t testing.TB) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text()[:12])
	p.admin(t, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		if db, err := sql.Open("pgx", p.url("postgres")); err == nil {
			_, _ = db.ExecContext(context.Background(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") // the cluster may be stopped
			_ = db.Close()
		}
	})
	return p.url(name)
}

func (p *PostgreSQL) url(database string) string {
	return fmt.Sprintf("postgres://terrace@127.0.0.1:%d/%s?sslmode=disable", p.port, database)
}

func (p *PostgreSQL) admin(t testing.TB, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", p.url("postgres"))
	if err == nil {
		_, err = db.ExecContext(t.Context(), statement)
		_ = db.Close() // one statement
	}
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Kill ends the cluster without a chance to write anything, as the loss of a machine.
func (p *PostgreSQL) Kill() { p.stop("KILL") }

// Stop ends the cluster as an administrator does in a hurry: transactions are broken off.
func (p *PostgreSQL) Stop() { p.stop("INT") }

// Start starts a stopped cluster on the same port, with the same data.
func (p *PostgreSQL) Start(t testing.TB) {
	t.Helper()
	if err := p.start(); err != nil {
		t.Fatal(err)
	}
}

// postgresFolder finds PostgreSQL's programs, of the newest version that is installed.
func postgresFolder() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	slices.SortFunc(found, func(a, b string) int {
		number := func(s string) int {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(s))) // 0: last
			return n
		}
		return number(b) - number(a)
	})
	found = append(found, "/opt/homebrew/opt/postgresql/bin", "/usr/local/opt/postgresql/bin")
	if path, err := exec.LookPath("initdb"); err == nil {
		found = append(found, filepath.Dir(path))
	}
	for _, dir := range found {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("PostgreSQL is not installed (Debian's package is postgresql); run: scripts/deps test")
}

// PostgresTool is the path of a program that comes with PostgreSQL, such as pg_dump.
func PostgresTool(t testing.TB, name string) string {
	t.Helper()
	bin, err := postgresFolder()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(bin, name)
}

// newPostgres makes a cluster with one user, who needs no password on loopback.
func newPostgres(args ...string) (*PostgreSQL, error) {
	bin, err := postgresFolder()
	if err != nil {
		return nil, err
	}
	p := &PostgreSQL{}
	if p.dir, err = os.MkdirTemp("", "terrace-postgres-"); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 { // PostgreSQL refuses to work for root
		other, err := user.Lookup("postgres")
		if err != nil {
			if other, err = user.Lookup("nobody"); err != nil {
				return nil, err
			}
		}
		uid, err := strconv.ParseUint(other.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(other.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		p.creds = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(p.dir, int(uid), int(gid)); err != nil {
			return nil, err
		}
	}
	data := filepath.Join(p.dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata", data, "--username", "terrace", "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync") //nolint:noctx // bounded work
	initdb.Dir, initdb.SysProcAttr = p.dir, &syscall.SysProcAttr{Credential: p.creds}
	if out, err := initdb.CombinedOutput(); err != nil {
		_ = os.RemoveAll(p.dir) // a temporary folder
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	p.args = append([]string{filepath.Join(bin, "postgres"), "-D", data, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "max_connections=500", "-c", "shared_buffers=64MB", "-c", "logging_collector=off"}, args...)
	return p, nil
}

// keeper starts the program that follows and stops it when its own input ends, which
// the kernel sees to when the tests are gone.
const keeper = `dir=$1; shift
"$@" >"$dir/log" 2>&1 & pid=$!
echo $pid >"$dir/pid"
cat >/dev/null
kill -QUIT $pid 2>/dev/null
wait $pid
[ -e "$dir/keep" ] || rm -rf "$dir"`

func (p *PostgreSQL) start() error {
	for range 5 { // a port may be taken by somebody else meanwhile
		if p.port == 0 {
			port, err := freePort()
			if err != nil {
				return err
			}
			p.port = port
		}
		_ = os.Remove(filepath.Join(p.dir, "keep")) // of an earlier stop
		args := append([]string{"-c", keeper, "sh", p.dir}, p.args...)
		p.process = exec.Command("/bin/sh", append(args, "-p", strconv.Itoa(p.port))...) //nolint:noctx // it ends with this program
		p.process.Dir = p.dir
		p.process.SysProcAttr = &syscall.SysProcAttr{Credential: p.creds, Setpgid: true}
		in, err := p.process.StdinPipe()
		if err != nil {
			return err
		}
		p.alive = in
		if err := p.process.Start(); err != nil {
			return err
		}
		if within(20*time.Second, p.answers) {
			return nil
		}
		log, _ := os.ReadFile(filepath.Join(p.dir, "log")) // for the message only
		if !strings.Contains(string(log), "could not bind") {
			return fmt.Errorf("PostgreSQL does not start:\n%s", log)
		}
		p.stop("QUIT")
		p.port = 0
	}
	return fmt.Errorf("PostgreSQL finds no free port")
}

func (p *PostgreSQL) answers() bool {
	db, err := sql.Open("pgx", p.url("postgres"))
	if err != nil {
		return false
	}
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return db.PingContext(ctx) == nil
}

// stop sends a signal and waits for the end of the server; its data stays.
func (p *PostgreSQL) stop(signal string) {
	if p.process == nil {
		return
	}
	_ = os.WriteFile(filepath.Join(p.dir, "keep"), nil, 0o600) // otherwise its folder is removed
	if content, err := os.ReadFile(filepath.Join(p.dir, "pid")); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(content))); err == nil {
			signals := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT}
			_ = syscall.Kill(pid, signals[signal]) // it may have ended
			within(20*time.Second, func() bool { return syscall.Kill(pid, 0) != nil })
		}
	}
	_ = p.alive.Close()
	_ = p.process.Wait() // it was told to end
	p.process = nil
}
