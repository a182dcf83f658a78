package runner

import (
	"bytes"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/step/hook"
	"github.com/terrace-cd/terrace/internal/wire"
)

// build is a run that builds an image: its command says what came of it in the last line of
// its standard output.
func (a *attempt) build() error {
	image := a.job.Image
	if image == nil {
		return core.Errorf(core.Internal, "the server did not say what to build; are server and runner of the same version?")
	}
	if err := a.checkout(); err != nil {
		return err
	}
	if err := a.enter(phaseBuild, core.RunBuilding); err != nil {
		return err
	}
	a.say("image %s at commit %s, digest %.12s", image.Name, core.ShortCommit(a.job.Source.Commit), image.Digest)
	env := append(a.environment(), "TERRACE_IMAGE="+image.Name, "TERRACE_IMAGE_DIGEST="+image.Digest)
	for name, value := range image.Variables {
		env = append(env, name+"="+value)
	}
	var last lastLine
	done := hook.Run(a.work, wire.Hook{Command: image.Command, Within: image.Within},
		hook.Options{Dir: a.tree.File(a.job.Source.Root), Env: env, Output: a.out, Mask: a.mask, Stdout: &last})
	if a.work.Err() != nil {
		return a.work.Err()
	}
	a.say("image %s: %s", image.Name, done.Message)
	if !done.OK {
		return a.notBuilt(done.Message)
	}
	id := last.text()
	if err := core.CheckImageID(id); err != nil {
		return a.notBuilt(core.MessageOf(err))
	}
	if a.mask.String(id) != id {
		return a.notBuilt("the last line of its standard output, which is the image's id, has a secret in it")
	}
	a.say("image %s: its id is %s", image.Name, id)
	a.image = id
	return nil
}

func (a *attempt) notBuilt(why string) *verdict {
	return verdictf(core.RunFailed, "the image %s was not built: %s: %s. No environment was changed. Mend what it says and push, or try again: terrace rollout start --commit %d",
		a.job.Image.Name, a.mask.String(strings.Join(a.job.Image.Command, " ")), why, a.job.Release.Number)
}

// lastLine keeps the last line that is not empty of what is written to it, as far as that may
// be an image's id.
type lastLine struct{ now, last []byte }

// Write never fails.
func (l *lastLine) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			l.add(p)
			return n, nil
		}
		l.add(p[:i])
		l.end()
		p = p[i+1:]
	}
}

// add keeps more of a line than may be, so that it is seen to be too long.
func (l *lastLine) add(p []byte) {
	const most = 2 * core.MaxImageID
	l.now = append(l.now, p[:min(len(p), most-len(l.now))]...)
}

func (l *lastLine) end() {
	if line := bytes.TrimSpace(l.now); len(line) > 0 {
		l.last = append(l.last[:0], line...)
	}
	l.now = l.now[:0]
}

// text is the line, once everything is written.
func (l *lastLine) text() string {
	l.end()
	return string(l.last)
}
