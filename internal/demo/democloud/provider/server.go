package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terrace-cd/terrace/internal/demo/democloud"
)

type server struct {
	common
	NetworkID types.String `tfsdk:"network_id"`
	Image     types.String `tfsdk:"image"`
	Size      types.String `tfsdk:"size"`
	Address   types.String `tfsdk:"address"`
	URL       types.String `tfsdk:"url"`
	Root      types.String `tfsdk:"root"`
}

func newServer() resource.Resource {
	return &cloudResource[server, *server]{kind: democloud.Server, schema: schema.Schema{
		Description: "A server: it listens on a port of its own and serves the files of its own folder.",
		Attributes: withCommon(map[string]schema.Attribute{
			"network_id": chosen("Network it belongs to.", fixed),
			"image":      required("What it is made from; another image is another server.", fixed),
			"size":       defaulted("small, medium or large.", "small"),
			"address":    computed("host:port it listens on."),
			"url":        computed("URL of what it serves."),
			"root":       computed("Folder that it serves, on this machine."),
		}),
	}}
}

func (m *server) wanted(context.Context) (string, democloud.Spec) {
	return m.Name.ValueString(), democloud.Spec{
		NetworkID: m.NetworkID.ValueString(), Image: m.Image.ValueString(), Size: m.Size.ValueString(),
	}
}

func (m *server) learn(r democloud.Resource) {
	m.common.learn(r)
	m.NetworkID = optional(r.Spec.NetworkID)
	m.Image = types.StringValue(r.Spec.Image)
	m.Size = types.StringValue(r.Spec.Size)
	m.Address = types.StringValue(r.Address)
	m.URL = types.StringValue(r.URL)
	m.Root = types.StringValue(r.Root)
}
