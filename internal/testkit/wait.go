package testkit

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Eventually asks cond until it is true and fails the test when it is not within
// timeout. what completes "waited … for". It asks less and less often: what takes long
// takes longer on a machine that is busy with being asked.
func Eventually(t testing.TB, timeout time.Duration, what string, cond func() bool) {
	t.Helper()
	if !within(timeout, cond) {
		t.Fatalf("waited %s for %s", timeout, what)
	}
}

func within(timeout time.Duration, cond func() bool) bool {
	deadline := time.Now().Add(timeout)
	for pause := 10 * time.Millisecond; ; pause = min(pause*5/4, 100*time.Millisecond) {
		if cond() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pause)
	}
}

// FreePort returns a loopback port that nothing listened on a moment ago, for programs
// that cannot choose one themselves.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// freePort stays below the ports that systems give to outgoing connections (from 32768 on,
// Linux; others begin higher): what is killed and started again wants its port back, and a
// connection may have taken it in between.
func freePort() (int, error) {
	const from, to, tries = 12000, 32000, 100
	var err error
	for range tries {
		port := from + rand.IntN(to-from)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		var l net.Listener
		if l, err = net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.Join(errors.New("no free port was found"), err)
}

// given are the ports that this process gave away.
var given sync.Map
