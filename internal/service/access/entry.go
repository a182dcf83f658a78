package access

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// entryLife is how long a link that lets a browser in is good.
const entryLife = 10 * time.Minute

// browserLife is how long a browser that such a link let in may come back.
const browserLife = 30 * 24 * time.Hour

// entries are links that let a browser in once. They live in memory only: a server
// that restarts forgets them, and people ask for another.
type entries struct {
	mu    sync.Mutex
	codes map[string]entry
}

type entry struct {
	secret string
	until  time.Time
}

// NewEntry makes a code that Redeem exchanges, once, for a token of the browser's own.
// It lets in for as long as the token of who asks, which ends it when it is revoked, and
// lets do the same.
func (s *Service) NewEntry(ctx context.Context, who Identity) (code string, err error) {
	lifetime := browserLife
	if until := who.Token.Expires; !until.IsZero() {
		lifetime = max(time.Second, min(lifetime, time.Until(until))) // 0 would mean for ever
	}
	_, secret, err := s.NewToken(ctx, who.Name(), core.Token{Name: who.Token.User, User: who.Token.User, Role: who.Token.Role,
		Project: who.Token.Project, Environment: who.Token.Environment, Parent: who.Token.ID}, lifetime)
	if err != nil {
		return "", err
	}
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", err
	}
	code = hex.EncodeToString(random[:])
	now := time.Now()
	s.entries.mu.Lock()
	defer s.entries.mu.Unlock()
	if s.entries.codes == nil {
		s.entries.codes = map[string]entry{}
	}
	for old, e := range s.entries.codes {
		if now.After(e.until) {
			delete(s.entries.codes, old)
		}
	}
	s.entries.codes[code] = entry{secret: secret, until: now.Add(entryLife)}
	return code, nil
}

// Redeem exchanges a code for the secret of a token. A code works once.
func (s *Service) Redeem(code string) (secret string, ok bool) {
	s.entries.mu.Lock()
	defer s.entries.mu.Unlock()
	e, ok := s.entries.codes[code]
	delete(s.entries.codes, code)
	return e.secret, ok && time.Now().Before(e.until)
}
