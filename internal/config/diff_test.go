package config

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestDiff(t *testing.T) {
	t.Parallel()
	before := "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\nm\n"
	after := "a\nnew\nb\nc\nd\ne\nf\ng\nh\ni\nj\nl\nM\n"
	want := `--- x
+++ x
@@ -1,4 +1,5 @@
 a
+new
 b
 c
 d
@@ -8,6 +9,5 @@
 h
 i
 j
-k
 l
-m
+M
`
	if got := Diff("x", []byte(before), []byte(after)); got != want {
		t.Errorf("got:\n%s", got)
	}
	if got := Diff("x", nil, []byte("a\n")); got != "--- x\n+++ x\n@@ -1,0 +1,1 @@\n+a\n" {
		t.Errorf("from nothing:\n%s", got)
	}
	large := strings.Repeat("x\n", 3000)
	if got := Diff("x", []byte("a\n"+large), []byte("b\n"+strings.Repeat("y\n", 3000))); strings.Count(got, "\n+") < 3000 {
		t.Error("large texts")
	}
}

// A diff holds both texts: without what comes it is the old one, without what goes the new.
func TestDiffLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 12)
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		var old, young []string
		for _, e := range compare(a, b) {
			if e.sign != '+' {
				old = append(old, e.text)
			}
			if e.sign != '-' {
				young = append(young, e.text)
			}
		}
		if strings.Join(old, " ") != strings.Join(a, " ") || strings.Join(young, " ") != strings.Join(b, " ") {
			t.Fatalf("%v and %v became %v and %v", a, b, old, young)
		}
	})
}
