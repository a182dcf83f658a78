// Package core holds the words of Terrace: the types of docs/model.md, the
// transition table of a run, the error codes, and the ports through which the
// rest of the program reaches storage. It imports the standard library only and
// does no I/O; every other package may import it.
package core
