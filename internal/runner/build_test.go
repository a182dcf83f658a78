package runner

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// builder is a world whose run builds an image with a script.
func builder(t *testing.T, script string) *world {
	t.Helper()
	w := newWorld(t, map[string]string{"images/build.sh": "#!/bin/sh\n" + script})
	w.job.Kind, w.job.Stack, w.job.Source.Path = string(core.KindImage), core.ImageStack("web"), "."
	w.job.Secrets["TOKEN"] = "s3cr3t-value"
	w.job.Release = wire.Release{Number: 12}
	w.job.Image = &wire.Build{Name: "web", Digest: strings.Repeat("d", 64), Command: []string{"images/build.sh", "debian"}, Variables: map[string]string{"BASE": "debian-12"}, Within: "1m"}
	return w
}

// What a command says last on its standard output is the image's id; what else it says is in
// the log, masked. It sees what it was given and nothing of the machine.
func TestAnImageIsBuilt(t *testing.T) {
	t.Parallel()
	w := builder(t, `env >OUT/env
echo "building $1 in $PWD with $TOKEN"
echo "a warning with $TOKEN" >&2
echo "  ami-0123/ü (eu)  "
printf '\n \n'
echo "not the id" >&2
`)
	f := w.start().ends("succeeded")
	if f.Image != "ami-0123/ü (eu)" || f.Phases["build"] == 0 || f.Phases["plan"] != 0 {
		t.Errorf("the end is %+v", f)
	}
	if want := []string{"claim", "phase building", "finish"}; !slices.Equal(w.reported(), want) {
		t.Errorf("reported %q, want %q", w.reported(), want)
	}
	log := w.log.text("build")
	for _, want := range []string{"image web at commit", "$ images/build.sh debian", "building debian in ", "with ***\n", "a warning with ***\n", "not the id\n", "its id is ami-0123/ü (eu)"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not have %q:\n%s", want, log)
		}
	}
	heard, err := json.Marshal([]any{w.end(), w.log.text("")})
	if err != nil || strings.Contains(string(heard), "s3cr3t-value") {
		t.Errorf("%v: not masked: %s", err, heard)
	}
	env := w.read("env")
	for _, want := range []string{"BASE=debian-12\n", "TOKEN=s3cr3t-value\n", "TERRACE_IMAGE=web\n", "TERRACE_IMAGE_DIGEST=" + w.job.Image.Digest + "\n"} {
		if !strings.Contains(env, want) {
			t.Errorf("the command does not see %q:\n%s", want, env)
		}
	}
	if strings.Contains(env, "TERRACE_CANARY") || strings.Contains(env, runToken) {
		t.Errorf("the command sees too much:\n%s", env)
	}
}

func TestAnImageIsNotBuilt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script, within string
		says           string
	}{
		"fails":               {"echo half an id; echo no disk left >&2; exit 3", "1m", "exit 3: no disk left"},
		"fails and goes on":   {"echo no disk left >&2; sleep 0.1; echo half an id; exit 3", "1m", "exit 3: no disk left"},
		"fails without a why": {"echo half an id; exit 3", "1m", "exit 3: half an id"},
		"too long":            {"echo id; sleep 600", "1s", "still running after 1s"},
		"says nothing":        {"echo an id >&2", "1m", "printed nothing to its standard output"},
		"only empty lines":    {"printf '\\n  \\n\\t\\n'", "1m", "printed nothing to its standard output"},
		"says too much":       {"head -c 513 /dev/zero | tr '\\0' x", "1m", "it has to be the image's id, of at most 512"},
		"says far too much":   {"head -c 300000 /dev/zero | tr '\\0' x; printf y", "1m", "it has to be the image's id, of at most 512"},
		"not text":            {"printf 'ami\\001\\n'", "1m", "cannot be shown"},
		"not UTF-8":           {"printf 'ami\\377\\n'", "1m", "cannot be shown"},
		"a secret":            {`echo "ami-$TOKEN"`, "1m", "has a secret in it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := builder(t, c.script)
			w.job.Image.Within = c.within
			f := w.start().ends("failed", "the image web was not built: images/build.sh debian: ", c.says, "No environment was changed", "terrace rollout start --commit 12")
			if f.Image != "" || strings.Contains(f.Error.Message, "s3cr3t-value") {
				t.Errorf("the end is %+v", f)
			}
		})
	}
}

// Who is cancelled, or taken the run from, ends the command with all that it started.
func TestABuildIsStopped(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(*world){
		"cancelled": func(w *world) {
			w.do(func() { w.beat.Cancel = true })
			w.ends("cancelled", "cancelled while the image was built; no environment was changed")
		},
		"told to end": func(w *world) {
			w.terminate()
			w.ends("errored", "the runner was told to end while it was in build; run it again")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := builder(t, "trap 'exit 1' INT\necho $$ >OUT/pid.new; mv OUT/pid.new OUT/pid\nsleep 600 &\nwait\n")
			w.start()
			pid := strings.TrimSpace(w.read("pid"))
			stop(w)
			w.until("the command to be gone", func() bool { _, err := os.Stat("/proc/" + pid); return os.IsNotExist(err) })
		})
	}
}
