package wire

import "encoding/json"

// Parity is the comparison of two environments as they are.
type Parity struct {
	Project string `json:"project"`
	A       string `json:"a"`
	B       string `json:"b"`
	// Number is null when nothing could be compared.
	Number     *float64         `json:"number" doc:"how alike they are: 1 exactly when nothing undeclared differs, rounded down otherwise"`
	Resources  int              `json:"resources"`
	Attributes int              `json:"attributes" doc:"that were compared by value"`
	Declared   int              `json:"declared" doc:"differences that somebody wrote down"`
	Undeclared int              `json:"undeclared" doc:"differences that nobody wrote down"`
	Instances  []ParityInstance `json:"instances"`
}

// ParityInstance is a stack in both environments.
type ParityInstance struct {
	Stack       string         `json:"stack"`
	A           *ParityState   `json:"a" doc:"null where the environment does not have it"`
	B           *ParityState   `json:"b"`
	NotCompared string         `json:"not_compared,omitempty" doc:"why nothing is said of it; it does not count"`
	Resources   int            `json:"resources"`
	Attributes  int            `json:"attributes"`
	Declared    int            `json:"declared"`
	Undeclared  int            `json:"undeclared"`
	Differences []ParityChange `json:"differences"`
}

// ParityState is what an instance was made from and with.
type ParityState struct {
	Release   Release           `json:"release"`
	Engine    string            `json:"engine,omitempty"`
	Providers map[string]string `json:"providers,omitempty"`
	SeenBy    string            `json:"seen_by,omitempty" doc:"the run that found what is compared instead of the state"`
	NoCode    string            `json:"no_code,omitempty" doc:"why its code could not be read, so that nothing of it is declared"`
}

// ParityChange is one thing that differs.
type ParityChange struct {
	Kind      string `json:"kind" enum:"stack,release,engine,provider,variable,resource,attribute"`
	Address   string `json:"address,omitempty" doc:"of the resource; of a variable or a provider its name"`
	Path      string `json:"path,omitempty" doc:"of the attribute"`
	Declared  bool   `json:"declared"`
	Because   string `json:"because" doc:"what it follows from, or why nobody wrote it down"`
	Sensitive bool   `json:"sensitive,omitempty" doc:"both values are left out"`
	// A and B are missing where there is nothing.
	A json.RawMessage `json:"a,omitempty"`
	B json.RawMessage `json:"b,omitempty"`
}
