// Package testkit starts real things for tests: an engine, a git repository with a
// remote, an SSH server, a browser. What is missing fails the test and says what to
// run; nothing is skipped and nothing is pretended. Only tests import it.
package testkit
