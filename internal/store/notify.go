package store

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// channel is where servers on one PostgreSQL database tell each other of changes.
const channel = "terrace_changes"

const (
	// gatherTopics is how long topics are gathered into one message.
	gatherTopics = 20 * time.Millisecond
	// reconnectAfter is the pause before a lost connection is made again.
	reconnectAfter = time.Second
)

// Wire carries topics between servers on one database. Losing one loses no work:
// whoever hears it only looks earlier.
type Wire struct {
	db     *DB
	origin string

	mu     sync.Mutex
	topics map[string]bool
	wake   chan struct{}
}

// Wire returns nil for a database that only one server can use.
func (db *DB) Wire() *Wire {
	if db.config == nil {
		return nil
	}
	return &Wire{db: db, origin: rand.Text()[:8], topics: map[string]bool{}, wake: make(chan struct{}, 1)}
}

// Say tells the other servers. It never blocks.
func (w *Wire) Say(topic string) {
	w.mu.Lock()
	w.topics[topic] = true
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run passes on what is said, and calls heard for what others say, until ctx ends;
// with "" after a connection was lost, when something may have been missed.
func (w *Wire) Run(ctx context.Context, heard func(topic string)) {
	var both sync.WaitGroup
	both.Go(func() { w.loop(ctx, w.speak) })
	both.Go(func() {
		first := true
		w.loop(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
				return err
			}
			if !first {
				heard("")
			}
			first = false
			for {
				message, err := conn.WaitForNotification(ctx)
				if err != nil {
					return err
				}
				if origin, topic, _ := strings.Cut(message.Payload, " "); origin != w.origin {
					heard(topic)
				}
			}
		})
	})
	both.Wait()
}

// loop calls f with a connection, again and again until ctx ends. Why one was lost is
// told by whoever needs the database for more than speed.
func (w *Wire) loop(ctx context.Context, f func(context.Context, *pgx.Conn) error) {
	for ctx.Err() == nil {
		if conn, err := pgx.ConnectConfig(ctx, w.db.config.Copy()); err == nil {
			_ = f(ctx, conn)
			_ = conn.Close(context.WithoutCancel(ctx)) // it may be lost
		}
		select {
		case <-ctx.Done():
		case <-time.After(reconnectAfter):
		}
	}
}

func (w *Wire) speak(ctx context.Context, conn *pgx.Conn) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(gatherTopics):
		}
		w.mu.Lock()
		var messages []string
		for topic := range w.topics {
			messages = append(messages, w.origin+" "+topic)
		}
		clear(w.topics)
		w.mu.Unlock()
		if _, err := conn.Exec(ctx, "SELECT pg_notify($1, m) FROM unnest($2::text[]) m", channel, messages); err != nil {
			return err
		}
	}
}
