package web

import (
	"strings"
	"testing"
	"testing/quick"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/wire"
)

// read makes sections of chunks, given as pairs of phase and text.
func read(pairs ...string) sections {
	var l lines
	var s sections
	for i := 0; i < len(pairs); i += 2 {
		s.collect(l.add(wire.LogChunk{Seq: int64(i), Phase: pairs[i], Text: pairs[i+1]}))
	}
	return s
}

func flat(s sections) []string {
	out := []string{}
	for _, in := range s.List {
		for _, l := range in.Lines {
			out = append(out, in.Phase+" "+l.Text)
		}
	}
	return out
}

func TestLinesOfChunks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		pairs []string
		want  []string
	}{
		{"whole lines", []string{"p", "a\nb\n"}, []string{"p a", "p b"}},
		{"a line in three pieces", []string{"p", "a", "p", "b", "p", "c\nd"}, []string{"p abc", "p d"}},
		{"empty lines count", []string{"p", "a\n\nb\n"}, []string{"p a", "p ", "p b"}},
		{"a break in two pieces", []string{"p", "a\r", "p", "\nb"}, []string{"p a", "p b"}},
		{"a lone return is a break", []string{"p", "10%\r", "p", "20%\r100%\n"}, []string{"p 10%", "p 20%", "p 100%"}},
		{"a phase ends a line", []string{"p", "a", "q", "b\n"}, []string{"p a", "q b"}},
		{"phases come again", []string{"p", "a\n", "q", "b\n", "p", "c\n"}, []string{"p a", "q b", "p c"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, flat(read(tt.pairs...))); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

// However a text is cut into chunks, its lines are the same.
func TestLinesDoNotDependOnCuts(t *testing.T) {
	t.Parallel()
	alphabet := []string{"a", "é", "\n", "\r\n", "\r", "\x1b[31m", "bc"}
	check := func(letters []byte, cuts []byte) bool {
		var text string
		for _, b := range letters {
			text += alphabet[int(b)%len(alphabet)]
		}
		whole := read("p", text)
		var pieces []string
		rest := text
		for _, c := range cuts {
			n := min(int(c)%7, len(rest))
			pieces = append(pieces, "p", rest[:n])
			rest = rest[n:]
		}
		return cmp.Equal(flat(whole), flat(read(append(pieces, "p", rest)...)))
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 3000}); err != nil {
		t.Error(err)
	}
}

func TestEndlessLinesAreBroken(t *testing.T) {
	t.Parallel()
	s := read("p", strings.Repeat("é", lineLimit), "p", strings.Repeat("x", lineLimit), "p", "end\n")
	var all string
	for _, l := range s.List[0].Lines {
		if len(l.Text) > lineLimit || strings.Contains(l.Text, "\ufffd") {
			t.Errorf("a line of %d bytes", len(l.Text))
		}
		all += l.Text
	}
	if len(all) != 3*lineLimit+3 {
		t.Errorf("%d bytes arrived", len(all))
	}
}

func TestTrimKeepsTheNewest(t *testing.T) {
	t.Parallel()
	s := read("p", "1\n2\n3\n", "q", "4\n5\n")
	s.trim(3)
	if diff := cmp.Diff([]string{"p 3", "q 4", "q 5"}, flat(s)); diff != "" || s.Older != 2 {
		t.Errorf("older %d, lines (-want +got):\n%s", s.Older, diff)
	}
	s.trim(1)
	if len(s.List) != 1 || s.Older != 4 {
		t.Errorf("older %d, %d sections", s.Older, len(s.List))
	}
}

func TestStyledLineIsEscaped(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := styled("\x1b[31m<b>&\x1b[0m \"x\"").Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), `<b class="t2">&lt;b&gt;&amp;</b> &#34;x&#34;`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
