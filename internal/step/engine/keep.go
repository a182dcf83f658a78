package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/terrace-cd/terrace/internal/core"
)

// keep starts the providers that run on between the commands of the session. A provider
// is kept only when it has exactly one configuration in all of the run, because the
// process that is handed to the engine holds one, and only when its package has the hash
// that the lock file asks for, because the engine does not look at the package of a
// provider that it did not start. Everything else is left to the engine.
func (s *Session) keep(ctx context.Context) error {
	if !s.o.KeepProviders {
		return nil
	}
	if s.looked && s.running() {
		return nil
	}
	s.release()
	s.looked = true
	data, err := s.lockData()
	if err != nil || data == nil {
		return nil //nolint:nilerr // without a lock file there is nothing to check against
	}
	if err := s.config.whole(); err != nil {
		return nil //nolint:nilerr // the engine will say what is wrong with the modules
	}
	single, locks := s.config.single(), readLock(data)
	var group sync.WaitGroup
	var mu sync.Mutex
	var refused []string
	for a := range single {
		l, ok := locks[a]
		if !ok {
			continue
		}
		dir := filepath.Join(s.o.Dir, dataDir, "providers", a.path(l.version))
		group.Go(func() {
			allowed, known, err := verify(dir, l)
			switch {
			case err != nil || !known:
				return
			case !allowed:
				mu.Lock()
				defer mu.Unlock()
				refused = append(refused, fmt.Sprintf("%s %s", a, l.version))
				return
			}
			p, err := startPlugin(ctx, a, program(dir, a), s.o.Dir, s.plain())
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				s.say(fmt.Sprintf("provider %s is started anew for each command: %v", a, err))
				return
			}
			s.kept = append(s.kept, p)
		})
	}
	group.Wait()
	if len(refused) == 0 {
		return nil
	}
	s.release()
	if s.skipped {
		// What is in the kept tree was changed; init puts it right, or says what is wrong.
		s.say(fmt.Sprintf("the package of provider %s is not what the lock file asks for; running init", refused[0]))
		if err := s.initialise(ctx); err != nil {
			return err
		}
		return s.keep(ctx)
	}
	return core.Errorf(core.Invalid, "the package of provider %s does not match any of the checksums in %s: it was changed after it was locked, or the lock file was. It is not used", refused[0], filepath.Join(s.base, lockFile))
}

// running reports whether all that is kept still runs. A provider that crashed in one
// command must not fail the next.
func (s *Session) running() bool {
	for _, p := range s.kept {
		select {
		case <-p.Done():
			return false
		default:
		}
	}
	return true
}

func verify(dir string, l locked) (allowed, known bool, err error) {
	sum, err := hashPackage(dir)
	if err != nil {
		return false, false, err
	}
	allowed, known = l.has(sum)
	return allowed, known, nil
}

// release ends the providers that were kept.
func (s *Session) release() {
	var group sync.WaitGroup
	for _, p := range s.kept {
		group.Go(p.stop)
	}
	group.Wait()
	s.kept, s.looked = nil, false
}

// reattach is how the engine is told of running providers.
func reattach(kept []*plugin) string {
	type addr struct{ Network, String string }
	type config struct {
		Protocol        string
		ProtocolVersion int
		Pid             int
		Test            bool // they are not the engine's to end
		Addr            addr
	}
	all := map[address]config{}
	for _, p := range kept {
		all[p.address] = config{"grpc", p.protocol, p.PID(), true, addr{p.network, p.at}}
	}
	data, err := json.Marshal(all)
	if err != nil {
		return "{}" // strings and numbers always encode
	}
	return string(data)
}
