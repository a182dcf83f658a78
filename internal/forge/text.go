package forge

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// plain reports whether s may be one part of a path: of a repository, or a person's name.
func plain(s string) bool {
	if s == "" || len(s) > 255 || s == "." || s == ".." {
		return false
	}
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case strings.ContainsRune("-_.[]", r): // renovate[bot]
		default:
			return false
		}
	}
	return true
}

// commitName reports whether s names a commit.
func commitName(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

// digits reports whether s is the number of something.
func digits(s string) bool { return s != "" && len(s) < 20 && strings.Trim(s, "0123456789") == "" }

// line is what a stranger wrote, for one line: without control characters and what changes the direction of writing, and cut.
func line(s string, limit int) string {
	return cut(strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == utf8.RuneError:
			return -1
		}
		return r
	}, s)), limit)
}

// prose is what a stranger wrote, for many lines.
func prose(s string, limit int) string {
	return cut(strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, s), limit)
}

// cut keeps the first limit characters, the last of which then says that there were more.
func cut(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}
