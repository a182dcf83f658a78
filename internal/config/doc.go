// Package config reads terrace.hcl. Load turns a Tree (a folder or a git commit) into
// a Config and reports every problem it finds at once, each with file, line and what
// to do about it. A Config answers which instances an environment has and in which
// order, and evaluates what goes into the engine (Inputs) and what follows an apply
// (After) once the outputs of other stacks are known. It never runs anything, opens no
// network connection and reads files only through its Tree.
//
// Start with load.go, which names the passes in order; schema.go is the language as
// data, from which docs/reference/configuration.md is generated.
package config
