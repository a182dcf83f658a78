package wanted

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/source"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Provisioning is what Ansible is to do at an instance.
type Provisioning struct {
	// Ansible is nil when the stack has no ansible block; the rest, but for Sensitive, is empty
	// then.
	Ansible *config.Ansible
	// Digest identifies what is to be done to all hosts.
	Digest string
	// Hosts has, by name, what identifies what is to be done to each; "" before an apply that
	// decides about it. Identity is what tells them from others of their names, "" when nothing does.
	Hosts    map[string]string
	Identity map[string]string
	// Together: a change of any host counts for all, and is in their digests.
	Together     bool
	Requirements []string // files of the repository that name roles and collections
	Sensitive    []string // texts that must not be shown
}

// After is what follows an apply.
type After struct {
	Provisioning
	Verify []config.Verify
}

// After evaluates what follows an apply, from the state that was just written.
func (e *Evaluator) After(ctx context.Context, p core.Project, r core.Release, cfg *config.Config, environment, stack string) (After, error) {
	own, err := e.own(ctx, outputKey{p.Name, stack, environment}, cfg.Selects(stack, environment))
	if err != nil {
		return After{}, err
	}
	var missing missing
	if missing.had, err = e.had(ctx, p, environment, stack); err != nil {
		return After{}, err
	}
	after, err := cfg.After(stack, environment, e.scope(ctx, p, r, cfg, environment, &missing), own)
	if err != nil {
		return After{}, err
	}
	out, err := e.provisioning(ctx, p, r, environment, stack, after.Ansible, own)
	return After{Provisioning: out, Verify: after.Verify}, err
}

// During evaluates the provisioning in the middle of an apply, whose outputs are in no
// state yet: now has those that are known, as JSON, and wins over the state's.
func (e *Evaluator) During(ctx context.Context, p core.Project, r core.Release, cfg *config.Config, environment, stack string, now map[string]json.RawMessage) (Provisioning, error) {
	own, err := e.own(ctx, outputKey{p.Name, stack, environment}, nil)
	if err != nil {
		return Provisioning{}, err
	}
	own.Outputs = maps.Clone(own.Outputs)
	if own.Outputs == nil {
		own.Outputs = map[string]cty.Value{}
	}
	for name, text := range now {
		t, err := ctyjson.ImpliedType(text)
		if err != nil {
			return Provisioning{}, core.Errorf(core.Invalid, "the output %q is not JSON: %w", name, err)
		}
		if own.Outputs[name], err = ctyjson.Unmarshal(text, t); err != nil {
			return Provisioning{}, core.Errorf(core.Invalid, "the output %q is not JSON: %w", name, err)
		}
	}
	var missing missing
	ansible, err := cfg.Provision(stack, environment, e.scope(ctx, p, r, cfg, environment, &missing), own)
	if err != nil {
		return Provisioning{}, err
	}
	return e.provisioning(ctx, p, r, environment, stack, ansible, own)
}

// Planned evaluates the provisioning that would follow the apply of a plan: outputs are those
// of the plan's planned_values, resources those of the types that the stack selects. What is
// not known before the apply is in Ansible.New and Ansible.UnknownVariables.
func (e *Evaluator) Planned(ctx context.Context, p core.Project, r core.Release, cfg *config.Config, environment, stack string, outputs json.RawMessage, resources []wire.PlannedResource) (Provisioning, error) {
	own := config.Own{}
	var err error
	if len(outputs) > 0 {
		if own.Outputs, err = config.OutputsFromPlan(outputs); err != nil {
			return Provisioning{}, err
		}
	}
	for _, planned := range resources {
		resource, err := config.PlannedResource(planned).Resource()
		if err != nil {
			return Provisioning{}, err
		}
		own.Resources = append(own.Resources, resource)
	}
	var missing missing
	ansible, err := cfg.Foresee(stack, environment, e.scope(ctx, p, r, cfg, environment, &missing), own)
	if err != nil {
		return Provisioning{}, err
	}
	return e.provisioning(ctx, p, r, environment, stack, ansible, own)
}

// provisioning adds to an evaluated block what identifies what it does.
func (e *Evaluator) provisioning(ctx context.Context, p core.Project, r core.Release, environment, stack string, a *config.Ansible, own config.Own) (Provisioning, error) {
	out := Provisioning{Ansible: a, Sensitive: sensitiveIn(own)}
	if a == nil {
		return out, nil
	}
	contents, err := e.Contents(ctx, p, r.Commit, environment)
	if err != nil {
		return out, err
	}
	content := contents[stack]
	out.Requirements, out.Together = content.Requirements, content.Together
	if a.Together != nil {
		out.Together = *a.Together
	}
	given := map[string]string{"playbook": a.Playbook} // to every host
	for name, value := range a.Variables {
		given["variable "+name] = e.Seal.Digest(value)
	}
	// A group that may be empty, and is, makes no difference.
	groups := maps.Clone(a.Inventory)
	maps.DeleteFunc(groups, func(_ string, hosts []config.Host) bool { return len(hosts) == 0 })
	inventory, err := json.Marshal(groups)
	if err != nil {
		return out, err
	}
	whole := map[string]string{"inventory": e.Seal.Digest(inventory)}
	maps.Copy(whole, given)
	maps.Copy(whole, content.Provision)
	out.Digest = digest(whole)
	given["secrets"] = strings.Join(slices.Sorted(slices.Values(a.Secrets)), "\n")
	if out.Together {
		given["inventory"] = whole["inventory"]
	}
	return out, e.eachHost(&out, digest(given), content)
}

// eachHost fills in what identifies each host, and what is done to it; given identifies what
// is the same for all, beside content.
func (e *Evaluator) eachHost(out *Provisioning, given string, content source.Content) error {
	named := map[string]bool{}
	for group, hosts := range out.Ansible.Inventory {
		named[group] = true
		for _, h := range hosts {
			named[h.Name] = true
		}
	}
	everything := digest(content.Provision)
	concerning := func(host string, groups []string) string {
		if content.Plays.Known && !out.Together {
			return content.Plays.Of(host, groups, named)
		}
		return everything
	}
	out.Hosts, out.Identity = map[string]string{}, map[string]string{}
	in := map[string][]string{} // groups by host, sorted
	for _, group := range slices.Sorted(maps.Keys(out.Ansible.Inventory)) {
		for _, h := range out.Ansible.Inventory[group] {
			in[h.Name] = append(in[h.Name], group)
		}
	}
	unknown := out.Together && (len(out.Ansible.New) > 0 || len(out.Ansible.UnknownVariables) > 0)
	for _, name := range out.Ansible.UnknownVariables {
		unknown = unknown || name != "bastion" && !strings.Contains(name, ": ") // an extra variable
	}
	for _, hosts := range out.Ansible.Inventory {
		for _, h := range hosts {
			if _, ok := out.Hosts[h.Name]; ok {
				continue
			}
			out.Identity[h.Name] = h.ID
			if unknown || h.Unknown {
				out.Hosts[h.Name] = ""
				continue
			}
			vars, err := json.Marshal(h.Vars)
			if err != nil {
				return err
			}
			out.Hosts[h.Name] = digest(map[string]string{"given": given, "content": concerning(h.Name, in[h.Name]), "name": h.Name, "id": h.ID, "vars": e.Seal.Digest(vars), "groups": strings.Join(in[h.Name], ",")})
		}
	}
	return nil
}
