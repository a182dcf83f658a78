package httpapi

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/access"
)

func everyRoute() []route {
	mux := http.NewServeMux()
	a := &API{}
	r := &routes{mux: mux, api: humago.New(mux, huma.DefaultConfig("", "")), self: a}
	a.routes(r)
	return r.all
}

// Every route says who may use it, and where that holds can be told from its path: what is
// named by an ID alone is looked up (place.go).
func TestEveryRouteDeclaresItsPermission(t *testing.T) {
	t.Parallel()
	all := everyRoute()
	if len(all) < 50 {
		t.Fatalf("there are %d routes", len(all))
	}
	known := []permission{forAll, forRunners, viewers, developers, operators, admins}
	for _, r := range all {
		name := r.Method + " " + r.Path
		if !slices.Contains(known, r.Permission) {
			t.Errorf("%s: the permission %q is none; it is one of %v", name, r.Permission, known)
		}
		if r.Permission == forAll || r.Permission == forRunners || !strings.Contains(r.Path, "{id}") {
			continue
		}
		owned := slices.ContainsFunc(owners, func(o owner) bool { return r.Path == o.prefix || strings.HasPrefix(r.Path, o.prefix+"/") })
		if !owned && !strings.Contains(r.Path, "{project}") && r.Permission != admins {
			t.Errorf("%s: nobody can tell in which project the %s has to be; add its owner in place.go", name, r.Permission)
		}
		if r.Method != http.MethodGet && r.Permission == viewers {
			t.Errorf("%s changes something, and who only looks may use it", name)
		}
	}
	open := map[string]bool{"GET /api/v1/health": true, "POST /hooks/{project}": true, "POST /login": true, "POST /logout": true, "GET /enter/{code}": true,
		"GET /.well-known/terraform.json": true, "GET /modules/v1/{namespace}/{name}/{system}/{version}/{link}/module.tar.gz": true}
	for _, r := range all {
		if name := r.Method + " " + r.Path; (r.Permission == forAll) != open[name] {
			t.Errorf("%s needs %q", name, r.Permission)
		}
	}
}

// Only admins change what others are bound by.
func TestOnlyAdminsChangeTheRules(t *testing.T) {
	t.Parallel()
	for _, r := range everyRoute() {
		if r.Method == http.MethodGet || r.Permission == forRunners {
			continue
		}
		for _, part := range []string{"/guardrails", "/secrets", "/tokens", "/keys", "/api/v1/modules"} {
			if strings.Contains(r.Path, part) && r.Permission != admins && r.Path != "/api/v1/modules/{namespace}/{name}/{system}/refresh" {
				t.Errorf("%s %s is for %s", r.Method, r.Path, r.Permission)
			}
		}
	}
}

// What the pages show and do takes the roles that it takes on the API: every method refuses
// somebody who has none before it looks at anything.
func TestPagesAskForRoles(t *testing.T) {
	t.Parallel()
	nobody := known{person: true, identity: access.Identity{Token: core.Token{Kind: core.TokenPerson, User: "nobody"}}}
	ctx := context.WithValue(t.Context(), identityKey{}, nobody)
	pages := reflect.ValueOf(Pages{API: &API{Store: found{}}})
	tick := reflect.TypeFor[<-chan struct{}]()
	for i := range pages.NumMethod() {
		method := pages.Type().Method(i)
		if method.Type.NumOut() == 1 && method.Type.Out(0) == tick || method.Name == "Projects" {
			continue // a tick says nothing; the list of projects leaves out what may not be seen
		}
		in := []reflect.Value{reflect.ValueOf(ctx)}
		for n := 2; n < method.Type.NumIn(); n++ {
			in = append(in, reflect.Zero(method.Type.In(n)))
		}
		out := pages.Method(i).Call(in)
		err, _ := out[len(out)-1].Interface().(error)
		if core.CodeOf(err) != core.Denied {
			t.Errorf("%s lets nobody in: %v", method.Name, err)
		}
	}
}

// found is a store in which everything that a place is looked up by exists.
type found struct{ core.Store }

func (found) Peek(_ context.Context, f func(core.Tx) error) error { return f(foundTx{}) }

type foundTx struct{ core.Tx }

func (foundTx) Run(id string) (core.Run, error) {
	return core.Run{ID: id, Project: "shop", Environment: "dev"}, nil
}

func (foundTx) Rollout(id string) (core.Rollout, error) {
	return core.Rollout{ID: id, Project: "shop"}, nil
}
