package source

import (
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// BenchmarkDigests measures the input digests of 10,000 stacks with 200 shared modules:
// cold (nothing remembered), after a restart, and after a commit that touches one
// module, the usual case.
func BenchmarkDigests(b *testing.B) {
	repo := filepath.Join(b.TempDir(), "big.git")
	if err := testkit.BigRepo(b.Context(), repo, 10_000, 200); err != nil {
		b.Fatal(err)
	}
	fetched := func(s *Source) string {
		head, err := s.Fetch(b.Context(), repo, "main")
		if err != nil {
			b.Fatal(err)
		}
		return head
	}
	all := func(s *Source, head string) map[string]Content {
		contents, err := s.AllContents(b.Context(), repo, head, ".", "dev")
		if err != nil || len(contents) != 10_000 {
			b.Fatal(len(contents), err)
		}
		return contents
	}
	open := func(dir string) *Source {
		s, err := New(dir, Options{})
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			s := open(b.TempDir())
			head := fetched(s)
			b.StartTimer()
			all(s, head)
			b.StopTimer()
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
	b.Run("restart", func(b *testing.B) {
		dir := b.TempDir()
		s := open(dir)
		all(s, fetched(s))
		_ = s.Close()
		for b.Loop() {
			b.StopTimer()
			s := open(dir)
			head := fetched(s)
			b.StartTimer()
			all(s, head)
			b.StopTimer()
			_ = s.Close()
			b.StartTimer()
		}
	})
	b.Run("one-module", func(b *testing.B) {
		s := open(b.TempDir())
		before := all(s, fetched(s))
		version := 0
		var config, digests time.Duration
		for b.Loop() {
			b.StopTimer()
			version++
			if err := testkit.CommitFile(b.Context(), repo, "modules/m007/main.tf", testkit.ModuleText(7, int(time.Now().UnixNano()))); err != nil {
				b.Fatal(err)
			}
			head := fetched(s)
			b.StartTimer()
			start := time.Now()
			if _, _, err := s.Config(b.Context(), repo, head, "."); err != nil {
				b.Fatal(err)
			}
			config += time.Since(start)
			start = time.Now()
			after := all(s, head)
			digests += time.Since(start)
			b.StopTimer()
			changed := 0
			for stack, c := range after {
				if c.Digest != before[stack].Digest {
					changed++
				}
			}
			if changed == 0 || changed > 500 {
				b.Fatalf("%d stacks changed", changed)
			}
			before = after
			b.StartTimer()
		}
		b.ReportMetric(float64(config.Milliseconds())/float64(version), "config-ms/op")
		b.ReportMetric(float64(digests.Milliseconds())/float64(version), "digests-ms/op")
		clear(before)
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MiB")
		_ = s.Close()
	})
}
