package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/int64default"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terrace-cd/terrace/internal/demo/democloud"
)

type dnsRecord struct {
	common
	RecordType types.String `tfsdk:"type"`
	Value      types.String `tfsdk:"value"`
	TTL        types.Int64  `tfsdk:"ttl"`
}

func newDNSRecord() resource.Resource {
	return &cloudResource[dnsRecord, *dnsRecord]{kind: democloud.DNSRecord, schema: schema.Schema{
		Description: "A DNS record, which the cloud's own resolver answers: GET /resolve?name=NAME.",
		Attributes: withFixedName(map[string]schema.Attribute{
			"type":  defaulted("A, CNAME, TXT or SRV.", "A", fixed),
			"value": required("What the name resolves to."),
			"ttl": schema.Int64Attribute{
				Optional: true, Computed: true, Default: int64default.StaticInt64(60), Description: "Seconds that an answer may be kept.",
			},
		}),
	}}
}

func (m *dnsRecord) wanted(context.Context) (string, democloud.Spec) {
	return m.Name.ValueString(), democloud.Spec{
		RecordType: m.RecordType.ValueString(), Value: m.Value.ValueString(), TTL: m.TTL.ValueInt64(),
	}
}

func (m *dnsRecord) learn(r democloud.Resource) {
	m.common.learn(r)
	m.RecordType = types.StringValue(r.Spec.RecordType)
	m.Value = types.StringValue(r.Spec.Value)
	m.TTL = types.Int64Value(r.Spec.TTL)
}
