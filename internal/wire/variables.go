package wire

import "encoding/json"

// Variables are those of an instance, as a release sets them.
type Variables struct {
	Instance  string     `json:"instance"`
	Release   Release    `json:"release"`
	Variables []Variable `json:"variables"`
}

// Variable is one that the root module declares.
type Variable struct {
	Name      string          `json:"name"`
	Type      string          `json:"type"`
	Value     json.RawMessage `json:"value,omitempty" doc:"not there when it is sensitive, or the code's own default"`
	Sensitive bool            `json:"sensitive,omitempty"`
	Source    string          `json:"source" doc:"where the value is written"`
	At        string          `json:"at,omitempty" doc:"its file and line"`
	From      []string        `json:"from,omitempty" doc:"outputs of other instances that it is made of"`
	Default   bool            `json:"default,omitempty" doc:"it is the code's own default"`
}
