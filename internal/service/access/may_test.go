package access

import (
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

func TestMay(t *testing.T) {
	t.Parallel()
	person := func(grants ...core.Grant) Identity {
		return Identity{Token: core.Token{Kind: core.TokenPerson, User: "ana"}, Grants: grants}
	}
	in := func(role core.Role, project, environment string) core.Grant {
		g := core.Grant{Role: role}
		if project != "" {
			g.Projects = []string{project}
		}
		if environment != "" {
			g.Environments = []string{environment}
		}
		return g
	}
	admin, shopOperator := person(in(core.RoleAdmin, "", "")), person(in(core.RoleOperator, "shop", ""))
	staging := person(in(core.RoleOperator, "shop", "staging"), in(core.RoleViewer, "shop*", ""))
	for _, c := range []struct {
		who                  Identity
		need                 core.Role
		project, environment string
		want                 bool
	}{
		{admin, core.RoleAdmin, "", "", true},
		{admin, core.RoleViewer, "shop", "dev", true},
		{shopOperator, core.RoleOperator, "shop", "", true},
		{shopOperator, core.RoleOperator, "shop", "production", true},
		{shopOperator, core.RoleAdmin, "shop", "production", false},
		{shopOperator, core.RoleOperator, "blog", "production", false},
		{shopOperator, core.RoleOperator, "", "", false},
		{shopOperator, core.RoleViewer, "", "", true},
		{staging, core.RoleOperator, "shop", "staging", true},
		{staging, core.RoleOperator, "shop", "production", false},
		{staging, core.RoleOperator, "shop", "", false}, // a rollout goes further than staging
		{staging, core.RoleViewer, "shop", "production", true},
		{staging, core.RoleViewer, "shop-eu", "", true},
		{staging, core.RoleViewer, "blog", "", false},
		{person(in(core.RoleViewer, "", "staging")), core.RoleViewer, "shop", "", true},
		{person(in(core.RoleViewer, "", "staging")), core.RoleViewer, "shop", "production", false},
		{person(in(core.RoleAdmin, "*", "*")), core.RoleAdmin, "", "", true},
		{person(), core.RoleViewer, "", "", false},
		{person(core.Grant{Role: "owner"}), core.RoleViewer, "shop", "dev", false},
		{Identity{Token: core.Token{Kind: core.TokenRun, Run: "r-1"}}, core.RoleViewer, "shop", "dev", false},
	} {
		err := c.who.May(c.need, c.project, c.environment)
		if (err == nil) != c.want || err != nil && core.CodeOf(err) != core.Denied {
			t.Errorf("%+v as %s in %q of %q: %v", c.who.Grants, c.need, c.environment, c.project, err)
		}
	}
	if staging.MayEverywhere(core.RoleViewer) == nil || shopOperator.MayEverywhere(core.RoleViewer) == nil || admin.MayEverywhere(core.RoleAdmin) != nil {
		t.Error("everywhere")
	}
	for want, err := range map[string]error{
		"this takes the role operator in production of shop, and user:ana has the role operator in staging of shop and has the role viewer in every environment of shop*. An admin gives it: with a role block in the guardrails, to a user whose token has no role of its own, or with a token that has it (terrace token create NAME --role operator --project shop --environment production)": staging.May(core.RoleOperator, "shop", "production"),
		"this takes the role operator in every environment of shop, and user:ana has no role.":                          person().May(core.RoleOperator, "shop", ""),
		"this takes the role admin for the whole server, and user:ana has the role viewer in staging of every project.": person(in(core.RoleViewer, "", "staging")).May(core.RoleAdmin, "", ""),
	} {
		if !strings.HasPrefix(core.MessageOf(err), want) {
			t.Errorf("says %q", core.MessageOf(err))
		}
	}
}
