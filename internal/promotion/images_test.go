package promotion

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/terrace-cd/terrace/internal/core"
)

func isImage(i *Instance)                { i.Image = "os 1" }
func builtBy(run string) func(*Instance) { return func(i *Instance) { i.BuiltBy = run } }

func TestRule10_Images(t *testing.T) {
	t.Parallel()
	web := func(options ...func(*Instance)) func(*Stage) {
		return stack("web", append([]func(*Instance){needs("image.os")}, options...)...)
	}
	check(t, []rule{
		{"are built before what uses them", snap(ro(1, in("dev", running, stack("image.os", isImage), web(undecided), stack("db")))), []string{"start image image.os in 1.dev", "start deploy db in 1.dev"}, nil},
		{"which waits for them", snap(ro(1, in("dev", running, stack("image.os", isImage, run(core.RunBuilding)), web(undecided)))), nil, nil},
		{"and then goes on", snap(ro(1, in("dev", running, stack("image.os", isImage, upToDate, run(core.RunSucceeded)), web()))), []string{"start deploy web in 1.dev"}, nil},
		{"one that is there is not built", snap(ro(1, in("dev", running, stack("image.os", isImage, upToDate), web()))), []string{"start deploy web in 1.dev"}, nil},
		{"they count for the limit", snap(ro(1, in("dev", running, parallel(1), stack("image.os", isImage), stack("db")))), []string{"start image image.os in 1.dev"}, nil},
		{"one that failed fails the stage", snap(ro(1, in("dev", running, stack("image.os", isImage, run(core.RunFailed)), web(undecided)))), []string{"1.dev is failed"}, nil},
		{"after whose failure the others finish", snap(ro(1, in("dev", running, stack("image.os", isImage, run(core.RunErrored)), web(undecided), stack("db", run(core.RunApplying))))), nil, nil},
		{"one that another stage had built since does not", snap(ro(1, in("dev", running, stack("image.os", isImage, upToDate, run(core.RunFailed)), web()))), []string{"start deploy web in 1.dev"}, nil},
		{"one that another stage builds is waited for", snap(ro(1, in("dev", running, stack("image.os", isImage, builtBy("r-9")), web(undecided)))), nil,
			map[string]string{"1.dev": "the image os, which r-9 builds for another environment"}},
		{"and begun once when two want it at once", snap(ro(1, in("dev", running, stack("image.os", isImage), web(undecided)), in("eu", running, stack("image.os", isImage), web(undecided)))), []string{"start image image.os in 1.dev"}, nil},
		{"one that was forgotten is built again", snap(ro(1, in("dev", running, stack("image.os", isImage, run(core.RunSucceeded)), web(undecided)))), []string{"start image image.os in 1.dev"}, nil},
		{"a newer release does not wait for them", snap(ro(1, in("dev", running, stack("image.os", isImage, run(core.RunBuilding)), web(undecided))), ro(2, in("dev", waiting))), []string{"supersede run r-image.os by 2"}, nil},
		{"building alone is nothing to bake", snap(ro(1, in("dev", running, func(s *Stage) { s.Config.Bake = 10 }, stack("image.os", isImage, upToDate, run(core.RunSucceeded)), web(upToDate)))), []string{"1.dev is succeeded"}, nil},
		{"a cancelled rollout stops them", snap(ro(1, cancelAsked, in("dev", running, stack("image.os", isImage, run(core.RunBuilding)), web(undecided)))), []string{"cancel r-image.os"}, nil},
		{"an automatic rollback builds before it looks", snap(env("dev", entered(2)), ro(1, backByItself(2), in("dev", running, stack("image.os", isImage), web(undecided), stack("db")))), []string{"start image image.os in 1.dev"}, nil},
		{"and then looks", snap(env("dev", entered(2)), ro(1, backByItself(2), in("dev", running, stack("image.os", isImage, upToDate, run(core.RunSucceeded)), web(), stack("db")))),
			[]string{"start preview web in 1.dev", "start preview db in 1.dev"}, nil},
		{"and ends its looks first when one that was forgotten meanwhile is not built again", snap(env("dev", entered(2)), ro(1, backByItself(2), in("dev", running, stack("image.os", isImage, run(core.RunCancelled)), web(undecided), stack("db", looked(core.RunChecking))))), nil, nil},
	})
}

// The image in the world: one, which web uses, or site.

var imageStack = core.ImageStack("os")

func usesImage(stack string) bool { return stack == "web" || stack == "site" }

func (w *world) wantsImage(c commit) bool {
	return c.image != 0 && (c.stacks["web"] != 0 || c.stacks["site"] != 0)
}

func (w *world) imageOf(r *core.Run) int { return w.releases[r.Release.Number-1].image }

// drawImage changes the image once in a while, and with it what uses it.
func (w *world) drawImage(t *rapid.T, c *commit, number int) {
	switch rapid.SampledFrom([]string{"same", "same", "same", "change", "drop"}).Draw(t, "image") {
	case "same":
		return
	case "change":
		c.image = number
	case "drop":
		c.image = 0
	}
	for stack := range c.stacks {
		if usesImage(stack) && c.stacks[stack] != 0 {
			c.stacks[stack] = number
		}
	}
}

func (w *world) viewImage(c commit, st *Stage) Instance {
	in := Instance{Stack: imageStack, Image: fmt.Sprint(c.image), Need: NeedRun}
	in.Run, _, _ = w.newest(st.ID, imageStack)
	if w.built[c.image] {
		in.Need = NeedNothing
		return in
	}
	for _, r := range w.unfinished() {
		if r.Kind == core.KindImage && r.Stage != st.ID && w.imageOf(r) == c.image {
			in.BuiltBy = r.ID
		}
	}
	return in
}

func (w *world) build(r *core.Run, o outcome) {
	switch {
	case r.Cancel:
		w.move(r, core.RunCancelled, core.ByRunner)
	case o == fails:
		w.move(r, core.RunFailed, core.ByRunner)
	case o == errs:
		w.move(r, core.RunErrored, core.ByRunner)
	case o == isLost:
		w.move(r, core.RunErrored, core.ByExecutor)
	default:
		w.move(r, core.RunSucceeded, core.ByRunner)
	}
}

func (w *world) settleImage(r *core.Run) {
	if r.Status != core.RunSucceeded {
		return
	}
	if w.built[w.imageOf(r)] {
		w.t.Fatalf("%s built the image %d, which was built already", r.ID, w.imageOf(r))
	}
	w.built[w.imageOf(r)] = true
}

// forgetImages is "terrace image forget", with what the server refuses.
func (w *world) forgetImages() {
	if !slices.ContainsFunc(w.unfinished(), func(r *core.Run) bool { return usesImage(r.Stack) }) {
		clear(w.built)
	}
}

// imagesOnce: an image is built by one run at a time.
func (w *world) imagesOnce() {
	by := map[int]string{}
	for _, r := range w.unfinished() {
		if r.Kind != core.KindImage {
			continue
		}
		if by[w.imageOf(r)] != "" {
			w.t.Fatalf("%s and %s both build the image %d", by[w.imageOf(r)], r.ID, w.imageOf(r))
		}
		by[w.imageOf(r)] = r.ID
	}
}
