// Package faults is the fault suite: it breaks a running Terrace on purpose and checks
// that nothing is lost, nothing is done twice, and that it goes on.
//
// Each trial has a world of its own (world_test.go): the built program, a repository with
// two stacks and three environments (two in every test run), and democloud with its
// provider. Runners reach the server through a door (door_test.go), which sees every
// request and can hold it, refuse it, drop its reply or be shut. A row (row_test.go,
// rowNN_*_test.go) is a line of the fault table: it breaks something and says what has to
// come of it. The oracle (oracle_test.go) then compares what the cloud's journal says was
// done, by which run and under which fence, with states, recovery slots, releases and the
// audit log, and reports every violation of the invariants I1 to I8. It has tests of its
// own that feed it doctored evidence (oracle_self_test.go): a checker has to be able to
// fail.
//
// go test ./faults runs a short share of it; make faults all of it, on SQLite and on
// PostgreSQL, and prints a table. docs/operations.md tells how to use it.
package faults
