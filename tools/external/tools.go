//go:build tools

// Package external keeps the module that scripts/deps builds.
package external

import _ "github.com/terraform-providers/terraform-provider-external"
