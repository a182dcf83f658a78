package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-framework/diag"
	"github.com/hashicorp/terraform-plugin-framework/path"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/demo/democloud"
)

// model is a resource's attributes as the engine knows them; M is the struct itself,
// its methods have a pointer receiver.
type model[M any] interface {
	*M
	// wanted is what the cloud is asked for.
	wanted(ctx context.Context) (name string, spec democloud.Spec)
	// learn takes over what the cloud says.
	learn(democloud.Resource)
	// id is empty before the resource exists.
	id() string
}

// cloudResource carries every type of resource: they differ in their schema and model.
type cloudResource[M any, P model[M]] struct {
	kind    democloud.Type
	schema  schema.Schema
	session *session
}

func (r *cloudResource[M, P]) Metadata(_ context.Context, req resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = req.ProviderTypeName + "_" + string(r.kind)
}

func (r *cloudResource[M, P]) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	resp.Schema = r.schema
}

func (r *cloudResource[M, P]) Configure(_ context.Context, req resource.ConfigureRequest, _ *resource.ConfigureResponse) {
	r.session, _ = req.ProviderData.(*session) // nil while the engine only validates
}

func (r *cloudResource[M, P]) Create(ctx context.Context, req resource.CreateRequest, resp *resource.CreateResponse) {
	m := P(new(M))
	resp.Diagnostics.Append(req.Plan.Get(ctx, m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	name, spec := m.wanted(ctx)
	made, err := r.session.client.Create(ctx, r.kind, name, spec, r.session.latency)
	if err != nil {
		r.report(&resp.Diagnostics, "create", name, err)
		return
	}
	// From here on it exists: whatever happens next, the state has to name it.
	m.learn(made)
	resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
	if made.State == democloud.Creating {
		ready, err := r.session.client.WaitReady(ctx, r.kind, made.ID)
		if err != nil {
			r.report(&resp.Diagnostics, "wait for", name, err)
			return
		}
		m.learn(ready)
		resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
	}
}

func (r *cloudResource[M, P]) Read(ctx context.Context, req resource.ReadRequest, resp *resource.ReadResponse) {
	m := P(new(M))
	resp.Diagnostics.Append(req.State.Get(ctx, m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	found, err := r.session.client.Get(ctx, r.kind, m.id())
	if core.CodeOf(err) == core.NotFound {
		resp.State.RemoveResource(ctx)
		return
	}
	if err != nil {
		r.report(&resp.Diagnostics, "read", m.id(), err)
		return
	}
	m.learn(found)
	resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
}

func (r *cloudResource[M, P]) Update(ctx context.Context, req resource.UpdateRequest, resp *resource.UpdateResponse) {
	m, old := P(new(M)), P(new(M))
	resp.Diagnostics.Append(req.Plan.Get(ctx, m)...)
	resp.Diagnostics.Append(req.State.Get(ctx, old)...)
	if resp.Diagnostics.HasError() {
		return
	}
	name, spec := m.wanted(ctx)
	changed, err := r.session.client.Update(ctx, r.kind, old.id(), name, spec)
	if err != nil {
		r.report(&resp.Diagnostics, "update", name, err)
		return
	}
	m.learn(changed)
	resp.Diagnostics.Append(resp.State.Set(ctx, m)...)
}

func (r *cloudResource[M, P]) Delete(ctx context.Context, req resource.DeleteRequest, resp *resource.DeleteResponse) {
	m := P(new(M))
	resp.Diagnostics.Append(req.State.Get(ctx, m)...)
	if resp.Diagnostics.HasError() {
		return
	}
	err := r.session.client.Delete(ctx, r.kind, m.id())
	if err != nil && core.CodeOf(err) != core.NotFound {
		r.report(&resp.Diagnostics, "destroy", m.id(), err)
	}
}

func (r *cloudResource[M, P]) ImportState(ctx context.Context, req resource.ImportStateRequest, resp *resource.ImportStateResponse) {
	resource.ImportStatePassthroughID(ctx, path.Root("id"), req, resp)
}

func (r *cloudResource[M, P]) report(diags *diag.Diagnostics, verb, name string, err error) {
	diags.AddError(fmt.Sprintf("Could not %s the %s %s", verb, r.kind, name),
		fmt.Sprintf("%v\n\nThe cloud is the democloud at %s, the tenant is %s.", err, r.session.client.URL, r.session.client.Tenant))
}

// optional is null for what the cloud leaves empty.
func optional(s string) types.String {
	if s == "" {
		return types.StringNull()
	}
	return types.StringValue(s)
}
