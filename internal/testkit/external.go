package testkit

import "testing"

// ExternalProvider is the program of the provider hashicorp/external 1.2.0, whose data source
// runs programs.
func ExternalProvider(t testing.TB) string {
	t.Helper()
	program, ok := inCache("external")
	if !ok {
		t.Fatal("the provider external is not installed; run: scripts/deps test")
	}
	return program
}
