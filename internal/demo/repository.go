package demo

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/terrace-cd/terrace/examples"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/git"
	"github.com/terrace-cd/terrace/internal/wire"
)

// The versions of the page, and where the example says which one it is and where it
// expects the cloud.
const (
	firstVersion  = "1"
	secondVersion = "2"
	pageFile      = "ansible/page.yml"
	exampleCloud  = "http://127.0.0.1:8790"
)

// repository is the shop's: a bare one that the server watches, and a clone.
type repository struct{ bare, clone string }

// newRepository makes both and pushes the shop, changed to use this cloud.
func newRepository(ctx context.Context, dir, cloudURL, lock string) (*repository, error) {
	r := &repository{bare: filepath.Join(dir, "shop.git"), clone: filepath.Join(dir, "shop")}
	if err := os.Mkdir(r.clone, 0o755); err != nil {
		return nil, err
	}
	if err := r.fill(cloudURL, lock); err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--bare", "--initial-branch=main", r.bare},
		{"init", "--quiet", "--initial-branch=main", r.clone},
		{"remote", "add", "origin", r.bare},
	} {
		if err := r.git(ctx, args...); err != nil {
			return nil, err
		}
	}
	return r, r.push(ctx, "The shop")
}

// fill writes the example's files, and for each stack the lock file: it holds the
// hash of the provider's program, which is another one on each machine.
func (r *repository) fill(cloudURL, lock string) error {
	files := examples.Shop()
	return fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(r.clone, filepath.FromSlash(name))
		if d.IsDir() {
			if path.Dir(name) == "stacks" {
				return writeAll(filepath.Join(to, ".terraform.lock.hcl"), lock)
			}
			return nil
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		return writeAll(to, string(bytes.ReplaceAll(text, []byte(exampleCloud), []byte(cloudURL))))
	})
}

func writeAll(name, text string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(text), 0o644)
}

// changePage commits and pushes a new version of the page: one line.
func (r *repository) changePage(ctx context.Context) error {
	name := filepath.Join(r.clone, filepath.FromSlash(pageFile))
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	before, after := fmt.Sprintf("page_version: %q", firstVersion), fmt.Sprintf("page_version: %q", secondVersion)
	if !strings.Contains(string(text), before) {
		return core.Errorf(core.Internal, "%s does not say %s", pageFile, before)
	}
	if err := writeAll(name, strings.Replace(string(text), before, after, 1)); err != nil {
		return err
	}
	return r.push(ctx, "Version "+secondVersion+" of the page")
}

// tell makes the repository send a webhook after every push.
func (r *repository) tell(hook wire.Webhook, exe string, args []string) error {
	secret := filepath.Join(r.bare, "terrace-webhook-secret")
	if err := os.WriteFile(secret, []byte(hook.Secret), 0o600); err != nil {
		return err
	}
	var command strings.Builder
	for _, word := range append(append([]string{exe}, args...), hook.URL, secret) {
		command.WriteString(" '" + strings.ReplaceAll(word, "'", `'\''`) + "'")
	}
	return os.WriteFile(filepath.Join(r.bare, "hooks", "post-receive"), []byte("#!/bin/sh\nexec"+command.String()+"\n"), 0o755)
}

func (r *repository) push(ctx context.Context, message string) error {
	for _, args := range [][]string{
		{"add", "--all"},
		{"commit", "--quiet", "--message=" + message},
		{"push", "--quiet", "--set-upstream", "origin", "main"}, // so that a plain push works for whoever plays
	} {
		if err := r.git(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

func (r *repository) head(ctx context.Context) (string, error) {
	out, err := git.Run(ctx, git.Cmd{Dir: r.clone, Args: []string{"rev-parse", "HEAD"}})
	return strings.TrimSpace(string(out)), err
}

func (r *repository) git(ctx context.Context, args ...string) error {
	const name, mail = "Ada of the demo", "ada@shop.example"
	_, err := git.Run(ctx, git.Cmd{Dir: r.clone, Args: args, Env: []string{
		"GIT_AUTHOR_NAME=" + name, "GIT_AUTHOR_EMAIL=" + mail, "GIT_COMMITTER_NAME=" + name, "GIT_COMMITTER_EMAIL=" + mail,
	}})
	return err
}
