package provider

import (
	"maps"

	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringdefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terrace-cd/terrace/internal/demo/democloud"
)

// common is what all types of resources have.
type common struct {
	ID     types.String `tfsdk:"id"`
	Name   types.String `tfsdk:"name"`
	Tenant types.String `tfsdk:"tenant"`
}

func (m *common) id() string { return m.ID.ValueString() }

func (m *common) learn(r democloud.Resource) {
	m.ID = types.StringValue(r.ID)
	m.Name = types.StringValue(r.Name)
	m.Tenant = types.StringValue(r.Tenant)
}

var (
	// fixed attributes make a new resource when they change.
	fixed = stringplanmodifier.RequiresReplace()
	// kept attributes are the cloud's choice and stay as long as the resource does.
	kept = stringplanmodifier.UseStateForUnknown()
)

func withCommon(own map[string]schema.Attribute) map[string]schema.Attribute {
	all := map[string]schema.Attribute{
		"id":     computed("The cloud's own name for it; what it is imported by."),
		"name":   required("Name, for people: it need not be the only one of its kind."),
		"tenant": computed("Tenant it belongs to: that of the provider's configuration."),
	}
	maps.Copy(all, own)
	return all
}

// withFixedName is for what others find by its name.
func withFixedName(own map[string]schema.Attribute) map[string]schema.Attribute {
	all := withCommon(own)
	all["name"] = required("Name, the only one of its kind in the tenant.", fixed)
	return all
}

func required(description string, modifiers ...planmodifier.String) schema.StringAttribute {
	return schema.StringAttribute{Required: true, Description: description, PlanModifiers: modifiers}
}

func chosen(description string, modifiers ...planmodifier.String) schema.StringAttribute {
	return schema.StringAttribute{Optional: true, Description: description, PlanModifiers: modifiers}
}

func defaulted(description, value string, modifiers ...planmodifier.String) schema.StringAttribute {
	return schema.StringAttribute{
		Optional: true, Computed: true, Default: stringdefault.StaticString(value),
		Description: description, PlanModifiers: modifiers,
	}
}

func computed(description string) schema.StringAttribute {
	return schema.StringAttribute{Computed: true, Description: description, PlanModifiers: []planmodifier.String{kept}}
}
