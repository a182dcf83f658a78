package runner

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/terrace-cd/terrace/internal/wire"
)

func TestTheNewestWordIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		begun := time.Now()
		teller := startTeller(time.Second, func(p wire.Provisioned) {
			told = append(told, fmt.Sprint(time.Since(begun), " ", p.Warnings[0]))
		})
		for i := range 25 {
			teller.tell(wire.Provisioned{Warnings: []string{fmt.Sprint(i)}})
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		teller.tell(wire.Provisioned{Warnings: []string{"last"}})
		synctest.Wait()
		teller.stop()
		want := []string{"0s 0", "1s", "2s", "3s 24", "12.5s last"}
		if len(told) != len(want) {
			t.Fatalf("told %q", told)
		}
		for i, w := range want {
			if len(told[i]) < len(w) || told[i][:len(w)] != w {
				t.Errorf("told %q, want %q", told[i], w)
			}
		}
	})
}
