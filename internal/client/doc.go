// Package client speaks the HTTP API of a Terrace server, for two very different
// callers. A person's command asks once and wants a clear answer at once. A runner is
// in the middle of changing infrastructure and has to be heard: its calls are tried
// again, with growing pauses, for as long as their context lives, so that a run
// outlives a restart of the server. Every runner call may be repeated without harm;
// the server answers the second one like the first.
//
// A token is sent to the configured address only: redirects are never followed.
package client
