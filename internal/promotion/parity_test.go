package promotion

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
)

// Rules 5 and 28: an environment with a parity gate is entered while it is like the other one, by
// every configuration that has such a gate.
func TestRule05_Parity(t *testing.T) {
	t.Parallel()
	met := Parity{From: "terrace.hcl of release 4", With: "staging", AtLeast: 0.98, Known: true, Number: 0.99, Undeclared: 1}
	low := met
	low.Number, low.Undeclared, low.First = 0.9666, 3, `web: democloud_server.web[0].size differs: staging's code gives "small"`
	strict := met
	strict.From, strict.AtLeast, strict.First = "terrace.hcl of release 3, which is there now", 1, low.First
	asked, trouble, empty := met, met, low
	asked.Known = false
	trouble.Trouble = "web@staging is being changed by r-1"
	empty.Empty = true
	other := low
	other.With = "dev"
	for name, c := range map[string]struct {
		demands []Parity
		want    []string
		person  bool
	}{
		"none":          {nil, nil, false},
		"met":           {[]Parity{met}, nil, false},
		"nothing there": {[]Parity{empty}, nil, false},
		"being made":    {[]Parity{asked}, []string{"the comparison of production with staging"}, false},
		"not of everything": {[]Parity{trouble}, []string{"production to be like staging, which is not known: web@staging is being changed by r-1"},
			false},
		"too little":         {[]Parity{low}, []string{`production to be like staging: 0.9666, and terrace.hcl of release 4 wants 0.98; nobody wrote down that web: democloud_server.web[0].size differs: staging's code gives "small", and 2 more`}, true},
		"the strictest wins": {[]Parity{met, strict}, []string{`production to be like staging: 0.9900, and terrace.hcl of release 3, which is there now wants 1; nobody wrote down that web: democloud_server.web[0].size differs: staging's code gives "small"`}, true},
		"two others":         {[]Parity{low, low, other}, []string{"", ""}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := &Stage{Config: Environment{Name: "production", Parity: c.demands}}
			waits := alike(&decider{}, place{&Rollout{Release: core.Release{Number: 4}}, st})
			var got []string
			for i, w := range waits {
				if w.Gate != core.GateParity || w.OpensBy == "" || w.On == "" || w.ForPerson != c.person {
					t.Errorf("%+v", w)
				}
				if i < len(c.want) && c.want[i] == "" {
					w.What = ""
				}
				got = append(got, w.What)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
