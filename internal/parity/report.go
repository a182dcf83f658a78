package parity

import (
	"cmp"
	"math"
)

// Report is what comes of comparing two environments.
type Report struct {
	A, B      string
	Instances []Pair
	Total
}

// Pair is one stack in both environments.
type Pair struct {
	Stack string
	A, B  *State // nil where it is not
	// NotCompared says why nothing is said of it.
	NotCompared string
	Differences []Difference
	Total
}

// State is what an instance is, for a glance.
type State struct {
	Release   Release
	Engine    Version
	Providers map[string]Version
	SeenBy    string
	NoCode    string
}

// Kind is what differs.
type Kind string

// The kinds of differences.
const (
	KindRelease   Kind = "release"
	KindEngine    Kind = "engine"
	KindProvider  Kind = "provider"
	KindVariable  Kind = "variable"
	KindStack     Kind = "stack"
	KindResource  Kind = "resource"
	KindAttribute Kind = "attribute"
)

// Difference is one thing that differs. A and B are nil where there is nothing, and both are when it
// is sensitive.
type Difference struct {
	Kind      Kind
	Address   string // of the resource; of a variable or a provider its name
	Path      string // of the attribute
	A, B      any
	Sensitive bool
	Declared  bool
	// Because says what it follows from, or why nobody wrote it down.
	Because string
}

// Total counts. Resources and attributes are those of either environment, each once.
type Total struct {
	Resources  int
	Attributes int // compared by value
	Declared   int // differences
	Undeclared int

	weight, score float64
}

// count adds a thing of weight 1, of whose parts some are alike or declared.
func (t *Total) count(good, parts int) {
	t.weight++
	if parts > 0 {
		t.score += float64(good) / float64(parts)
	}
}

func (t *Total) add(o Total) {
	t.Resources += o.Resources
	t.Attributes += o.Attributes
	t.Declared += o.Declared
	t.Undeclared += o.Undeclared
	t.weight += o.weight
	t.score += o.score
}

// steps is how finely the number is told.
const steps = 10_000

// Number is how alike the two are: each resource, and each instance's versions, counts 1,
// shared by its compared attributes, of which those count that are alike or whose difference is
// declared. A resource of which something differs undeclared that its code writes counts nothing. It is 1 exactly when nothing is undeclared, and otherwise rounded down. ok is
// false when nothing could be compared.
func (t Total) Number() (n float64, ok bool) {
	switch {
	case t.weight == 0:
		return 0, false
	case t.Undeclared == 0:
		return 1, true
	}
	return min(math.Floor(t.score/t.weight*steps), steps-1) / steps, true
}

// order sorts differences: what was not declared first, then by what they are of.
func order(a, b Difference) int {
	if a.Declared != b.Declared {
		if b.Declared {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(rank[a.Kind], rank[b.Kind]), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Path, b.Path))
}

var rank = map[Kind]int{KindStack: 1, KindRelease: 2, KindEngine: 3, KindProvider: 4, KindVariable: 5, KindResource: 6, KindAttribute: 7}
