package sops

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// deepest bounds how far objects and lists are nested.
const deepest = 50

var errTooDeep = fmt.Errorf("it is nested more than %d deep", deepest)

// parseYAML reads one YAML document; the metadata is nil when there is none.
func parseYAML(content []byte) (branch, map[string]any, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document yaml.Node
	if err := decoder.Decode(&document); err != nil {
		return nil, nil, fmt.Errorf("it is no YAML: %s", firstLine(err))
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("it has more than one YAML document")
	}
	if document.Kind != yaml.DocumentNode || len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return nil, nil, errors.New("it is no YAML object")
	}
	value, err := yamlValue(document.Content[0], 0)
	if err != nil {
		return nil, nil, err
	}
	return split(value.(branch))
}

func yamlValue(n *yaml.Node, depth int) (any, error) {
	if depth > deepest {
		return nil, errTooDeep
	}
	switch n.Kind {
	case yaml.MappingNode:
		out, names := branch{}, map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" {
				return nil, fmt.Errorf("line %d: a name has to be a text", key.Line)
			}
			if names[key.Value] {
				return nil, fmt.Errorf("line %d: %s is there twice", key.Line, key.Value)
			}
			names[key.Value] = true
			value, err := yamlValue(n.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, item{key.Value, value})
		}
		return out, nil
	case yaml.SequenceNode:
		list := []any{}
		for _, e := range n.Content {
			value, err := yamlValue(e, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		return list, nil
	case yaml.ScalarNode:
		var value any
		if err := n.Decode(&value); err != nil {
			return nil, fmt.Errorf("line %d: not a value", n.Line)
		}
		return value, nil
	}
	return nil, fmt.Errorf("line %d: aliases are not read, and SOPS writes none", n.Line)
}

// parseJSON reads one JSON object, keeping its order.
func parseJSON(content []byte) (branch, map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	value, err := jsonValue(decoder, 0)
	if err != nil {
		return nil, nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("something follows the JSON object")
	}
	tree, ok := value.(branch)
	if !ok {
		return nil, nil, errors.New("it is no JSON object")
	}
	return split(tree)
}

func jsonValue(d *json.Decoder, depth int) (any, error) {
	if depth > deepest {
		return nil, errTooDeep
	}
	token, err := d.Token()
	if err != nil {
		return nil, errors.New("it is no JSON")
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '[' {
			list := []any{}
			for d.More() {
				value, err := jsonValue(d, depth+1)
				if err != nil {
					return nil, err
				}
				list = append(list, value)
			}
			return list, ended(d)
		}
		out, names := branch{}, map[string]bool{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, errors.New("it is no JSON")
			}
			name, _ := key.(string)
			if names[name] {
				return nil, fmt.Errorf("%s is there twice", name)
			}
			names[name] = true
			value, err := jsonValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, item{name, value})
		}
		return out, ended(d)
	case json.Number:
		if i, err := t.Int64(); err == nil {
			return int(i), nil
		}
		return t.Float64()
	}
	return token, nil
}

// ended reads the end of a list or an object.
func ended(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return errors.New("it is no JSON")
	}
	return nil
}

// split takes the metadata out of a tree.
func split(tree branch) (branch, map[string]any, error) {
	for i, it := range tree {
		if it.key != metadataKey {
			continue
		}
		meta, ok := plain(it.value).(map[string]any)
		if !ok {
			return nil, nil, errors.New(metadataKey + " is no object")
		}
		return append(tree[:i:i], tree[i+1:]...), meta, nil
	}
	return tree, nil, nil
}

const metadataKey = "sops"

// plain forgets order.
func plain(value any) any {
	switch v := value.(type) {
	case branch:
		out := map[string]any{}
		for _, it := range v {
			out[it.key] = plain(it.value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plain(e)
		}
		return out
	case time.Time:
		return v.Format(time.RFC3339)
	}
	return value
}

// parseDotenv reads lines NAME=value, in which metadata has names of its own.
func parseDotenv(content []byte) (branch, map[string]any, error) {
	var tree branch
	meta, names := map[string]any{}, map[string]bool{}
	for number, line := range strings.Split(string(content), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, nil, fmt.Errorf("line %d is not NAME=value", number+1)
		}
		value = strings.ReplaceAll(value, `\n`, "\n")
		if flat, ok := strings.CutPrefix(name, metadataKey+"_"); ok {
			if err := unflatten(meta, flat, value); err != nil {
				return nil, nil, err
			}
			continue
		}
		if names[name] {
			return nil, nil, fmt.Errorf("%s is there twice", name)
		}
		names[name] = true
		tree = append(tree, item{name, value})
	}
	if len(meta) == 0 {
		return tree, nil, nil
	}
	return tree, meta, nil
}

// unflatten puts one value of flat metadata, age__list_0__map_enc, where it belongs.
func unflatten(meta map[string]any, name, value string) error {
	kind, rest, nested := strings.Cut(name, "__list_")
	if !nested {
		meta[name] = value
		return nil
	}
	var index int
	var field string
	if _, err := fmt.Sscanf(rest, "%d__map_%s", &index, &field); err != nil {
		return fmt.Errorf("the metadata %s is not understood", name)
	}
	list, _ := meta[kind].([]any)
	const most = 100
	if index < 0 || index >= most {
		return fmt.Errorf("the metadata %s is not understood", name)
	}
	for len(list) <= index {
		list = append(list, map[string]any{})
	}
	list[index].(map[string]any)[field] = value
	meta[kind] = list
	return nil
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return strings.TrimPrefix(line, "yaml: ")
}
