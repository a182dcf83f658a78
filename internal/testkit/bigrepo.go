package testkit

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// BigRepo makes a bare repository at dir, with one commit on main: a terrace.hcl that
// discovers stacks/*, that many stacks of three files, each calling two or three of the
// shared modules, and modules of which every tenth calls another one.
func BigRepo(ctx context.Context, dir string, stacks, modules int) error {
	if err := gitRun(ctx, nil, "init", "--quiet", "--bare", "--initial-branch=main", "--", dir); err != nil {
		return err
	}
	return fastImport(ctx, dir, "", func(w *bufio.Writer) {
		put(w, "terrace.hcl", `project "big" {
  stacks = ["stacks/*"]
}

environment "dev" {
}
`)
		put(w, "README.md", "# A big repository\n")
		for i := range modules {
			name := fmt.Sprintf("modules/m%03d/", i)
			put(w, name+"main.tf", ModuleText(i, 0)+nested(i, modules))
			put(w, name+"variables.tf", "variable \"name\" {\n  type = string\n}\n")
			put(w, name+"templates/user_data.tftpl", fmt.Sprintf("#!/bin/sh\n# module %d\n", i))
		}
		for i := range stacks {
			name := fmt.Sprintf("stacks/s%05d/", i)
			put(w, name+"main.tf", stackText(i, modules))
			put(w, name+"variables.tf", `variable "size" {
  type    = string
  default = "small"
}

variable "count_of_things" {
  type        = number
  description = "How many."
  default     = 1
}
`)
			put(w, name+"outputs.tf", fmt.Sprintf("output \"id\" {\n  value = terraform_data.this.id\n}\n\noutput \"number\" {\n  value = %d\n}\n", i))
		}
	})
}

// ModuleText is main.tf of a module of BigRepo without nested calls; another version
// differs from it in content.
func ModuleText(i, version int) string {
	return fmt.Sprintf(`locals {
  version = "%d.%d"
}

resource "terraform_data" "this" {
  input = templatefile("${path.module}/templates/user_data.tftpl", { name = var.name, version = local.version })
}

output "id" {
  value = terraform_data.this.id
}
`, i, version)
}

func nested(i, modules int) string {
	if i%10 != 0 || i+1 >= modules {
		return ""
	}
	return fmt.Sprintf("\nmodule \"nested\" {\n  source = \"../m%03d\"\n  name   = var.name\n}\n", i+1)
}

func stackText(i, modules int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "resource \"terraform_data\" \"this\" {\n  input = \"stack %d ${var.size} ${var.count_of_things}\"\n}\n", i)
	for n := range min(modules, 2+i%2) {
		fmt.Fprintf(&b, "\nmodule \"m%d\" {\n  source = \"../../modules/m%03d\"\n  name   = \"s%d-%d\"\n}\n", n, (i*7+n*31)%modules, i, n)
	}
	return b.String()
}

// CommitFile adds a commit to main of a bare repository that sets one file, or deletes
// it when content is "".
func CommitFile(ctx context.Context, dir, path, content string) error {
	return fastImport(ctx, dir, "refs/heads/main^0", func(w *bufio.Writer) {
		if content == "" {
			_, _ = fmt.Fprintf(w, "D %s\n", path)
			return
		}
		put(w, path, content)
	})
}

func fastImport(ctx context.Context, dir, parent string, files func(*bufio.Writer)) error {
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := bufio.NewWriterSize(w, 1<<16)
		const message = "Change\n"
		_, _ = fmt.Fprintf(b, "feature done\ncommit refs/heads/main\ncommitter Test <test@example.org> 1750000000 +0000\ndata %d\n%s", len(message), message)
		if parent != "" {
			_, _ = fmt.Fprintf(b, "from %s\n", parent)
		}
		files(b)
		_, _ = b.WriteString("\ndone\n")
		_ = w.CloseWithError(b.Flush()) // git sees a stream that ends too early
	}()
	err := gitRun(ctx, r, "--git-dir="+dir, "fast-import", "--quiet", "--date-format=raw", "--done")
	_ = r.Close() // unblocks the writer when git ended early
	<-done
	return err
}

func put(w *bufio.Writer, path, content string) {
	_, _ = fmt.Fprintf(w, "M 100644 inline %s\ndata %d\n%s\n", path, len(content), content)
}

func gitRun(ctx context.Context, stdin io.Reader, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null"}
	cmd.Stdin = stdin
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, stderr.String())
	}
	return nil
}
