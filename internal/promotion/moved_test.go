package promotion

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
)

func movesFrom(from string) func(*Instance) { return func(i *Instance) { i.MovesFrom = from } }
func isLocked(i *Instance) {
	i.MoveWaits, i.MoveOpensBy = "is locked by user:ana", "terrace state unlock "+i.MovesFrom+"@dev"
}

func TestRule27_MovedStacks(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"become what they are called before they run", snap(ro(1, in("dev", running, stack("site", movesFrom("web")), stack("db")))),
			[]string{"start deploy db in 1.dev", "move web to site in 1.dev"}, nil},
		{"also when it cannot be said yet what they need", snap(ro(1, in("dev", running, stack("db", run(core.RunPlanning)), stack("site", needs("db"), undecided, movesFrom("web"))))),
			[]string{"move web to site in 1.dev"}, nil},
		{"are never up to date by that", snap(ro(1, in("dev", running, stack("site", upToDate, movesFrom("web"))))), []string{"move web to site in 1.dev"}, nil},
		{"wait for whoever works on them", snap(ro(1, in("dev", running, stack("site", movesFrom("web"), isLocked)))), nil,
			map[string]string{"1.dev": "web@dev, which becomes site@dev and is locked by user:ana: terrace state unlock web@dev"}},
		{"while others go on", snap(ro(1, in("dev", running, stack("site", movesFrom("web"), isLocked), stack("db")))), []string{"start deploy db in 1.dev"}, nil},
		{"and a newer release may come first", snap(ro(1, in("dev", running, stack("site", movesFrom("web"), isLocked))), ro(2, in("dev", waiting))), []string{"supersede 1.dev by 2"}, nil},
		{"not while an outcome is unknown", snap(ro(1, in("dev", running, stack("site", movesFrom("web"), isUnknown)))), []string{"1.dev is unknown"}, nil},
		{"not for who is cancelled", snap(ro(1, cancelAsked, in("dev", running, stack("site", movesFrom("web"))))), []string{"1.dev is cancelled"}, nil},
		{"nothing is destroyed before that", snap(ro(1, in("dev", running, stack("site", movesFrom("web")), stack("old", isRemoved)))), []string{"move web to site in 1.dev"}, nil},
	})
}

func TestRule27_OriginsOfMovedStacks(t *testing.T) {
	t.Parallel()
	type names = map[string]string
	has := func(stacks ...string) map[string]bool {
		out := map[string]bool{}
		for _, s := range stacks {
			out[s] = true
		}
		return out
	}
	moved := func(pairs ...string) (out []core.Move) {
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, core.Move{From: pairs[i], To: pairs[i+1]})
		}
		return out
	}
	for name, c := range map[string]struct {
		given         Names
		want, clashes names
	}{
		"renamed":                              {Names{Here: names{"site": "web", "db": ""}, Has: has("web", "db")}, names{"site": "web"}, nil},
		"the old one has nothing":              {Names{Here: names{"site": "web"}, Has: map[string]bool{"web": false}}, nil, nil},
		"done already":                         {Names{Here: names{"site": "web"}, Has: has("site")}, nil, nil},
		"both have something":                  {Names{Here: names{"site": "web"}, Has: has("site", "web")}, nil, names{"site": "web"}},
		"the new one is empty":                 {Names{Here: names{"site": "web"}, Has: map[string]bool{"site": false, "web": true}}, names{"site": "web"}, nil},
		"removed and another is new":           {Names{Here: names{"site": ""}, Has: has("web")}, nil, nil},
		"twice, and the first never came by":   {Names{Here: names{"pages": "site"}, Skipped: []names{{}, {"site": "web"}}, Has: has("web")}, names{"pages": "web"}, nil},
		"moved_from was taken out too early":   {Names{Here: names{"site": ""}, Skipped: []names{{"site": "web"}, {}}, Has: has("web")}, names{"site": "web"}, nil},
		"the nearest one counts":               {Names{Here: names{"pages": "site"}, Skipped: []names{{"site": "web"}}, Has: has("web", "site")}, names{"pages": "site"}, nil},
		"taken back":                           {Names{Here: names{"web": ""}, Moved: moved("web", "site"), Has: has("site")}, names{"web": "site"}, nil},
		"rolled back over two":                 {Names{Here: names{"web": ""}, Moved: moved("web", "site", "site", "pages"), Has: has("pages")}, names{"web": "pages"}, nil},
		"rolled back to a rename":              {Names{Here: names{"site": "web"}, Moved: moved("web", "site", "site", "pages"), Has: has("pages")}, names{"site": "pages"}, nil},
		"back and forth":                       {Names{Here: names{"web": ""}, Moved: moved("web", "site", "site", "web", "web", "pages"), Has: has("pages")}, names{"web": "pages"}, nil},
		"what was moved is there all the same": {Names{Here: names{"web": "", "site": ""}, Moved: moved("web", "site"), Has: has("site")}, nil, nil},
		"each becomes one":                     {Names{Here: names{"a": "", "b": ""}, Skipped: []names{{"b": "web"}, {"a": "web"}}, Has: has("web")}, names{"a": "web"}, nil},
		"what is said goes first":              {Names{Here: names{"site": "app", "web": ""}, Moved: moved("web", "app"), Has: has("app")}, names{"site": "app"}, nil},
		"in circles":                           {Names{Here: names{"a": "b"}, Skipped: []names{{"b": "a"}, {"a": "b"}}, Moved: moved("a", "b", "b", "a"), Has: has("x")}, nil, nil},
	} {
		origins, clashes := c.given.Origins()
		if c.want == nil {
			c.want = names{}
		}
		if c.clashes == nil {
			c.clashes = names{}
		}
		if diff := cmp.Diff(c.want, origins); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(c.clashes, clashes); diff != "" {
			t.Errorf("%s, clashes (-want +got):\n%s", name, diff)
		}
	}
}
