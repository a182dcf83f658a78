package config

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// pureFunctions are the functions whose result depends on their arguments alone. They
// have the names that readers know from the engines' own language. There is none that
// reads a clock, the environment or the network: the same commit always evaluates to
// the same values.
var pureFunctions = map[string]function.Function{
	"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "floor": stdlib.FloorFunc, "log": stdlib.LogFunc, "max": stdlib.MaxFunc,
	"min": stdlib.MinFunc, "parseint": stdlib.ParseIntFunc, "pow": stdlib.PowFunc, "signum": stdlib.SignumFunc,

	"chomp": stdlib.ChompFunc, "format": limited(stdlib.FormatFunc), "formatlist": limited(stdlib.FormatListFunc), "indent": limitedIndent(stdlib.IndentFunc),
	"join": stdlib.JoinFunc, "lower": stdlib.LowerFunc, "replace": replaceFunc, "split": stdlib.SplitFunc,
	"strrev": stdlib.ReverseFunc, "substr": stdlib.SubstrFunc, "title": stdlib.TitleFunc, "trim": stdlib.TrimFunc,
	"trimprefix": stdlib.TrimPrefixFunc, "trimspace": stdlib.TrimSpaceFunc, "trimsuffix": stdlib.TrimSuffixFunc, "upper": stdlib.UpperFunc,
	"startswith": textTest(strings.HasPrefix), "endswith": textTest(strings.HasSuffix), "strcontains": textTest(strings.Contains),
	"regex": stdlib.RegexFunc, "regexall": stdlib.RegexAllFunc,

	"chunklist": stdlib.ChunklistFunc, "coalesce": stdlib.CoalesceFunc, "coalescelist": stdlib.CoalesceListFunc, "compact": stdlib.CompactFunc,
	"concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc, "distinct": stdlib.DistinctFunc, "element": stdlib.ElementFunc,
	"flatten": stdlib.FlattenFunc, "index": stdlib.IndexFunc, "keys": stdlib.KeysFunc, "length": lengthFunc, "lookup": stdlib.LookupFunc,
	"merge": stdlib.MergeFunc, "range": stdlib.RangeFunc, "reverse": stdlib.ReverseListFunc, "setintersection": stdlib.SetIntersectionFunc,
	"setsubtract": stdlib.SetSubtractFunc, "setunion": stdlib.SetUnionFunc, "slice": stdlib.SliceFunc, "sort": stdlib.SortFunc,
	"values": stdlib.ValuesFunc, "zipmap": stdlib.ZipmapFunc,

	"base64decode": base64Decode, "base64encode": textMap(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }),
	"csvdecode": stdlib.CSVDecodeFunc, "jsondecode": stdlib.JSONDecodeFunc, "jsonencode": stdlib.JSONEncodeFunc,
	"urlencode": textMap(url.QueryEscape),
	"md5":       textMap(func(s string) string { sum := md5.Sum([]byte(s)); return hex.EncodeToString(sum[:]) }),
	"sha256":    textMap(func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:]) }),

	"formatdate": stdlib.FormatDateFunc, "timeadd": stdlib.TimeAddFunc,

	"tobool": stdlib.MakeToFunc(cty.Bool), "tolist": stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)),
	"tomap": stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)), "tonumber": stdlib.MakeToFunc(cty.Number),
	"toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)), "tostring": stdlib.MakeToFunc(cty.String),

	"can": tryfunc.CanFunc, "try": tryfunc.TryFunc,
}

// replaceFunc is replace of the engines: /…/ is a regular expression.
var replaceFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "str", Type: cty.String}, {Name: "substr", Type: cty.String}, {Name: "replace", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if s := args[1].AsString(); len(s) > 1 && strings.HasPrefix(s, "/") && strings.HasSuffix(s, "/") {
			return stdlib.RegexReplace(args[0], cty.StringVal(s[1:len(s)-1]), args[2])
		}
		return stdlib.Replace(args[0], args[1], args[2])
	},
})

// lengthFunc counts the elements of a collection or the characters of a string.
var lengthFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowDynamicType: true}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		switch t := args[0].Type(); {
		case t == cty.String:
			return stdlib.Strlen(args[0])
		case t == cty.DynamicPseudoType:
			return cty.UnknownVal(cty.Number), nil
		case t.IsObjectType():
			return cty.NumberIntVal(int64(len(t.AttributeTypes()))), nil
		case t.IsTupleType() || t.IsCollectionType():
			return stdlib.Length(args[0])
		}
		return cty.NilVal, function.NewArgErrorf(0, "a string, a list, a set, a map or an object is needed")
	},
})

var base64Decode = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "str", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		b, err := base64.StdEncoding.DecodeString(args[0].AsString())
		if err != nil || !utf8.Valid(b) {
			return cty.NilVal, function.NewArgErrorf(0, "not base64 of a text in UTF-8")
		}
		return cty.StringVal(string(b)), nil
	},
})

func textTest(f func(s, part string) bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "str", Type: cty.String}, {Name: "part", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(f(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

func textMap(f func(string) string) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "str", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.StringVal(f(args[0].AsString())), nil
		},
	})
}

// limited refuses formats with widths that would fill the server's memory.
func limited(f function.Function) function.Function {
	return guarded(f, func(args []cty.Value) error {
		if len(args) == 0 || args[0].IsNull() || args[0].Type() != cty.String {
			return nil
		}
		digits := 0
		for _, r := range args[0].AsString() {
			if r < '0' || r > '9' {
				digits = 0
			} else if digits++; digits > 4 {
				return function.NewArgErrorf(0, "numbers in a format have at most 4 digits")
			}
		}
		return nil
	})
}

func limitedIndent(f function.Function) function.Function {
	return guarded(f, func(args []cty.Value) error {
		if n, _ := args[0].AsBigFloat().Int64(); n < 0 || n > 1000 {
			return function.NewArgErrorf(0, "must be between 0 and 1000")
		}
		return nil
	})
}

// guarded is f with a check of its arguments, once they are known.
func guarded(f function.Function, check func([]cty.Value) error) function.Function {
	return function.New(&function.Spec{
		Description: f.Description(), Params: f.Params(), VarParam: f.VarParam(),
		Type: func(args []cty.Value) (cty.Type, error) {
			for _, a := range args {
				if !a.IsKnown() {
					return f.ReturnTypeForValues(args)
				}
			}
			if err := check(args); err != nil {
				return cty.NilType, err
			}
			return f.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f.Call(args) },
	})
}

// functions returns pureFunctions and file, which reads from the tree, relative to
// root. When read is not nil, it hears of each file and its content.
func functions(tree Tree, root string, read func(name string, content []byte)) map[string]function.Function {
	fns := maps.Clone(pureFunctions)
	fns["file"] = function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			name, ok := join(root, args[0].AsString())
			if !ok {
				return cty.NilVal, function.NewArgErrorf(0, "%q leads out of the repository; paths are relative to %s", args[0].AsString(), FileName)
			}
			b, err := tree.ReadFile(name)
			if errors.Is(err, fs.ErrNotExist) {
				return cty.NilVal, function.NewArgErrorf(0, "there is no file %s in the repository", name)
			}
			if err != nil {
				return cty.NilVal, fmt.Errorf("%s cannot be read: %w", name, err)
			}
			if len(b) > maxFileSize || !utf8.Valid(b) {
				return cty.NilVal, function.NewArgErrorf(0, "%s is not a text in UTF-8 of at most %d bytes", name, maxFileSize)
			}
			if read != nil {
				read(name, b)
			}
			return cty.StringVal(string(b)), nil
		},
	})
	return fns
}

// missingFunctions says why functions that people look for are not there.
var missingFunctions = map[string]string{
	"env": "Expressions do not see environment variables.", "getenv": "Expressions do not see environment variables.", "get_env": "Expressions do not see environment variables.",
	"timestamp": "The same commit has to give the same values at any time.", "plantimestamp": "The same commit has to give the same values at any time.",
	"uuid":         "The same commit has to give the same values each time.",
	"templatefile": "Call it in the stack, or use file().", "fileset": "Call it in the stack.", "setproduct": "Call it in the stack.",
}

func functionNames() []string {
	return slices.Sorted(maps.Keys(functions(nil, "", nil)))
}
