package config

import (
	"reflect"
	"testing"
	"time"
)

func TestFreezesAreMoments(t *testing.T) {
	t.Parallel()
	tree := files{"stacks/web/main.tf": `output "url" { value = "" }`}
	tree["terrace.hcl"] = `project "shop" {}
environment "dev" {
  freeze {
    from   = "2026-12-20T00:00"
    to     = "2027-01-02T09:00"
    zone   = "Europe/Berlin"
    reason = "Christmas"
  }
  freeze {
    from = "2026-10-25T02:30"
    to   = "2026-10-25T02:30"
    zone = "Europe/Berlin"
  }
}
`
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	utc := func(month time.Month, day, hour, minute int) time.Time {
		return time.Date(2026, month, day, hour, minute, 0, 0, time.UTC)
	}
	want := []Freeze{
		{From: utc(12, 19, 23, 0), To: utc(13, 2, 8, 0), Zone: berlin, Reason: "Christmas"},
		{From: utc(10, 25, 0, 30), To: utc(10, 25, 1, 30), Zone: berlin}, // the time that comes twice
	}
	if got := mustLoad(t, tree).Environments[0].Freezes; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
