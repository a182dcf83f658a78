package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terrace-cd/terrace/internal/demo/democloud"
)

type loadBalancer struct {
	common
	NetworkID  types.String   `tfsdk:"network_id"`
	Servers    []types.String `tfsdk:"servers"`
	HealthPath types.String   `tfsdk:"health_path"`
	Address    types.String   `tfsdk:"address"`
	URL        types.String   `tfsdk:"url"`
}

func newLoadBalancer() resource.Resource {
	return &cloudResource[loadBalancer, *loadBalancer]{kind: democloud.LoadBalancer, schema: schema.Schema{
		Description: "A load balancer: it has a port of its own and gives requests to its healthy servers in turn.",
		Attributes: withCommon(map[string]schema.Attribute{
			"network_id": chosen("Network it belongs to.", fixed),
			"servers": schema.ListAttribute{
				ElementType: types.StringType, Required: true, Description: "Ids of the servers behind it.",
			},
			"health_path": defaulted("Path that a healthy server answers with 200.", "/healthz"),
			"address":     computed("host:port it listens on."),
			"url":         computed("URL of what its servers serve."),
		}),
	}}
}

func (m *loadBalancer) wanted(context.Context) (string, democloud.Spec) {
	spec := democloud.Spec{NetworkID: m.NetworkID.ValueString(), HealthPath: m.HealthPath.ValueString()}
	for _, id := range m.Servers {
		spec.Servers = append(spec.Servers, id.ValueString())
	}
	return m.Name.ValueString(), spec
}

func (m *loadBalancer) learn(r democloud.Resource) {
	m.common.learn(r)
	m.NetworkID = optional(r.Spec.NetworkID)
	m.Servers = []types.String{} // empty, not null: the attribute is required
	for _, id := range r.Spec.Servers {
		m.Servers = append(m.Servers, types.StringValue(id))
	}
	m.HealthPath = types.StringValue(r.Spec.HealthPath)
	m.Address = types.StringValue(r.Address)
	m.URL = types.StringValue(r.URL)
}
