package policy

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// withheld are built-ins that a policy does not have, beside those that OPA itself marks
// as not deterministic (http.send, opa.runtime, net.lookup_ip_addr, time.now_ns, rand.intn,
// uuid.rfc4122 and the signing of tokens). A JSON schema may refer to a file or an address,
// and is read from there. The paths of a graph can be more than anybody waits for, and
// counting them cannot be stopped.
var withheld = []string{"json.match_schema", "json.verify_schema", "graph.reachable_paths"}

// capabilities are what a policy may use.
func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(slices.Clone(c.Builtins), func(b *ast.Builtin) bool {
		return b.Nondeterministic || slices.Contains(withheld, b.Name)
	})
	c.AllowNet = []string{} // not nil, which would be every host
	return c
}

// withheldIn names the built-in that the compiler did not find, when OPA has it.
func withheldIn(message string) string {
	name, ok := strings.CutPrefix(message, "undefined function ")
	if ok && ast.BuiltinMap[name] != nil {
		return name
	}
	return ""
}
