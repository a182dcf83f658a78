package ansi_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/ansi"
)

func TestHarmless(t *testing.T) {
	for name, c := range map[string]struct{ in, stripped, safe string }{
		"plain":              {"a\tb\nc", "a\tb\nc", "a\tb\nc"},
		"colour":             {"\x1b[31mred\x1b[0m on", "red on", "\x1b[0;31mred\x1b[0m on"},
		"bold stays":         {"\x1b[1;92mok", "ok", "\x1b[0;1;92mok\x1b[0m"},
		"256 colours":        {"\x1b[38;5;196mx\x1b[38;2;1;2;3my", "xy", "xy"},
		"cursor":             {"a\x1b[2J\x1b[10;10Hb\x1b[1A\x1b[Kc", "abc", "abc"},
		"hyperlink":          {"\x1b]8;;javascript:alert(1)\x1b\\click\x1b]8;;\x1b\\", "click", "click"},
		"title":              {"\x1b]0;pwned\atext", "text", "text"},
		"unended title":      {"\x1b]0;pwned\nnext line", "\nnext line", "\nnext line"},
		"device control":     {"\x1bPq#0;2;0;0;0\x1b\\after", "after", "after"},
		"C1":                 {"\u009b31mred\u0085x", "redx", "\x1b[0;31mredx\x1b[0m"},
		"truncated":          {"end\x1b[3", "end", "end"},
		"lone escape":        {"end\x1b", "end", "end"},
		"bell and backspace": {"a\a\b\x00b\x7f", "ab", "ab"},
		"carriage return":    {"10%\r20%\r\n", "10%\n20%\n", "10%\n20%\n"},
		"bidi override":      {"a\u202eb", "ab", "ab"},
		"charset":            {"\x1b(Bx", "x", "x"},
		"invalid UTF-8":      {"a\xffb", "a\ufffdb", "a\ufffdb"},
	} {
		if diff := cmp.Diff(c.stripped, ansi.Strip(c.in)); diff != "" {
			t.Errorf("%s stripped: %s", name, diff)
		}
		if diff := cmp.Diff(c.safe, ansi.Safe(c.in)); diff != "" {
			t.Errorf("%s safe: %s", name, diff)
		}
	}
}

func FuzzSafe(f *testing.F) {
	for _, s := range []string{"\x1b[31mred", "\x1b]8;;x\x1b\\", "\x1b\x1b[[[m", "\u009b1m", "\x1bP\x1b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsAny(ansi.Strip(s), "\x1b\a\b\r\x00\u009b") {
			t.Fatalf("%q leaves something in %q", s, ansi.Strip(s))
		}
		safe := ansi.Safe(s)
		if again := ansi.Safe(safe); again != safe {
			t.Fatalf("%q is %q, then %q", s, safe, again)
		}
		for _, part := range strings.Split(safe, "\x1b")[1:] {
			end := strings.IndexByte(part, 'm')
			if end < 1 || part[0] != '[' || strings.Trim(part[1:end], "0123456789;") != "" {
				t.Fatalf("%q leaves the sequence %q", s, part)
			}
		}
	})
}
