package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/terrace-cd/terrace/internal/redact"
)

const secret = `p@ss "w0rd"/<&>+é`

func TestEveryFormIsMasked(t *testing.T) {
	quoted, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	twice, err := json.Marshal(string(quoted))
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string]string{
		"plain":          secret,
		"json":           strings.Trim(string(quoted), `"`),
		"json in json":   string(twice),
		"query":          url.QueryEscape(secret),
		"path":           url.PathEscape(secret),
		"user info":      url.UserPassword("u", secret).String(),
		"lower case URL": strings.NewReplacer("%2F", "%2f", "%3C", "%3c", "%3E", "%3e", "%2B", "%2b", "%C3%A9", "%c3%a9").Replace(url.QueryEscape(secret)),
		"hex":            hex.EncodeToString([]byte(secret)),
	}
	for i := range 4 {
		around := strings.Repeat("x", i) + secret + "yz"
		forms[fmt.Sprintf("base64 after %d", i)] = base64.StdEncoding.EncodeToString([]byte(around))
		forms[fmt.Sprintf("base64 URL after %d", i)] = base64.URLEncoding.EncodeToString([]byte(around))
		forms[fmt.Sprintf("raw base64 at the end after %d", i)] = base64.RawStdEncoding.EncodeToString([]byte(around[:i+len(secret)]))
	}
	r := redact.New([]string{secret})
	for name, form := range forms {
		got := r.String("before " + form + " after")
		if !strings.Contains(got, redact.Mask) || !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") {
			t.Errorf("%s: %q", name, got)
		}
		// What is left of it may be the group of three bytes on either side.
		if rest := strings.TrimSuffix(strings.TrimPrefix(got, "before "), " after"); len(rest) > len(redact.Mask)+12 {
			t.Errorf("%s: too much is left: %q", name, got)
		}
	}
}

func TestMasking(t *testing.T) {
	key := "-----BEGIN KEY-----\nAAAA1234567890\r\nBBBBabcdefg\n-----END KEY-----\n"
	r := redact.New([]string{"hunter22", "", "abc", "abcdef", "defghi", key, "   "})
	for in, want := range map[string]string{
		"":                      "",
		"nothing here":          "nothing here",
		"hunter2":               "hunter2",
		"hunter22":              "***",
		"hunter22hunter22":      "***",
		"hunter22 hunter22.":    "*** ***.",
		"huhunter22":            "hu***",
		"xabcdefghix":           "x***x", // they overlap
		"abc":                   "abc",   // too short
		"is AAAA1234567890 it?": "is *** it?",
		"BBBBabcdefg":           "***",
		"-----BEGIN KEY-----":   "***",
		"a   b":                 "a   b",
	} {
		if got := r.String(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	quoted, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.String(string(quoted)); got != `"***"` {
		t.Errorf("key in JSON: %s", got)
	}
	if got := r.String(key); got != "***" {
		t.Errorf("whole key: %q", got)
	}
}

func TestWriterHoldsBackOnlyWhatMayBeASecret(t *testing.T) {
	var out bytes.Buffer
	w := redact.New([]string{"hunter22"}).Writer(&out)
	steps := []struct{ write, want string }{
		{"hello hun", "hello "},
		{"t", "hello "},
		{"!", "hello hunt!"},
		{" hunter2", "hello hunt! "},
		{"2", "hello hunt! "},
		{"hunter22", "hello hunt! ***"}, // no two masks for secrets that touch
		{"x", "hello hunt! ***x"},
		{"hunte", "hello hunt! ***x"},
	}
	for _, s := range steps {
		if n, err := w.Write([]byte(s.write)); n != len(s.write) || err != nil {
			t.Fatal(n, err)
		}
		if out.String() != s.want {
			t.Errorf("after %q: %q, want %q", s.write, out.String(), s.want)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "hello hunt! ***xhunte" {
		t.Errorf("at the end: %q", got)
	}
}

func TestAddInTheMiddle(t *testing.T) {
	var out bytes.Buffer
	r := redact.New([]string{"second-long-one"})
	w := r.Writer(&out)
	write := func(s string) {
		if _, err := w.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	write("a sec") // "sec" is held
	r.Add("secret-three")
	write("ret-three and second-long-one")
	r.Add("later")
	write(", later ")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "a *** and ***, *** " {
		t.Errorf("%q", got)
	}
}

func TestManyAtATime(t *testing.T) {
	r := redact.New(nil)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			value := fmt.Sprintf("value-%d-of-many", i)
			r.Add(value)
			var out bytes.Buffer
			w := r.Writer(&out)
			for range 50 {
				if _, err := w.Write([]byte(value)); err != nil {
					t.Error(err)
				}
			}
			if err := w.Close(); err != nil || strings.Contains(out.String(), value) {
				t.Error(out.String(), err)
			}
		})
	}
	group.Wait()
}

// FuzzSplit cuts a text that holds secrets into pieces anywhere: nothing gets through,
// and the pieces make the same text as the whole.
func FuzzSplit(f *testing.F) {
	f.Add("hunter22", "hunter23", "a hunter22hunter23 b huntehunter22", uint64(1))
	f.Add("aaaa", "aaab", "aaaaaaabaaab", uint64(2))
	f.Add("line one\nline two", "two\nthree", "x line one\nline two\nthree line two", uint64(3))
	f.Add("éééé", "\x00\x01\x02\x03", "\xffééééé\x00\x01\x02\x03", uint64(4))
	f.Fuzz(func(t *testing.T, one, two, text string, seed uint64) {
		if len(one)+len(two) > 400 || len(text) > 4000 {
			return
		}
		r := redact.New([]string{one, two})
		random := rand.New(rand.NewPCG(seed, 0))
		text = text + one + text + two + base64.StdEncoding.EncodeToString([]byte(text+one+"zz")) + url.QueryEscape(one)
		whole := r.String(text)
		var out bytes.Buffer
		w := r.Writer(&out)
		for rest := text; rest != ""; {
			n := 1 + random.IntN(min(len(rest), 7))
			if _, err := w.Write([]byte(rest[:n])); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if out.String() != whole {
			t.Fatalf("in pieces %q, as a whole %q", out.String(), whole)
		}
		for _, s := range []string{one, two} {
			if len(strings.TrimSpace(s)) >= redact.MinLength && !strings.Contains(s, "*") && strings.Contains(whole, s) {
				t.Fatalf("%q is still in %q", s, whole)
			}
		}
	})
}

// Each way to cut a text in two gives the same.
func TestEverySplit(t *testing.T) {
	r := redact.New([]string{secret, "aaab", "aabaa"})
	text := "x" + secret + "aaabaaabaa" + base64.StdEncoding.EncodeToString([]byte("k"+secret)) + url.QueryEscape(secret) + "aab"
	want := r.String(text)
	for i := range len(text) {
		for j := i; j < len(text); j++ {
			var out bytes.Buffer
			w := r.Writer(&out)
			for _, piece := range []string{text[:i], text[i:j], text[j:]} {
				if _, err := w.Write([]byte(piece)); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if out.String() != want {
				t.Fatalf("cut at %d and %d: %q, want %q", i, j, out.String(), want)
			}
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	var secrets []string
	for i := range 50 {
		secrets = append(secrets, fmt.Sprintf("secret-%d-%s", i, strings.Repeat("q7", i)))
	}
	r := redact.New(secrets)
	line := []byte("democloud_server.web[3]: Creation complete after 2s [id=srv-0123456789]\n")
	b.SetBytes(int64(len(line)))
	var out bytes.Buffer
	w := r.Writer(&out)
	for b.Loop() {
		out.Reset()
		if _, err := w.Write(line); err != nil {
			b.Fatal(err)
		}
	}
}
