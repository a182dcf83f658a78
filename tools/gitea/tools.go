//go:build tools

// Package tools keeps the forge's program among the module's requirements.
package tools

import _ "code.gitea.io/gitea"
