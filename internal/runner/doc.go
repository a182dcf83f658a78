// Package runner executes one attempt at a run, from its claim to its end, in a process
// of its own that talks to the server over HTTP and nothing else. The server can go
// away and come back at any moment: what the runner has to say is said again until it
// is heard, and the log waits in a file.
//
// The server decides, the runner does: after the plan it is told to apply, to go on
// without, to wait or to stop; after each step it is told what follows. How a run ends is in
// verdict.go, with the reason for each word: failed, errored, cancelled, unknown.
//
// Nothing leaves the runner unmasked: log, plan, messages.
package runner
