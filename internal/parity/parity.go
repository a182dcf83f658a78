// Package parity compares two environments as they are: releases, versions, variables, and
// every resource by address and attribute. Two sides go in, a report comes out; there is no
// I/O, no clock, and nothing sensitive in what comes out.
//
// Three questions are asked of each attribute, in this order:
//
//  1. Are the two alike? What identifies a thing is not compared by its text but by what it
//     stands for (identity.go, references.go).
//  2. If not, does each environment have what its own code gives with its own variables
//     (expected.go)? What somebody changed by hand does not.
//  3. If so, what does the difference follow from (causes.go)? A variable, a setting or a
//     release is written down, so the difference is declared. All else is undeclared.
//
// docs/decisions/021-what-parity-is.md says why, and where the method ends.
package parity

import (
	"github.com/terrace-cd/terrace/internal/statefile"
)

// Side is one environment.
type Side struct {
	Environment string
	Instances   []Instance
}

// Instance is a stack in an environment.
type Instance struct {
	Stack string
	// Wanted: the configuration that is there has the stack in this environment. Unwanted
	// says why not.
	Wanted   bool
	Unwanted string
	// Applied: it has a state.
	Applied bool
	// NotCompared says why nothing can be said of it, "" when it can.
	NotCompared string

	Release   Release
	Engine    Version
	Providers map[string]Version // by address, without the registry's host
	Variables map[string]Variable
	State     statefile.File
	// Seen is what was found in reality since the state was written, by address and path
	// of the attribute: it is compared instead of what the state says.
	Seen map[string]map[string]any
	// SeenBy is the run that found it.
	SeenBy string
	// Code is nil when it cannot be read; NoCode says why.
	Code   Code
	NoCode string
}

// Release is what an instance was made from.
type Release struct {
	Number int64
	Commit string
}

// Version is that of an engine or a provider. Pinned is what the repository says of it: a
// constraint, or what the lock file has. "" says nothing.
type Version struct{ Name, Number, Pinned string }

// Variable is what goes into a stack.
type Variable struct {
	Value     any // as JSON is decoded, numbers as json.Number
	Sensitive bool
	// Where it is written, for people; "" for the code's own default.
	Where string
	// Secret: the value is a secret of the environment, which is not looked at.
	Secret bool
	// From are the outputs of other stacks that the value is made of, nil when it is
	// written down as it is.
	From []Output
}

// Output is an output of a stack.
type Output struct{ Stack, Name string }

// Code is what the code of an instance says, evaluated with the variables of its
// environment, and with its state for what other resources are. Addresses are those of
// the state.
type Code interface {
	// Block is a digest of what is written of a resource, by its address without keys;
	// false when the code has no such block.
	Block(block string) (string, bool)
	// Keys says which instances of a block there are to be, and what that follows from.
	Keys(block string) Keys
	// Writes reports whether an attribute, or a nested block, of an instance is written.
	Writes(address, name string) bool
	// Expression is what is written of it.
	Expression(address, name string) Expression
	// Output is the expression of an output of the root module.
	Output(name string) Expression
	// Given are values that reach a resource in another way than through its own block: the
	// configuration of its provider, and the arguments of a module whose code is not in the
	// repository. By a name for people.
	Given(address string) map[string]Expression
}

// Expression is what code gives for an attribute.
type Expression struct {
	// Value is as JSON is decoded; Unknown stands where it cannot be said. A nested block
	// is a list of objects.
	Value     any
	Sensitive bool
	// Text is a digest of what is written, and of all that it refers to.
	Text string
	// Roots are what it follows from in the end. In tells them for a part of the value, "" for
	// all of it; nil when the parts are not told apart.
	Roots []Root
	In    func(path string) []Root
	// Blocks: it is one or several nested blocks, and what is not written in them is not
	// null but up to the provider.
	Blocks bool
}

// Keys are the addresses that a block is to have.
type Keys struct {
	Known     bool
	Addresses map[string]bool
	Expression
}

// Unknown stands for what cannot be evaluated.
type Unknown struct{}

// RootKind is what a value follows from.
type RootKind uint8

// The kinds of roots.
const (
	// RootVariable is a variable of the root module.
	RootVariable RootKind = iota + 1
	// RootResource is an attribute of a resource or a data source, or with an empty path
	// all of it.
	RootResource
	// RootOpaque is what cannot be looked into.
	RootOpaque
)

// Root is where a reference ends. For a resource, Name is its address, without a key for all of its
// instances.
type Root struct {
	Kind RootKind
	Name string
	Path string
}
