// Package archtest holds the tests that keep the shape of the program and its
// documents true: the import table of docs/architecture.md, links and paths named in
// documents, and the make targets that the README names. It has no code of its own.
package archtest
