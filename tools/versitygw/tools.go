//go:build tools

// Package tools keeps the object store's program among the module's requirements.
package tools

import _ "github.com/versity/versitygw/cmd/versitygw"
