package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terrace-cd/terrace/internal/demo/democloud"
)

type network struct {
	common
	CIDR types.String `tfsdk:"cidr"`
}

func newNetwork() resource.Resource {
	return &cloudResource[network, *network]{kind: democloud.Network, schema: schema.Schema{
		Description: "A network, to which servers and load balancers can belong.",
		Attributes: withCommon(map[string]schema.Attribute{
			"cidr": required("Address range such as 10.0.0.0/16.", fixed),
		}),
	}}
}

func (m *network) wanted(context.Context) (string, democloud.Spec) {
	return m.Name.ValueString(), democloud.Spec{CIDR: m.CIDR.ValueString()}
}

func (m *network) learn(r democloud.Resource) {
	m.common.learn(r)
	m.CIDR = types.StringValue(r.Spec.CIDR)
}
