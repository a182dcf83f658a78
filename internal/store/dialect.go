package store

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

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
	// reverts: an error of a statement undoes the whole transaction, whatever its
	// function makes of it.
	reverts func(error) bool
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

// values are parameters as both databases take them: what is true or false is stored
// as a number, and text is valid UTF-8 without NUL, which PostgreSQL refuses and which
// means nothing in what is stored here.
func values(args []any) []any {
	for i, arg := range args {
		switch v := arg.(type) {
		case bool:
			args[i] = int64(0)
			if v {
				args[i] = int64(1)
			}
		case string:
			if !utf8.ValidString(v) || strings.IndexByte(v, 0) >= 0 {
				args[i] = strings.ReplaceAll(strings.ToValidUTF8(v, "\uFFFD"), "\x00", " ")
			}
		}
	}
	return args
}
