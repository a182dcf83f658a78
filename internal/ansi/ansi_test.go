package ansi_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/ansi"
)

func TestSpans(t *testing.T) {
	t.Parallel()
	plain := func(s string) []ansi.Span { return []ansi.Span{{Text: s}} }
	for _, tt := range []struct {
		name, in string
		want     []ansi.Span
	}{
		{"plain", "no changes", plain("no changes")},
		{"nothing", "", nil},
		{"colour", "\x1b[32mok\x1b[0m: web", []ansi.Span{{"ok", ansi.Style{Text: ansi.Green}}, {": web", ansi.Style{}}}},
		{"bold and bright", "\x1b[1;91mError\x1b[22m: x", []ansi.Span{{"Error", ansi.Style{Text: ansi.Red.Bright(), Bold: true}}, {": x", ansi.Style{Text: ansi.Red.Bright()}}}},
		{"empty parameters reset", "\x1b[4ma\x1b[mb", []ansi.Span{{"a", ansi.Style{Underline: true}}, {"b", ansi.Style{}}}},
		{"256 colours", "\x1b[38;5;196mred", []ansi.Span{{"red", ansi.Style{Text: ansi.Red.Bright()}}}},
		{"true colour", "\x1b[48;2;0;130;0mgreen", []ansi.Span{{"green", ansi.Style{Back: ansi.Green}}}},
		{"colons", "\x1b[38:5:4mblue", []ansi.Span{{"blue", ansi.Style{Text: ansi.Blue}}}},
		{"the same style twice is one span", "\x1b[31ma\x1b[31mb", []ansi.Span{{"ab", ansi.Style{Text: ansi.Red}}}},
		{"cursor", "a\x1b[2Ab\x1b[1Kc\x1b[Hd", plain("abcd")},
		{"link", "see \x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\", plain("see here")},
		{"title ended by a bell", "\x1b]0;owned\x07after", plain("after")},
		{"clipboard", "\x1b]52;c;cm0gLXJm\x07x", plain("x")},
		{"device control", "\x1bP1$r0m\x1b\\x", plain("x")},
		{"string without end", "a\x1b]0;never ends", plain("a")},
		{"sequence without end", "a\x1b[31", plain("a")},
		{"escape at the end", "a\x1b", plain("a")},
		{"single characters", "\u009b31mred\u009d0;x\u009c!", []ansi.Span{{"red!", ansi.Style{Text: ansi.Red}}}},
		{"backspaces do not take back", "rm -rf\b\b\b\b\b\bls", plain("rm -rfls")},
		{"character set", "\x1b(0lqk", plain("lqk")},
		{"full reset", "\x1bcx", plain("x")},
		{"tab", "a\tb", plain("a\tb")},
		{"bell, null", "a\a\x00b", plain("ab")},
		{"right-to-left override", "safe\u202eevil\u2066", plain("safeevil")},
		{"zero width", "pass\u200bword", plain("password")},
		{"not UTF-8", "a\xff\x9bb", plain("a\ufffd\ufffdb")},
		{"markup is only text", "<script>alert(1)</script>", plain("<script>alert(1)</script>")},
		{"private parameters", "\x1b[>4;1mx\x1b[?25ly", plain("xy")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, ansi.Spans(tt.in)); diff != "" {
				t.Errorf("spans (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStripAndTerminal(t *testing.T) {
	t.Parallel()
	const in = "one\r\n10%\r100%\n\x1b[31mred\nplain\x1b[2J"
	if got, want := ansi.Strip(in), "one\n10%\n100%\nred\nplain"; got != want {
		t.Errorf("Strip: %q, want %q", got, want)
	}
	if got, want := ansi.Terminal(in), "one\n10%\n100%\n\x1b[31mred\x1b[0m\nplain"; got != want {
		t.Errorf("Terminal: %q, want %q", got, want)
	}
}

func TestClasses(t *testing.T) {
	t.Parallel()
	spans := ansi.Spans("\x1b[1;31;107mx")
	if got, want := spans[0].Style.Classes(), "t2 b16 bold"; got != want {
		t.Errorf("classes %q, want %q", got, want)
	}
	if got := (ansi.Style{}).Classes(); got != "" {
		t.Errorf("classes of plain text: %q", got)
	}
}

// FuzzSpans feeds anything: what comes out is safe, and cleaning it again changes
// nothing.
func FuzzSpans(f *testing.F) {
	for _, s := range []string{"", "\x1b[31mred\x1b[0m", "\x1b]8;;x\x1b\\y", "\u009b2J", "a\x1b[38;2;1;2;3mb", "\x1b\x1b[[m", "\xc2", "\x1bP\x1b[31m\x07", "a\rb\nc"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		stripped, shown := ansi.Strip(in), ansi.Terminal(in)
		for i, r := range stripped {
			if r != '\n' && r != '\t' && (r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e) {
				t.Fatalf("%q: character %U at %d is left", in, r, i)
			}
		}
		if !utf8.ValidString(stripped) {
			t.Fatalf("%q: not UTF-8", in)
		}
		if again := ansi.Strip(stripped); again != stripped {
			t.Fatalf("%q: stripped again: %q, not %q", in, again, stripped)
		}
		if ansi.Strip(shown) != stripped {
			t.Fatalf("%q: what is shown says something else: %q", in, shown)
		}
		if again := ansi.Terminal(shown); again != shown {
			t.Fatalf("%q: cleaned again: %q, not %q", in, again, shown)
		}
		for rest := shown; ; {
			_, after, found := strings.Cut(rest, "\x1b")
			if !found {
				break
			}
			end := strings.IndexAny(after, "m")
			if end < 1 || after[0] != '[' || strings.Trim(after[1:end], "0123456789;") != "" {
				t.Fatalf("%q: a sequence other than a colour is left in %q", in, shown)
			}
			rest = after[end:]
		}
	})
}
