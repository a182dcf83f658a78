package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terrace-cd/terrace/internal/demo/democloud"
)

type database struct {
	common
	Engine   types.String `tfsdk:"engine"`
	Size     types.String `tfsdk:"size"`
	Path     types.String `tfsdk:"path"`
	URL      types.String `tfsdk:"url"`
	Username types.String `tfsdk:"username"`
	Password types.String `tfsdk:"password"`
}

func newDatabase() resource.Resource {
	return &cloudResource[database, *database]{kind: democloud.Database, schema: schema.Schema{
		Description: "A database: a folder with data, which is gone when the database is destroyed.",
		Attributes: withFixedName(map[string]schema.Attribute{
			"engine":   defaulted("What kind of database; another engine is another, empty, database.", "postgres", fixed),
			"size":     defaulted("small, medium or large.", "small"),
			"path":     computed("Folder of the data, on this machine."),
			"url":      computed("URL of the data."),
			"username": computed("Who may log in."),
			"password": schema.StringAttribute{
				Computed: true, Sensitive: true, Description: "The password of username.",
				PlanModifiers: []planmodifier.String{kept},
			},
		}),
	}}
}

func (m *database) wanted(context.Context) (string, democloud.Spec) {
	return m.Name.ValueString(), democloud.Spec{Engine: m.Engine.ValueString(), Size: m.Size.ValueString()}
}

func (m *database) learn(r democloud.Resource) {
	m.common.learn(r)
	m.Engine = types.StringValue(r.Spec.Engine)
	m.Size = types.StringValue(r.Spec.Size)
	m.Path = types.StringValue(r.Path)
	m.URL = types.StringValue(r.URL)
	m.Username = types.StringValue(r.Username)
	m.Password = types.StringValue(r.Password)
}
