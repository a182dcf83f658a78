package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

// Identity is who makes a request.
type Identity struct {
	Token core.Token
	// Grants are what a person may do, and where; nil for a run.
	Grants []core.Grant
}

// Name is how the identity appears in events: "run:r-…" or "user:NAME".
func (i Identity) Name() string {
	if i.Token.Kind == core.TokenRun {
		return "run:" + i.Token.Run
	}
	return "user:" + i.Token.User
}

// May refuses who has not the role that something takes in an environment of a project. ""
// as environment is the project as a whole, "" as project the server: that takes a role
// which holds in all of it, but to look at it, one that holds somewhere in it is enough.
// Denied says what is missing.
//
// What holds in a sandbox is what holds in an environment of its name of its project.
func (i Identity) May(need core.Role, project, environment string) error {
	if of, name, ok := core.SandboxOf(project); ok {
		project, environment = of, name
	}
	if slices.ContainsFunc(i.Grants, func(g core.Grant) bool {
		return g.Role.Includes(need) && (g.Covers(project, environment) || need == core.RoleViewer && g.Touches(project, environment))
	}) {
		return nil
	}
	return i.denied(need, project, environment)
}

// MayEverywhere is May for what shows or changes all projects at once.
func (i Identity) MayEverywhere(need core.Role) error {
	if slices.ContainsFunc(i.Grants, func(g core.Grant) bool { return g.Role.Includes(need) && g.Everywhere() }) {
		return nil
	}
	return i.denied(need, "", "")
}

// denied says what is missing, what there is, and how it is given.
func (i Identity) denied(need core.Role, project, environment string) error {
	var has []string
	for _, g := range i.Grants {
		has = append(has, "has the role "+string(g.Role)+" "+reach(g.Reach))
	}
	if len(has) == 0 {
		has = []string{"has no role"}
	}
	token := "terrace token create NAME --role " + string(need)
	if project != "" {
		token += " --project " + project
	}
	if environment != "" {
		token += " --environment " + environment
	}
	return core.Errorf(core.Denied, "this takes the role %s %s, and %s %s. An admin gives it: with a role block in the guardrails, to a user whose token has no role of its own, or with a token that has it (%s)",
		need, place(project, environment), i.Name(), strings.Join(has, " and "), token)
}

// place says where, for "" as May takes it.
func place(project, environment string) string {
	switch {
	case project == "":
		return "for the whole server"
	case environment == "":
		return "in every environment of " + project
	}
	return "in " + environment + " of " + project
}

func reach(r core.Reach) string {
	if r.Everywhere() {
		return "everywhere"
	}
	environments, projects := "every environment", "every project"
	if len(r.Environments) > 0 {
		environments = strings.Join(r.Environments, ", ")
	}
	if len(r.Projects) > 0 {
		projects = strings.Join(r.Projects, ", ")
	}
	return fmt.Sprintf("in %s of %s", environments, projects)
}
