package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/examples"
)

type image struct {
	Name, Digest, ID, Run string
	UsedIn                []string `json:"used_in"`
}

// An image is built once, and every environment gets the same; what changes it builds it anew,
// and what does not builds nothing.
func TestImagesAreBuiltOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cloud, _ := w.cloud()
	first := w.example(examples.Image(), cloud)
	w.add("site")
	r := w.ends(first)
	w.wants(r, "succeeded", "dev succeeded", "production succeeded")
	built := w.runsOf(r)
	if got := instances(built); len(built) != 3 || got["image.web@dev"] != "succeeded" || got["web@dev"] != "succeeded" || got["web@production"] != "succeeded" {
		t.Fatalf("ran %v", got)
	}
	one := w.output("web@dev", "image").(string)
	if got := w.output("web@production", "image"); got != one || !strings.HasPrefix(one, "img-") {
		t.Errorf("dev has the image %q, production %q", one, got)
	}
	list := get[[]image](w, "images")
	if len(list) != 1 || list[0].ID != one || strings.Join(list[0].UsedIn, " ") != "web@dev web@production" {
		t.Errorf("images %+v", list)
	}
	says(t, "the table", w.run("image", "list"), one, "web@dev, web@production")
	says(t, "the log", w.run("run", "logs", list[0].Run), "building web of healthz, index.html", "its id is "+one)
	if said := w.page("web@production"); !strings.Contains(said, "Version one") {
		t.Errorf("production says %q", said)
	}

	t.Log("a file of the image builds it anew, and replaces servers")
	w.repo.Write("images/web/index.html", "<h1>Version two</h1>\n")
	second := w.repo.Commit("Two")
	w.push()
	w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")
	two := w.output("web@production", "image").(string)
	if changed := w.runAt("web@production", "succeeded").Changes; two == one || changed.Replace != 2 || changed.Create+changed.Delete != 0 {
		t.Errorf("the image %s, then %s; in production %+v", one, two, changed)
	}
	says(t, "production", w.page("web@production"), "Version two")

	t.Log("an older release gets its image back")
	w.run("rollback", "production", "--yes", "--wait")
	if got := w.output("web@production", "image"); got != one {
		t.Errorf("after the rollback production has %q, not %q", got, one)
	}
	if n := len(get[[]image](w, "images")); n != 2 {
		t.Errorf("%d images", n)
	}

	t.Log("one that is forgotten is built again")
	w.run("unhold", "production")
	w.run("image", "forget", "web", two)
	if _, stderr, code := w.try("image", "forget", "web", two); code != 1 {
		t.Errorf("forgotten twice: exit %d %s", code, stderr)
	}
	w.run("rollout", "start", "--wait")
	if three := w.output("web@production", "image"); three == two || three == one || three != w.output("web@dev", "image") {
		t.Errorf("after forgetting %s production has %s", two, three)
	}
}

// page is what a site says.
func (w *world) page(instance string) string {
	w.Helper()
	_, text := w.send(http.MethodGet, w.output(instance, "url").(string)+"/", nil, nil)
	return text
}

// A build that fails fails its stage, with the reason; one that is cancelled leaves nothing
// running; a newer release takes the place of one that only builds.
func TestImagesThatAreNotBuilt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "", `image "box" {
  command = ["sh", "images/build.sh"]
  reads   = ["images"]
}

stack "one" {
  inputs = { box = image.box.id }
}`)
	w.stack("one", "first", "variable \"box\" {}\noutput \"box\" { value = var.box }")
	w.repo.Write("images/build.sh", "echo no disk left >&2\nexit 3\n")
	first := w.repo.Commit("One")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "failed", "dev failed", "production waiting")
	failed := w.runAt("image.box@dev", "failed")
	if failed.Kind != "image" || failed.Error == nil {
		t.Fatalf("the run is %+v", failed)
	}
	says(t, "the message", failed.Error.Message, "the image box was not built", "exit 3: no disk left", "terrace rollout start --commit 1")
	says(t, "the rollout", w.run("rollout", "show", w.of(first).ID), "image.box@dev", "no disk left")
	if state, reason := w.cell("one@dev"); state != "failed" || !strings.Contains(reason, "no disk left") {
		t.Errorf("one@dev is %s: %s", state, reason)
	}

	t.Log("cancelled while it builds")
	w.repo.Write("images/build.sh", "echo $$ >> "+w.file("began-slow")+"\nsleep 600 &\nwait\n")
	second := w.repo.Commit("Two")
	w.push()
	pid := w.began("slow")
	w.runAt("image.box@dev", "building")
	w.run("rollout", "cancel", w.of(second).ID)
	w.wants(w.ends(second), "cancelled", "dev cancelled", "production cancelled")
	says(t, "the message", w.runAt("image.box@dev", "cancelled").Error.Message, "cancelled while the image was built")
	w.eventually("the build to be gone", func() bool { _, err := os.Stat("/proc/" + fmt.Sprint(pid)); return os.IsNotExist(err) })

	t.Log("superseded while it builds")
	w.repo.Write("images/build.sh", "echo $$ >> "+w.file("began-slower")+"\nsleep 600 &\nwait\n")
	third := w.repo.Commit("Three")
	w.push()
	pid = w.began("slower")
	w.repo.Write("images/build.sh", "echo building >&2\necho box-4\necho\n")
	fourth := w.repo.Commit("Four")
	w.push()
	w.wants(w.ends(fourth), "succeeded", "dev succeeded", "production succeeded")
	w.wants(w.ends(third), "superseded", "dev superseded", "production waiting")
	w.eventually("the older build to be gone", func() bool { _, err := os.Stat("/proc/" + fmt.Sprint(pid)); return os.IsNotExist(err) })
	if got := w.output("one@production", "box"); got != "box-4" {
		t.Errorf("production has the box %v", got)
	}
}
