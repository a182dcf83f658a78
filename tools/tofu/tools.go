//go:build tools

// Package tools keeps the engine's program among the module's requirements.
package tools

import _ "github.com/opentofu/opentofu/cmd/tofu"
