package sops

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
)

// The files in testdata were written by sops 3.13.3 and age-keygen 1.3.1.
func data(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func parse(t *testing.T, name, content string) *File {
	t.Helper()
	f, err := Parse(name, []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// all is what is in every YAML file of testdata.
var all = Values{
	"DB_PASSWORD": "canary-of-a-file-5Kd", "certificate": "line one\nline two\n", "count_unencrypted": "3", "note_unencrypted": "read me",
	"database.user": "shop-user", "database.port": "5432", "database.ratio": "1.5", "database.large": "1000000000000000000000",
	"database.tls": "true", "database.since": "2026-11-01T10:00:00Z", "database.empty": "",
}

func TestOpen(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]Values{
		"secrets.yaml": all, "regex.yaml": all, "suffix.yaml": all, "both.yaml": all,
		"secrets.json": {"z": "last comes first", "database.user": "shop-user", "database.port": "5432", "database.ratio": "1.5", "database.tls": "false",
			"database.empty": "", "text": "quote \" slash / 😀 é\n", "count_unencrypted": "3"},
		"secrets.env": {"DB_PASSWORD": "canary-of-a-file-5Kd", "MULTI": "one\ntwo", "EQUALS": "a=b", "EMPTY": "", "NOTE_unencrypted": "read me"},
	} {
		f := parse(t, name, data(t, name))
		got, err := f.Open(data(t, "key.txt"))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
		for _, key := range f.Keys() {
			if _, ok := want[key]; !ok {
				t.Errorf("%s has the name %s without its key, and not with it", name, key)
			}
		}
		if len(f.Keys()) != len(want) {
			t.Errorf("%s: names %v", name, f.Keys())
		}
	}
}

// Whatever is changed in a file, it does not open.
func TestChangedFiles(t *testing.T) {
	t.Parallel()
	key := data(t, "key.txt")
	value := func(text, name string) string {
		return regexp.MustCompile(`(?m)^\s*"?` + name + `"?[:=]\s*"?(ENC\[[^\]]*\])`).FindStringSubmatch(text)[1]
	}
	yaml := data(t, "secrets.yaml")
	password, certificate, user := value(yaml, "DB_PASSWORD"), value(yaml, "certificate"), value(yaml, "user")
	for name, c := range map[string]struct{ file, old, by, says string }{
		"a value in another place": {"secrets.yaml", certificate, password, "moved there from another place"},
		"a plain value":            {"secrets.yaml", "read me", "read you", "its MAC does not fit"},
		"a plain number":           {"secrets.yaml", "count_unencrypted: 3", "count_unencrypted: 4", "its MAC does not fit"},
		"a value that is gone":     {"secrets.yaml", "    user: " + user + "\n", "", "its MAC does not fit"},
		"a value in clear":         {"secrets.yaml", password, "chosen", "DB_PASSWORD: it is not encrypted"},
		"a number in clear":        {"secrets.yaml", password, "5", "DB_PASSWORD is not encrypted"},
		"an empty value":           {"secrets.yaml", password, `""`, "its MAC does not fit"},
		"another type":             {"secrets.yaml", password, strings.Replace(password, "type:str", "type:int", 1), "not of the type"},
		"no type":                  {"secrets.yaml", password, strings.Replace(password, "type:str", "type:x", 1), "its type is not known"},
		"damage":                   {"secrets.yaml", password, strings.Replace(password, "iv:", "iv:!", 1), "it is damaged"},
		"another time":             {"secrets.yaml", `lastmodified: "20`, `lastmodified: "19`, "its MAC does not fit"},
		"what is encrypted":        {"secrets.yaml", "unencrypted_suffix: _unencrypted", "unencrypted_suffix: PASSWORD", ""},
		"the code's way":           {"regex.yaml", "mac_only_encrypted: true", "mac_only_encrypted: false", "its MAC does not fit"},
		"JSON":                     {"secrets.json", `"count_unencrypted": 3`, `"count_unencrypted": 4`, "its MAC does not fit"},
		"lines":                    {"secrets.env", "NOTE_unencrypted=read me", "NOTE_unencrypted=read you", "its MAC does not fit"},
	} {
		before := data(t, c.file)
		after := strings.Replace(before, c.old, c.by, 1)
		if before == after {
			t.Errorf("%s: nothing was changed", name)
			continue
		}
		values, err := parse(t, c.file, after).Open(key)
		if core.CodeOf(err) != core.Invalid || !strings.Contains(core.MessageOf(err), c.says) || values != nil {
			t.Errorf("%s: %v, %v", name, values, err)
		}
		if strings.Contains(core.MessageOf(err), "canary") || strings.Contains(core.MessageOf(err), "ENC[") {
			t.Errorf("%s: the error shows a value: %v", name, err)
		}
	}
	// What is outside of the code of authenticity says so itself.
	changed := strings.Replace(data(t, "regex.yaml"), "read me", "read you", 1)
	if got, err := parse(t, "regex.yaml", changed).Open(key); err != nil || got["note_unencrypted"] != "read you" || got["DB_PASSWORD"] != all["DB_PASSWORD"] {
		t.Errorf("mac_only_encrypted: %v, %v", got, err)
	}
}

func TestKeysThatDoNotOpen(t *testing.T) {
	t.Parallel()
	mine := regexp.MustCompile(`age1[a-z0-9]+`).FindString(data(t, "key.txt"))
	f := parse(t, "other.yaml", data(t, "other.yaml"))
	theirs := f.Recipients()
	if len(theirs) != 1 || theirs[0] == mine {
		t.Fatalf("recipients: %v", theirs)
	}
	_, err := f.Open(data(t, "key.txt"))
	if core.CodeOf(err) != core.Conflict || !strings.Contains(core.MessageOf(err), "is encrypted for "+theirs[0]+", and the key that is stored as SOPS_AGE_KEY is that of "+mine) {
		t.Errorf("another's file: %v", err)
	}
	for _, key := range []string{"", "AGE-SECRET-KEY-1CANARY", "age1plugin", "-----BEGIN OPENSSH PRIVATE KEY-----"} {
		_, err := parse(t, "secrets.yaml", data(t, "secrets.yaml")).Open(key)
		if core.CodeOf(err) != core.Invalid || !strings.Contains(core.MessageOf(err), "is no age key") || strings.Contains(core.MessageOf(err), "CANARY") {
			t.Errorf("%q: %v", key, err)
		}
	}
	damaged := regexp.MustCompile(`(?s)(-> X25519 |YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0)\S{4}`).ReplaceAllString(data(t, "secrets.yaml"), "${1}AAAA")
	if _, err := parse(t, "secrets.yaml", damaged).Open(data(t, "key.txt")); err == nil {
		t.Error("a damaged key opens it")
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	t.Parallel()
	const meta = "sops:\n  age:\n    - recipient: age1x\n      enc: x\n  mac: x\n  lastmodified: \"2026-11-01T10:00:00Z\"\n"
	for name, c := range map[string]struct{ file, text, says string }{
		"another format":   {"x.ini", "a=b", "does not say its format"},
		"not encrypted":    {"x.yaml", "a: b\n", "sops encrypt --in-place x.yaml"},
		"plain lines":      {"x.env", "A=b\n", "is not encrypted"},
		"no YAML":          {"x.yaml", "a: [", "it is no YAML"},
		"a list":           {"x.yaml", "- a\n", "it is no YAML object"},
		"two documents":    {"x.yaml", "a: b\n---\nc: d\n", "more than one"},
		"an alias":         {"x.yaml", "a: &x b\nc: *x\n" + meta, "aliases are not read"},
		"a number's name":  {"x.yaml", "1: b\n" + meta, "a name has to be a text"},
		"twice":            {"x.yaml", "a: b\na: c\n" + meta, "a is there twice"},
		"no JSON":          {"x.json", "{", "it is no JSON"},
		"two objects":      {"x.json", "{} {}", "something follows"},
		"a JSON list":      {"x.json", "[]", "it is no JSON object"},
		"no line":          {"x.env", "A\n", "line 1 is not NAME=value"},
		"strange metadata": {"x.env", "sops_age__list_9999999__map_enc=x\n", "is not understood"},
		"metadata":         {"x.yaml", "sops: 3\n", "sops is no object"},
		"groups":           {"groups.yaml", data(t, "groups.yaml"), "divided among groups"},
		"other kinds":      {"x.yaml", "a: b\nsops:\n  kms:\n    - arn: arn:aws:kms:x\n  pgp:\n    - fp: ABCD\n", "is encrypted for AWS KMS arn:aws:kms:x, PGP ABCD, and only age keys are used"},
		"no code":          {"x.yaml", "a: b\n" + strings.Replace(meta, "mac: x", "x: x", 1), "it has no MAC"},
		"no time":          {"x.yaml", "a: b\n" + strings.Replace(meta, "2026", "x", 1), "lastmodified is no time"},
		"no expression":    {"x.yaml", "a: b\n" + meta + "  encrypted_regex: \"(\"\n", "is no regular expression"},
		"comments":         {"x.yaml", "a: b\n" + meta + "  encrypted_comment_regex: x\n", "encrypted_comment_regex is not supported"},
		"too large":        {"x.yaml", strings.Repeat("#", MaxSize+1), "are read"},
		"too many":         {"x.yaml", "a: [" + strings.Repeat("x,", mostLeaves+1) + "x]\n" + meta, "more than 10000 values"},
		"too deep":         {"x.yaml", strings.Repeat("{a: ", deepest+2) + "b" + strings.Repeat("}", deepest+2), "nested more than"},
		"too deep JSON":    {"x.json", strings.Repeat(`{"a":`, deepest+2) + "1" + strings.Repeat("}", deepest+2), "nested more than"},
	} {
		if f, err := Parse(c.file, []byte(c.text)); core.CodeOf(err) != core.Invalid || !strings.Contains(core.MessageOf(err), c.says) {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
}

// Nothing that anybody pushes stops the server.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"secrets.yaml", "secrets.json", "secrets.env", "groups.yaml"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(filepath.Ext(name), text)
	}
	key, err := os.ReadFile("testdata/key.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, ext string, text []byte) {
		if file, err := Parse("x"+ext, text); err == nil {
			_ = file.Keys()
			_ = file.Recipients()
			_, _ = file.Open(string(key))
		}
	})
}
