package source

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// json looks through a configuration file in JSON syntax. Whether an array stands for
// several blocks or for a list only a schema could say, so both are gone through alike.
func (x *extractor) json(src []byte) {
	j := &jsonWalker{x: x, src: src, line: 1, decoder: json.NewDecoder(bytes.NewReader(src))}
	j.decoder.UseNumber()
	j.value(nil)
	for i := range j.modules {
		if m := &j.modules[i]; m.source != nil {
			for _, source := range m.source {
				x.moduleSource(source, m.version, m.line, m.args)
			}
		}
	}
}

type jsonWalker struct {
	x       *extractor
	src     []byte
	decoder *json.Decoder
	offset  int64 // up to which lines were counted
	line    int
	modules []jsonModule
}

type jsonModule struct {
	source  []string
	version []string
	line    int
	args    []named
}

// value reads one value; path holds the object keys that lead to it. It returns false
// at the end of what can be read.
func (j *jsonWalker) value(path []string) bool {
	token, err := j.decoder.Token()
	if err != nil {
		return false
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '[' {
			for j.decoder.More() {
				if !j.value(path) {
					return false
				}
			}
			_, err := j.decoder.Token()
			return err == nil
		}
		if len(path) == 2 && path[0] == "module" {
			j.modules = append(j.modules, jsonModule{})
		}
		for j.decoder.More() {
			key, err := j.decoder.Token()
			name, ok := key.(string)
			if err != nil || !ok || !j.value(append(path, name)) {
				return false
			}
		}
		_, err := j.decoder.Token()
		return err == nil
	case string:
		j.text(path, token)
	case json.Number:
		j.keep(path, []string{literal(token.String())})
	}
	return true
}

// lineNow counts lines up to the token that was just read.
func (j *jsonWalker) lineNow() int {
	if now := j.decoder.InputOffset(); now > j.offset {
		j.line += bytes.Count(j.src[j.offset:now], []byte("\n"))
		j.offset = now
	}
	return j.line
}

func (j *jsonWalker) text(path []string, s string) {
	if slices.Contains(path, "backend") || slices.Contains(path, "required_providers") || slices.Contains(path, "//") {
		return
	}
	line := j.lineNow()
	named := len(path) == 2 && path[0] == "locals" || len(path) == 3 && path[0] == "module" || len(path) == 3 && path[0] == "variable"
	values := []string{bounded(literal(s))}
	if bytes.Contains([]byte(s), []byte("${")) || bytes.Contains([]byte(s), []byte("%{")) {
		e, diags := hclsyntax.ParseTemplate([]byte(s), "", hcl.Pos{Line: line, Column: 1})
		if e == nil || diags.HasErrors() {
			return
		}
		values = templates(e)
		if len(path) < 2 || path[0] != "module" || path[len(path)-1] != "source" {
			j.x.functionsIn(e, named && followed(values))
		}
	} else if !named {
		j.x.hint(values[0], line)
	}
	if n := len(path); n >= 3 && path[n-3] == "provisioner" && path[n-2] == "file" && path[n-1] == "source" {
		for _, t := range values {
			j.x.read(reading{how: readFunction, path: t, name: "provisioner file", line: line})
		}
	}
	j.keep(path, values)
}

// keep notes values that other files may refer to.
func (j *jsonWalker) keep(path, values []string) {
	switch {
	case len(path) == 2 && path[0] == "locals":
		j.x.locals = appendNamed(j.x.locals, path[1], values)
	case len(path) == 3 && path[0] == "variable" && path[2] == "default":
		j.x.defaults = appendNamed(j.x.defaults, path[1], values)
	case len(path) == 3 && path[0] == "module" && len(j.modules) > 0:
		m := &j.modules[len(j.modules)-1]
		if path[2] == "source" {
			m.source, m.line = values, j.lineNow()
		} else if path[2] == "version" {
			m.version = values
		} else if !slices.Contains(notArguments, path[2]) {
			m.args = appendArgument(m.args, path[2], values)
		}
	}
}
