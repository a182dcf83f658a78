package engine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/process"
)

// The handshake of provider plugins, as any client of go-plugin does it, but without
// mutual TLS, which an engine that did not start the plugin could not take part in. The
// socket is in a directory of the run.
const (
	cookie    = "TF_PLUGIN_MAGIC_COOKIE=d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
	protocols = "PLUGIN_PROTOCOL_VERSIONS=5,6"
	handshake = 20 * time.Second
)

// plugin is a running provider.
type plugin struct {
	*process.Process
	address     address
	protocol    int
	network, at string
}

// startPlugin starts a provider and waits until it listens.
func startPlugin(ctx context.Context, a address, file, dir string, env []string) (*plugin, error) {
	if file == "" {
		return nil, errors.New("its package has no program")
	}
	var said tail
	var mu sync.Mutex
	first := make(chan string, 1)
	out := process.Lines(0, func(line string) {
		select {
		case first <- line:
		default: // only the first line is for us
		}
	})
	log := process.Lines(0, func(line string) {
		mu.Lock()
		defer mu.Unlock()
		said.add(line)
	})
	p, err := process.Start(process.Command{Args: []string{file}, Dir: dir, Env: append(env, cookie, protocols), Stdout: out, Stderr: log})
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(handshake)
	defer timer.Stop()
	select {
	case line := <-first:
		started, err := parseHandshake(line)
		if err == nil {
			started.Process, started.address = p, a
			return started, nil
		}
		_ = p.Kill() // it is of no use
		return nil, err
	case <-p.Done():
		err = errors.New("it ended at once")
	case <-timer.C:
		err = fmt.Errorf("it did not say where it listens within %s", handshake)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	_ = p.Kill() // it is of no use
	mu.Lock()
	defer mu.Unlock()
	if text := said.String(); text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return nil, err
}

// parseHandshake reads CORE|PROTOCOL|NETWORK|ADDRESS|KIND|CERTIFICATE.
func parseHandshake(line string) (*plugin, error) {
	parts := strings.Split(strings.TrimSpace(line), "|")
	if len(parts) < 5 || parts[0] != "1" || parts[4] != "grpc" || len(parts) > 5 && parts[5] != "" {
		return nil, fmt.Errorf("its handshake is not understood: %.100q", line)
	}
	protocol, err := strconv.Atoi(parts[1])
	if err != nil || protocol < 5 || protocol > 6 {
		return nil, fmt.Errorf("it speaks protocol %.20q", parts[1])
	}
	if parts[2] != "unix" && parts[2] != "tcp" || parts[3] == "" {
		return nil, fmt.Errorf("it listens on %.100q", parts[2]+" "+parts[3])
	}
	return &plugin{protocol: protocol, network: parts[2], at: parts[3]}, nil
}

// stop ends the provider. It holds nothing that would have to be saved.
func (p *plugin) stop() { _ = p.Kill() }
