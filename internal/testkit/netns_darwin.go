package testkit

import "testing"

// netns are for systems that have them; here hosts are on loopback.
type netns struct{}

func openNetns(testing.TB) *netns                    { return nil }
func (*netns) add(testing.TB, int) string            { return "" }
func (*netns) address(int) string                    { return "" }
func (*netns) hide(_ testing.TB, _, _ string) string { return "" }
func (*netns) root(_ testing.TB, _, _, _ string)     {}
