package ansible

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// keyAgent is an SSH agent inside of the runner: the private key is in its memory alone.
type keyAgent struct {
	listener net.Listener
	serving  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// startAgent serves one key on a socket.
func startAgent(socket, key, passphrase string) (*keyAgent, error) {
	private, err := privateKey(key, passphrase)
	if err != nil {
		return nil, err
	}
	keys := agent.NewKeyring()
	if err := keys.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		return nil, &Failed{fmt.Sprintf("the secret %s is a key that the runner cannot sign with: %v", KeySecret, err)}
	}
	listener, err := net.Listen("unix", socket) //nolint:noctx // on this machine
	if err != nil {
		return nil, fmt.Errorf("the socket of the agent: %w", err)
	}
	a := &keyAgent{listener: listener, conns: map[net.Conn]bool{}}
	a.serving.Go(func() { a.serve(signer{keys.(agent.ExtendedAgent)}) })
	return a, nil
}

// privateKey reads the key. Keys that went through forms and files come with other line
// ends, or without the last one.
func privateKey(key, passphrase string) (any, error) {
	text := []byte(strings.TrimSpace(strings.ReplaceAll(key, "\r\n", "\n")) + "\n")
	if passphrase != "" {
		private, err := ssh.ParseRawPrivateKeyWithPassphrase(text, []byte(strings.TrimRight(passphrase, "\r\n")))
		if err != nil {
			return nil, &Failed{fmt.Sprintf("the secret %s cannot be opened with %s: %s", KeySecret, PassphraseSecret, plain(err))}
		}
		return private, nil
	}
	private, err := ssh.ParseRawPrivateKey(text)
	var missing *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &missing):
		return nil, &Failed{fmt.Sprintf("the secret %s is a private key with a passphrase; set that as the secret %s, and name it in the ansible block's secrets", KeySecret, PassphraseSecret)}
	case err != nil:
		return nil, &Failed{fmt.Sprintf("the secret %s is not a private key: %s", KeySecret, plain(err))}
	}
	return private, nil
}

func plain(err error) string { return strings.TrimPrefix(err.Error(), "ssh: ") }

func (a *keyAgent) serve(keys agent.Agent) {
	for {
		conn, err := a.listener.Accept()
		if err != nil {
			return // closed
		}
		a.mu.Lock()
		if a.conns == nil {
			_ = conn.Close() // it came too late
		} else {
			a.conns[conn] = true
		}
		a.mu.Unlock()
		a.serving.Go(func() {
			_ = agent.ServeAgent(keys, conn) // until either side closes it
			_ = conn.Close()
			a.mu.Lock()
			delete(a.conns, conn)
			a.mu.Unlock()
		})
	}
}

func (a *keyAgent) close() error {
	err := a.listener.Close()
	a.mu.Lock()
	for conn := range a.conns {
		_ = conn.Close() // nobody is left to talk to
	}
	a.conns = nil
	a.mu.Unlock()
	a.serving.Wait()
	return err
}

// signer lists and signs, and lets nobody change what it holds.
type signer struct{ agent.ExtendedAgent }

var errFixed = errors.New("the keys of this agent are those of the run")

func (signer) Add(agent.AddedKey) error   { return errFixed }
func (signer) Remove(ssh.PublicKey) error { return errFixed }
func (signer) RemoveAll() error           { return errFixed }
func (signer) Lock([]byte) error          { return errFixed }
func (signer) Unlock([]byte) error        { return errFixed }
