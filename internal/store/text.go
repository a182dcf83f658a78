package store

import (
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/terrace-cd/terrace/internal/core"
)

// values are parameters as both databases take them: what is true or false is stored
// as a number. Text that PostgreSQL cannot keep is refused, with either database: a
// name that is kept in another spelling would be somebody else's.
func values(args []any) ([]any, error) {
	for i, arg := range args {
		var text string
		switch v := arg.(type) {
		case bool:
			args[i] = int64(0)
			if v {
				args[i] = int64(1)
			}
		case string:
			text = v
		case *string:
			if v != nil {
				text = *v
			}
		default:
			if of := reflect.ValueOf(arg); of.Kind() == reflect.String { // a status, for example
				text = of.String()
			}
		}
		if !storable(text) {
			return nil, core.Errorf(core.Invalid, "%.80q cannot be stored or looked for: text has to be UTF-8, without NUL characters", text)
		}
	}
	return args, nil
}

func storable(text string) bool { return utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 }

// prose is text for people as it is stored. It comes from programs and commits, so
// what cannot be kept of it is replaced and is no reason to refuse the rest.
func prose(text string) string {
	if storable(text) {
		return text
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", " ")
}
