package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
)

// Limits on files that anybody with write access to a repository can make. HCL's
// parser and evaluator recurse, and a Go program that runs out of stack cannot be
// saved, so what is nested too deeply is refused before it is parsed.
const (
	maxFileSize  = 1 << 20
	maxNesting   = 200
	maxOperators = 20_000
	// maxDirectives bounds %{if} and %{for} in one expression.
	maxDirectives = 500
	// maxLoops bounds the for expressions in one expression: range() gives up to
	// 1,024 items, and each loop may multiply the work by that.
	maxLoops = 2
	// Below this size nothing can be nested deeply enough to do harm.
	harmlessSize = 16 << 10
)

func startOf(name string) hcl.Range {
	return hcl.Range{Filename: name, Start: hcl.InitialPos, End: hcl.InitialPos}
}

// parse reads an HCL file, or a JSON one when its name ends in .json. It never panics.
// The file is nil when there are errors, except when they are only arguments that are
// set twice, of which the first counts.
func parse(name string, src []byte) (file *hcl.File, diags hcl.Diagnostics) {
	if d := refuse(name, src); d != nil {
		return nil, hcl.Diagnostics{d}
	}
	defer func() {
		if r := recover(); r != nil {
			file = nil
			diags = hcl.Diagnostics{diagnostic(hcl.DiagError, startOf(name), "The file cannot be parsed",
				fmt.Sprintf("The parser gave up: %v. Remove what was added last until it is accepted.", r))}
		}
	}()
	if strings.HasSuffix(name, ".json") {
		file, diags = json.Parse(src, name)
	} else {
		file, diags = hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	}
	for _, d := range diags {
		if d.Severity == hcl.DiagError && d.Summary != "Attribute redefined" {
			return nil, withoutEchoes(diags)
		}
	}
	return file, diags
}

// withoutEchoes drops what HCL reports at every following line after a quote that is
// not closed.
func withoutEchoes(diags hcl.Diagnostics) hcl.Diagnostics {
	i := slices.IndexFunc(diags, func(d *hcl.Diagnostic) bool { return d.Summary == "Invalid multi-line string" })
	if i < 0 {
		return diags
	}
	return diags[:i+1]
}

func refuse(name string, src []byte) *hcl.Diagnostic {
	if len(src) > maxFileSize {
		return diagnostic(hcl.DiagError, startOf(name), "The file is too large",
			fmt.Sprintf("It has %d bytes; %d are allowed. Move large values into files of their own and read them in the stack.", len(src), maxFileSize))
	}
	if !utf8.Valid(src) {
		return diagnostic(hcl.DiagError, invalidUTF8(name, src), "The file is not UTF-8",
			"This byte is not part of a UTF-8 character. Save the file with UTF-8 encoding.")
	}
	if len(src) <= harmlessSize {
		return nil
	}
	var rng hcl.Range
	var why string
	if strings.HasSuffix(name, ".json") {
		rng, why = deepJSON(name, src)
	} else {
		rng, why = deepHCL(name, src)
	}
	if why == "" {
		return nil
	}
	return diagnostic(hcl.DiagError, rng, "The file is nested too deeply", why+" Split the expression.")
}

func invalidUTF8(name string, src []byte) hcl.Range {
	rng := startOf(name)
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && n == 1 {
			rng.Start.Byte = i
			break
		}
		if rng.Start.Column++; r == '\n' {
			rng.Start.Line, rng.Start.Column = rng.Start.Line+1, 1
		}
		i += n
	}
	rng.End = rng.Start
	return rng
}

func deepHCL(name string, src []byte) (hcl.Range, string) {
	tokens, _ := hclsyntax.LexConfig(src, name, hcl.InitialPos)
	depth, operators := 0, 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOParen, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
			depth++
		case hclsyntax.TokenOBrack, hclsyntax.TokenTemplateInterp:
			depth++
			operators++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCParen, hclsyntax.TokenCBrack, hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			depth--
		case hclsyntax.TokenTemplateControl:
			// The time that HCL takes for directives grows with the square of their number.
			depth++
			operators += maxOperators / maxDirectives
		case hclsyntax.TokenTemplateSeqEnd:
			depth--
		case hclsyntax.TokenNewline:
			if depth <= 2 {
				operators = 0
			}
		case hclsyntax.TokenBang, hclsyntax.TokenMinus, hclsyntax.TokenPlus, hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPercent,
			hclsyntax.TokenQuestion, hclsyntax.TokenAnd, hclsyntax.TokenOr, hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual,
			hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq, hclsyntax.TokenGreaterThan, hclsyntax.TokenGreaterThanEq:
			operators++
		}
		if depth > maxNesting {
			return t.Range, fmt.Sprintf("More than %d brackets, braces and quotes are open here.", maxNesting)
		}
		if operators > maxOperators {
			return t.Range, fmt.Sprintf("More than %d operators, or %d template directives, are in one expression.", maxOperators, maxDirectives)
		}
	}
	return hcl.Range{}, ""
}

func deepJSON(name string, src []byte) (hcl.Range, string) {
	depth, inString := 0, false
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
		if depth > maxNesting {
			return startOf(name), fmt.Sprintf("More than %d brackets and braces are open at once.", maxNesting)
		}
	}
	return hcl.Range{}, ""
}

// evaluate is expr.Value that never panics and refuses loops that would not end in
// reasonable time.
func evaluate(expr hcl.Expression, ctx *hcl.EvalContext) (v cty.Value, diags hcl.Diagnostics) {
	if node, ok := expr.(hclsyntax.Node); ok && ctx != nil {
		loops := 0
		_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
			if _, ok := n.(*hclsyntax.ForExpr); ok {
				loops++
			}
			return nil
		})
		if loops > maxLoops {
			return cty.DynamicVal, hcl.Diagnostics{diagnostic(hcl.DiagError, expr.Range(), "Too many loops in one expression",
				fmt.Sprintf("It has %d for expressions; %d are allowed. Do the work in the stack, where it costs the server nothing.", loops, maxLoops))}
		}
	}
	defer func() {
		if r := recover(); r != nil {
			v = cty.DynamicVal
			diags = hcl.Diagnostics{diagnostic(hcl.DiagError, expr.Range(), "The expression cannot be evaluated",
				fmt.Sprintf("The evaluator gave up: %v. Write it in another way.", r))}
		}
	}()
	return expr.Value(ctx)
}
