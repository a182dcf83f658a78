//go:build race

package web_test

// slower is how much slower everything may be with the race detector.
const slower = 5
