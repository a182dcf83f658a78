// Package provider is the provider of democloud for OpenTofu and Terraform, on
// terraform-plugin-framework, protocol 6. Engines start it through the mirror that
// democloud.WriteMirror writes; the program behind it calls Serve. What it creates it
// tags with the run it works for, as the environment names it (TERRACE_RUN,
// TERRACE_FENCE).
package provider

import (
	"context"
	"os"
	"time"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terrace-cd/terrace/internal/demo/democloud"
)

// Serve speaks the plugin protocol on standard output until the engine says stop or
// ctx ends.
func Serve(ctx context.Context) error {
	return providerserver.Serve(ctx, New, providerserver.ServeOpts{
		Address: democloud.ProviderHosts[0] + "/" + democloud.ProviderSource,
	})
}

// New returns the provider.
func New() provider.Provider { return &cloudProvider{} }

type cloudProvider struct{}

type config struct {
	Endpoint types.String `tfsdk:"endpoint"`
	Tenant   types.String `tfsdk:"tenant"`
	Latency  types.String `tfsdk:"latency"`
}

// session is one configuration of the provider: an alias of its own has its own.
type session struct {
	client  democloud.Client
	latency *time.Duration
}

func (p *cloudProvider) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "democloud"
	resp.Version = democloud.ProviderVersion
}

func (p *cloudProvider) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	resp.Schema = schema.Schema{
		Description: "A small cloud on this machine, for trying things out.",
		Attributes: map[string]schema.Attribute{
			"endpoint": schema.StringAttribute{
				Optional:    true,
				Description: "URL of the cloud; default: the environment variable DEMOCLOUD_ENDPOINT.",
			},
			"tenant": schema.StringAttribute{
				Optional:    true,
				Description: "Whose resources these are, such as an account or a region; default: default.",
			},
			"latency": schema.StringAttribute{
				Optional:    true,
				Description: "How long a new resource takes to be ready, such as 1s; default: what the cloud is set to.",
			},
		},
	}
}

func (p *cloudProvider) Configure(ctx context.Context, req provider.ConfigureRequest, resp *provider.ConfigureResponse) {
	var c config
	resp.Diagnostics.Append(req.Config.Get(ctx, &c)...)
	if resp.Diagnostics.HasError() {
		return
	}
	s := &session{client: democloud.Client{
		URL:    c.Endpoint.ValueString(),
		Tenant: c.Tenant.ValueString(),
		Caller: democloud.Caller{Run: os.Getenv("TERRACE_RUN"), Fence: os.Getenv("TERRACE_FENCE")},
	}}
	if s.client.URL == "" {
		s.client.URL = os.Getenv("DEMOCLOUD_ENDPOINT")
	}
	if s.client.Tenant == "" {
		s.client.Tenant = "default"
	}
	// An endpoint that only the apply will know is no mistake during a plan.
	if s.client.URL == "" && !c.Endpoint.IsUnknown() {
		resp.Diagnostics.AddAttributeError(path.Root("endpoint"), "No endpoint",
			"Set endpoint in the provider's configuration, or DEMOCLOUD_ENDPOINT in the environment, to the cloud's URL.")
	}
	if text := c.Latency.ValueString(); text != "" {
		latency, err := time.ParseDuration(text)
		if err != nil || latency < 0 {
			resp.Diagnostics.AddAttributeError(path.Root("latency"), "Not a duration", `latency is a time such as "500ms" or "2s".`)
		}
		s.latency = &latency
	}
	resp.ResourceData = s
}

func (p *cloudProvider) DataSources(context.Context) []func() datasource.DataSource { return nil }

func (p *cloudProvider) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{newNetwork, newServer, newLoadBalancer, newDNSRecord, newDatabase}
}
