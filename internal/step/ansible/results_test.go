package ansible

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/wire"
)

// told are events as lines: "plan:p1=a,b;p2=a", "play:p1=a,b", "end:p1/failed/counted/unreachable",
// or "KIND:HOST".
func told(t *testing.T, r *results, lines ...string) {
	t.Helper()
	list := func(s string) []string {
		return strings.FieldsFunc(s, func(c rune) bool { return c == ',' })
	}
	for _, line := range lines {
		kind, rest, _ := strings.Cut(line, ":")
		switch kind {
		case "plan":
			e := event{Event: kind}
			for _, p := range strings.Split(rest, ";") {
				id, hosts, known := strings.Cut(p, "=")
				one := planned{Play: id}
				if known {
					names := list(hosts)
					one.Hosts = &names
				}
				e.Plays = append(e.Plays, one)
			}
			r.take(e)
		case "play":
			id, hosts, _ := strings.Cut(rest, "=")
			r.take(event{Event: kind, Play: id, Hosts: list(hosts)})
		case "end":
			parts := strings.Split(rest+"///", "/")
			r.take(event{Event: kind, Play: parts[0], Failed: list(parts[1]), Counted: list(parts[2]), Unreachable: list(parts[3])})
		case "finish":
			r.finish()
		case "rescued":
			r.take(event{Event: "failed", Host: rest, Task: "T"})
		default:
			r.take(event{Event: kind, Host: rest, Task: "T", Message: "why", Lasting: true})
		}
	}
}

func TestWhenAHostIsDone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		events string
		want   string
	}{
		{"nothing is known", "", "a left, b left"},
		{"all ended well", "plan:p=a,b play:p=a,b ok:a ok:b end:p finish:", "a done, b done"},
		{"a host that no play is for", "plan:p=a play:p=a ok:a end:p finish:", "a done, b done"},
		{"stopped in the middle", "plan:p=a,b play:p=a,b ok:a", "a left, b left"},
		{"stopped in the second play", "plan:p=a,b;q=b play:p=a,b ok:a ok:b end:p play:q=b", "a done, b left"},
		{"one failed, the other went on", "plan:p=a,b play:p=a,b failed:a ok:b end:p/a/a", "a failed, b done"},
		{"its failure was rescued", "plan:p=a,b play:p=a,b rescued:a ok:b end:p", "a done, b done"},
		{"it was forgiven", "plan:p=a,b play:p=a,b failed:a unreachable:b end:p finish:", "a done, b done"},
		{"any_errors_fatal", "plan:p=a,b play:p=a,b failed:a ok:b end:p/a,b/a", "a failed, b left"},
		{"unreachable", "plan:p=a,b play:p=a,b unreachable:a ok:b end:p///a", "a unreachable, b done"},
		{"failed, and the run was stopped", "plan:p=a,b play:p=a,b failed:a ok:b", "a failed, b left"},
		{"a later batch does not come", "plan:p=a,b play:p=a ok:a failed:a end:p/a/a", "a failed, b left"},
		{"the first batch is done", "plan:p=a,b play:p=a ok:a end:p play:p=b failed:b end:p/b/b", "a done, b failed"},
		{"the second batch was stopped", "plan:p=a,b play:p=a ok:a end:p play:p=b ok:b", "a done, b left"},
		{"a later play is not reached by the good one", "plan:p=a;q=a,b play:p=a failed:a end:p/a/a", "a failed, b left"},
		{"a failed one stays out of later plays", "plan:p=a,b;q=a,b play:p=a,b failed:a end:p/a/a play:q=a,b ok:b end:q/a/a", "a failed, b done"},
		{"who was in no batch of a play that is over", "plan:p=a,b;q=a play:p=a ok:a end:p play:q=a failed:a end:q/a/a", "a failed, b done"},
		{"the hosts of a later play are not known", "plan:p=a,b;q play:p=a,b end:p/a/a failed:a", "a failed, b left"},
		{"no answer", "plan:p=a,b play:p=a,b silent:a", "a unreachable, b left"},
		{"no answer in check mode", "plan:p=a,b play:p=a,b silent:a unreachable:a ok:b end:p///a", "a unreachable, b done"},
		{"no answer, and no task that needs one", "plan:p=a,b play:p=a,b silent:a ok:a ok:b end:p finish:", "a unreachable, b done"},
		{"another key in a later play", "plan:p=a,b;q=b play:p=a,b end:p play:q=b other_key:b", "a done, b unreachable"},
		{"a play that was not planned", "plan:p=a play:p=a end:p play:x=b failed:b end:x/b/b", "a done, b failed"},
	} {
		r := newResults(Options{Mask: func(s string) string { return s }}, []string{"b", "a"})
		told(t, r, strings.Fields(c.events)...)
		if got := statuses(wire.Provisioned{Hosts: r.results()}); got != c.want {
			t.Errorf("%s: %s; want %s", c.name, got, c.want)
		}
	}
}

func TestChangesAreBoundedAndMasked(t *testing.T) {
	t.Parallel()
	r := newResults(Options{Tree: "/tree", Mask: func(s string) string { return strings.ReplaceAll(s, "secret", "***") }}, []string{"a"})
	r.take(event{Event: "ok", Host: "a", Task: "One secret", Path: "/tree/site.yml:3", Changed: true, Diff: "\x1b[32m+secret\x1b[0m\n" + strings.Repeat("x", maxDiff-7) + "secret\n"})
	for i := range 150 {
		r.take(event{Event: "ok", Host: "a", Task: fmt.Sprint(i), Path: "/etc/other.yml:3", Changed: true})
	}
	h := r.results()[0]
	if len(h.Changes) != maxChanges || h.Changed != 151 {
		t.Fatalf("%d changes of %d are kept", len(h.Changes), h.Changed)
	}
	c := h.Changes[0]
	if c.Task != "One ***" || c.Place != "site.yml:3" || !strings.HasPrefix(c.Diff, "+***\nxxx") || strings.Contains(c.Diff, "sec") || len(c.Diff) > maxDiff+len("…") {
		t.Errorf("the first is %+v", c)
	}
	if h.Changes[1].Place != "" {
		t.Errorf("a place outside of the repository is shown: %+v", h.Changes[1])
	}
	if again := r.results()[0]; strings.Count(again.Changes[maxChanges-1].Diff, "more tasks") != 1 {
		t.Errorf("the last says %q", again.Changes[maxChanges-1].Diff)
	}
}

func TestBrokenEventsAreSkipped(t *testing.T) {
	t.Parallel()
	good := `{"event":"ok","host":"a","task":"T"}`
	in := strings.Join([]string{
		good, "", "{", `{"event":3}`, `{"event":"ok","host":["a"]}`, "\x00\xff", strings.Repeat("x", 3*maxEvent), good, `{"event":"recap","host":"b","ok":7,"failed":1,"unreachable":0}`, good[:20],
	}, "\n")
	r := newResults(Options{Mask: func(s string) string { return s }}, []string{"a"})
	r.read(strings.NewReader(in))
	if got := r.hosts["a"].counts.OK; got != 2 {
		t.Errorf("%d events were read, want 2", got)
	}
	if want := []wire.Recap{{Host: "b", OK: 7, Failed: 1}}; !slices.Equal(r.recaps(), want) {
		t.Errorf("the recap is %+v", r.recaps())
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte(`{"event":"plan","plays":[{"play":"p","hosts":["a"]}]}` + "\n" + `{"event":"end","play":"p","failed":["a"]}`))
	f.Fuzz(func(_ *testing.T, in []byte) {
		r := newResults(Options{Mask: func(s string) string { return s }}, []string{"a"})
		r.read(bytes.NewReader(in))
		_, _ = r.results(), r.explain(2, "")
	})
}

func TestReadLine(t *testing.T) {
	t.Parallel()
	from := bufio.NewReaderSize(strings.NewReader(strings.Repeat("a", 100)+"\nb\r\n\nc"), 16)
	var got []string
	for {
		line, err := readLine(from)
		got = append(got, string(line))
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			break
		}
	}
	if want := []string{strings.Repeat("a", 100), "b", "", "c"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
