package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
)

// forms are all texts in which a secret may appear: of the whole value and of each of
// its lines.
func forms(secret string) []string {
	parts := []string{secret}
	if strings.ContainsAny(secret, "\r\n") {
		parts = append(parts, strings.FieldsFunc(secret, func(r rune) bool { return r == '\n' || r == '\r' })...)
	}
	if trimmed := strings.TrimSpace(secret); trimmed != secret {
		parts = append(parts, trimmed) // as a shell would pass on what a file holds
	}
	var all []string
	for _, part := range parts {
		if len(strings.TrimSpace(part)) < MinLength {
			continue
		}
		all = append(all, part, hex.EncodeToString([]byte(part)), strings.ToUpper(hex.EncodeToString([]byte(part))))
		for _, e := range escaped(part) {
			all = append(all, e)
			all = append(all, escaped(e)...) // JSON in JSON
		}
		all = append(all, encodedURL(part)...)
		all = append(all, encoded64(part)...)
	}
	return all
}

// escaped are the ways in which s is written in a JSON text, or in a quoted string of HCL.
func escaped(s string) []string {
	var forms []string
	for _, html := range []bool{true, false} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(html)
		if err := e.Encode(s); err != nil {
			continue // a string always encodes
		}
		text := b.String()
		text = text[1 : len(text)-2] // quotes and the end of line
		forms = append(forms, text, strings.ReplaceAll(strings.ReplaceAll(text, "${", "$${"), "%{", "%%{"))
	}
	return forms
}

func encodedURL(s string) []string {
	query := url.QueryEscape(s)
	forms := []string{query, strings.ReplaceAll(query, "+", "%20"), url.PathEscape(s), url.UserPassword("", s).String()[1:]}
	for _, f := range forms[:len(forms):len(forms)] {
		forms = append(forms, lowerHex(f))
	}
	return forms
}

// lowerHex writes %2F as %2f.
func lowerHex(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// encoded64 is s in base64, as it looks after 0, 1 and 2 other bytes of a group of
// three: without the characters that hold bits of what is around it, and as it looks at
// the end of a text.
func encoded64(s string) []string {
	var forms []string
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
		for before := range 3 {
			text := e.EncodeToString(append(make([]byte, before), s...))
			from, to := (8*before+5)/6, 8*(before+len(s))/6
			forms = append(forms, text[from:to], text[from:], strings.TrimRight(text[from:], "="))
		}
	}
	// The shortest values leave too few characters to be told from other words.
	kept := forms[:0]
	for _, f := range forms {
		if len(f) >= MinLength {
			kept = append(kept, f)
		}
	}
	return kept
}
