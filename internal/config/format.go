package config

import (
	"bytes"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format returns src in the canonical style. It changes layout only. A source that
// does not parse comes back as it is; CheckSyntax says why.
func Format(src []byte) []byte {
	if CheckSyntax(FileName, src).HasErrors() {
		return src
	}
	out := hclwrite.Format(src)
	out = bytes.TrimRight(out, "\n")
	if len(out) == 0 {
		return nil
	}
	return append(out, '\n')
}

// CheckSyntax reports what keeps a source from being parsed at all.
func CheckSyntax(name string, src []byte) hcl.Diagnostics {
	_, diags := parse(name, src)
	return diags
}
