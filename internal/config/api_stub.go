package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/core"
)

type loaded struct{}

var errNotYet = core.Errorf(core.Internal, "not built yet")

// SensitiveMark marks values that must not be shown.
type sensitiveMark struct{}

var SensitiveMark = sensitiveMark{}

// ModuleCache keeps what was parsed of root modules, by content.
type ModuleCache struct{}

// NewModuleCache returns an empty cache, safe for concurrent use.
func NewModuleCache() *ModuleCache { return &ModuleCache{} }

// Loader loads configurations.
type Loader struct{ Modules *ModuleCache }

func (l *Loader) Load(tree Tree, root string) (*Config, hcl.Diagnostics) { return nil, nil }

func Load(tree Tree, root string) (*Config, hcl.Diagnostics) { return nil, nil }

// Instances lists the stacks of an environment in dependency order.
func (c *Config) Instances(env string) []Instance { return nil }

// InstanceDigest covers the settings of terrace.hcl that concern an instance and are in no other part of its input digest.
func (c *Config) InstanceDigest(stack, env string) string { return "" }

// Inputs evaluates what goes into the engine. Invalid when an expression fails;
// Conflict when an upstream has no outputs yet.
func (c *Config) Inputs(stack, env string, s Scope) (Inputs, error) { return Inputs{}, errNotYet }

// After evaluates ansible and verify with the instance's own outputs.
func (c *Config) After(stack, env string, s Scope, own map[string]cty.Value) (After, error) {
	return After{}, errNotYet
}

// OutputsFromState reads the outputs of a state.
func OutputsFromState(stateJSON []byte) (map[string]cty.Value, error) { return nil, errNotYet }

// Render writes diagnostics for a person.
func Render(diags hcl.Diagnostics, tree Tree, color bool) string { return "" }

// Format returns src in the canonical style.
func Format(src []byte) []byte { return src }
