package httpapi

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// BenchmarkStateCycle is LOCK, GET, POST of 100 KB, UNLOCK, each client on an instance of
// its own.
func BenchmarkStateCycle(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { cycles(b, newBackend(b)) })
	b.Run("postgres", func(b *testing.B) { cycles(b, newBackendOn(b, testkit.PostgresServer(b).Database(b))) })
}

func cycles(b *testing.B, s *backend) {
	var clients atomic.Int64
	_, rest, _ := strings.Cut(string(stateBody(7, strings.Repeat("0123456789abcdef", 100_000/16))), `"serial":7`)
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		i := clients.Add(1)
		lock := fmt.Appendf(nil, `{"ID":"l-%d"}`, i)
		path := fmt.Sprintf("%s/state/shop/dev/s%d", s.URL, i)
		for serial := 1; pb.Next(); serial++ {
			for _, step := range []struct {
				method, query string
				body          []byte
			}{{"LOCK", "", lock}, {"GET", "", nil}, {"POST", fmt.Sprintf("?ID=l-%d", i), fmt.Appendf(nil, `{"version":4,"serial":%d%s`, serial, rest)}, {"UNLOCK", "", lock}} {
				req, err := http.NewRequestWithContext(b.Context(), step.method, path+step.query, bytes.NewReader(step.body))
				if err != nil {
					b.Error(err)
					return
				}
				req.SetBasicAuth("terrace", "ana-token")
				resp, err := s.Client().Do(req)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode/100 != 2 {
					b.Errorf("%s: %s", step.method, resp.Status)
					return
				}
			}
		}
	})
}
