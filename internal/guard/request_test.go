package guard_test

import (
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/wire"
)

// A replacement that a person asked for is judged like any other, and told apart from one
// that is made instead of a change in place.
func TestRequests(t *testing.T) {
	t.Parallel()
	server := wire.ResourceChange{Address: "democloud_server.web[0]", Action: "replace", Order: "create_first", Reason: "replace_by_request"}
	database := wire.ResourceChange{Address: "democloud_database.main", Action: "replace", Order: "create_first", Reason: "replace_by_request"}
	request := func(r wire.ResourceChange, id string) guard.Request {
		return guard.Request{ID: id, Address: r.Address, By: "user:ana", Reason: "its disk is slow"}
	}
	as := func(r wire.ResourceChange, action string) wire.ResourceChange { r.Action = action; return r }
	for name, c := range map[string]struct {
		change wire.ResourceChange
		id     string
		says   []string
		denied bool
	}{
		"replaced":          {server, "rp-1", []string{"democloud_server.web[0] is replaced, as user:ana asked: its disk is slow"}, false},
		"gone already":      {as(server, "create"), "rp-1", []string{"is made anew, as user:ana asked", "gone already"}, false},
		"leaves":            {as(server, "delete"), "rp-1", []string{"is not replaced, as user:ana asked", "leaves with this release"}, false},
		"not planned":       {as(server, "no-op"), "rp-1", []string{"the engine does not plan it"}, false},
		"protected":         {database, "rp-1", []string{"would replace democloud_database.main", "terrace replace end rp-1", "terrace except web@production"}, true},
		"protected at once": {database, "", []string{"Nothing was asked for", "terrace except web@production"}, true},
	} {
		v := guard.Judge(guard.Input{Instance: "web@production", Plan: plan(c.change), Rules: []guard.Rules{now},
			Replaced: []string{c.change.Address}, Requests: []guard.Request{request(c.change, c.id)}})
		text := ""
		for _, check := range v.Checks {
			text += check.Message + "\n"
		}
		for _, says := range c.says {
			if !strings.Contains(text, says) {
				t.Errorf("%s: %q is not in\n%s", name, says, text)
			}
		}
		if strings.Contains(text, "instead of changed in place") || (v.Denied() != "") != c.denied {
			t.Errorf("%s: denied is %q; checks:\n%s", name, v.Denied(), text)
		}
	}
}
