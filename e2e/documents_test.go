package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	block = regexp.MustCompile("(?ms)^```(?:sh|ini)\n(.*?)^```")
	call  = regexp.MustCompile(`(?m)(?:^|&& |\$\(|/)terrace ((?:[a-z]+ )*[a-z]+)(.*)$`)
	code  = regexp.MustCompile("`terrace ([a-z][a-z ]*[a-z])([^`]*)`")
	flag  = regexp.MustCompile(`--[a-z][a-z-]+`)
)

// Every command in a document exists, with the flags that the document gives it.
func TestCommandsInDocumentsExist(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	howTo, err := filepath.Glob("../docs/how-to/*.md")
	if err != nil {
		t.Fatal(err)
	}
	help := map[string]string{}
	for _, file := range append(append(files, howTo...), "../README.md", "../CONTRIBUTING.md") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := code.FindAllStringSubmatch(string(data), -1)
		for _, m := range block.FindAllStringSubmatch(string(data), -1) {
			found = append(found, call.FindAllStringSubmatch(m[1], -1)...)
		}
		for _, m := range found {
			words := strings.Fields(m[1])
			text := ""
			// What follows the command may be an argument of it: a name, for example.
			for n := len(words); n > 0 && text == ""; n-- {
				name := strings.Join(words[:n], " ")
				if _, ok := help[name]; !ok {
					cmd := exec.CommandContext(t.Context(), plain, append(words[:n:n], "--help")...)
					cmd.Env = []string{"HOME=" + t.TempDir(), "GORACE=atexit_sleep_ms=0"}
					out, _ := cmd.CombinedOutput()
					if strings.Contains(string(out), "terrace "+name) {
						help[name] = string(out)
					} else {
						help[name] = ""
					}
				}
				text = help[name]
			}
			if text == "" {
				t.Errorf("%s names a command that does not exist: terrace %s", file, m[1])
				continue
			}
			for _, f := range flag.FindAllString(strings.Split(m[2], "#")[0], -1) {
				if !strings.Contains(text, f) {
					t.Errorf("%s gives terrace %s the flag %s, which it does not have", file, m[1], f)
				}
			}
		}
	}
	if len(help) < 10 {
		t.Errorf("only %d commands were found in the documents", len(help))
	}
}
