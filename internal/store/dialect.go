package store

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
)

// dialect is what differs between the two databases. Statements are written once, with
// ? for parameters.
type dialect struct {
	migrations string // folder of the schema
	goose      goose.Dialect
	write      string // begins a transaction that writes
	read       string // begins one that reads a snapshot
	rewrite    func(query string) string
	// lock waits for the right to write, in a transaction that has begun, and reads the
	// database's clock; now only reads the clock.
	lock, now func(ctx context.Context, conn *sql.Conn) (time.Time, error)
	// keepStatements: prepared statements are kept by the session, because the driver
	// does not.
	keepStatements bool
}

// numbered writes ? as $1, $2 and so on. No statement has a ? that means anything else.
func numbered() func(string) string {
	var known sync.Map // there are a few hundred statements
	return func(query string) string {
		if s, ok := known.Load(query); ok {
			return s.(string)
		}
		var b strings.Builder
		n := 0
		for i := range len(query) {
			if query[i] != '?' {
				b.WriteByte(query[i])
				continue
			}
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
		}
		known.Store(query, b.String())
		return b.String()
	}
}
