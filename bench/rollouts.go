package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/client"
)

// lockFile makes the lock file of the stack, by a real init.
func (w *world) lockFile(ctx context.Context) (string, error) {
	dir := filepath.Join(w.dir, "lock")
	if err := write(dir, map[string]string{"main.tf": stack}); err != nil {
		return "", err
	}
	if err := command(ctx, dir, w.environment("", "TF_CLI_CONFIG_FILE="+w.rc), w.engine, "init", "-input=false"); err != nil {
		return "", err
	}
	data, err := os.ReadFile(filepath.Join(dir, ".terraform.lock.hcl"))
	return string(data), err
}

// script runs a shell script in dir, as the raw side's user would have it in CI.
func (w *world) script(ctx context.Context, dir, text string, env ...string) (time.Duration, error) {
	env = append(env, "TOFU="+w.engine, "TF_CLI_CONFIG_FILE="+w.rc, "TF_IN_AUTOMATION=1")
	began := time.Now()
	err := command(ctx, dir, w.environment("", env...), "sh", "-eu", "-c", text)
	return time.Since(began), err
}

// threeEnvironments is (a).
func (w *world) threeEnvironments(ctx context.Context, rounds int) ([]result, error) {
	lock, err := w.lockFile(ctx)
	if err != nil {
		return nil, err
	}
	raw := filepath.Join(w.dir, "raw-a")
	for _, e := range []string{"dev", "staging", "production"} {
		if err := write(filepath.Join(raw, e), map[string]string{"main.tf": stack, ".terraform.lock.hcl": lock}); err != nil {
			return nil, err
		}
	}
	const script = `for e in dev staging production; do
  cd "$e"
  "$TOFU" init -input=false >/dev/null
  "$TOFU" plan -input=false -out=plan >/dev/null
  "$TOFU" show -json plan >plan.json
  "$TOFU" apply -input=false plan >/dev/null
  cd ..
done`
	hcl := func(v string) map[string]string {
		return map[string]string{"terrace.hcl": fmt.Sprintf(`project "a" {
  stacks = ["stacks/*"]
}

environment "dev" {
  variables = { v = %[1]q }
}

environment "staging" {
  after     = ["dev"]
  variables = { v = %[1]q }
}

environment "production" {
  after     = ["staging"]
  variables = { v = %[1]q }
}
`, v)}
	}
	files := hcl("start")
	files["stacks/one/main.tf"], files["stacks/one/.terraform.lock.hcl"] = stack, lock
	s, err := w.start(ctx, "a", filepath.Dir(w.engine), files)
	if err != nil {
		return nil, err
	}
	w.kept = s
	rawTimes, terraceTimes, err := alternate(rounds,
		func(round int) (time.Duration, error) {
			return w.script(ctx, raw, script, "TF_VAR_v="+strconv.Itoa(round))
		},
		func(round int) (time.Duration, error) {
			if err := s.commit(ctx, hcl(strconv.Itoa(round))); err != nil {
				return 0, err
			}
			took, rollout, err := s.deliver(ctx)
			if err != nil {
				return 0, err
			}
			return took, s.ran(ctx, rollout.ID, 3)
		})
	if err != nil {
		return nil, err
	}
	return []result{compared("a", "one stack, three environments", rawTimes, terraceTimes, 1.0)}, nil
}

// ran makes sure that a rollout did as much as the raw side.
func (s *server) ran(ctx context.Context, rollout string, want int) error {
	runs, err := s.api.Runs(ctx, s.project.Name, client.RunFilter{Rollout: rollout, Limit: want + 1})
	if err != nil {
		return err
	}
	changed := 0
	for _, r := range runs {
		if r.Status == "succeeded" && r.Changes.Create+r.Changes.Update+r.Changes.Replace == 1 {
			changed++
		}
	}
	if changed != want || len(runs) != want {
		return fmt.Errorf("%d runs changed something of %d, where %d should", changed, len(runs), want)
	}
	return nil
}

// fiftyStacks is (b).
func (w *world) fiftyStacks(ctx context.Context, rounds int) ([]result, error) {
	const stacks = 50
	lock, err := w.lockFile(ctx)
	if err != nil {
		return nil, err
	}
	hcl := func(v string) map[string]string {
		return map[string]string{"terrace.hcl": fmt.Sprintf("project \"b\" {\n  stacks   = [\"stacks/*\"]\n  parallel = 2\n}\n\nenvironment \"dev\" {\n  variables = { v = %q }\n}\n", v)}
	}
	raw := filepath.Join(w.dir, "raw-b")
	files := hcl("start")
	for i := range stacks {
		name := fmt.Sprintf("stacks/s%02d/", i)
		files[name+"main.tf"], files[name+".terraform.lock.hcl"] = stack, lock
	}
	if err := write(raw, files); err != nil {
		return nil, err
	}
	const script = `ls stacks | xargs -P2 -I{} sh -euc 'cd stacks/{}
  "$TOFU" init -input=false >/dev/null
  "$TOFU" plan -input=false -out=plan >/dev/null
  "$TOFU" apply -input=false plan >/dev/null'`
	s, err := w.start(ctx, "b", filepath.Dir(w.engine), files)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	rawTimes, terraceTimes, err := alternate(rounds,
		func(round int) (time.Duration, error) {
			return w.script(ctx, raw, script, "TF_VAR_v="+strconv.Itoa(round))
		},
		func(round int) (time.Duration, error) {
			if err := s.commit(ctx, hcl(strconv.Itoa(round))); err != nil {
				return 0, err
			}
			took, rollout, err := s.deliver(ctx)
			if err != nil {
				return 0, err
			}
			return took, s.ran(ctx, rollout.ID, stacks)
		})
	if err != nil {
		return nil, err
	}
	return []result{compared("b", "fifty stacks, two at a time", rawTimes, terraceTimes, 0.6)}, nil
}

// readme is (c). The engine is a script that writes down each of its starts.
func (w *world) readme(ctx context.Context, rounds int) ([]result, error) {
	lock, err := w.lockFile(ctx)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(w.dir, "counted")
	starts := filepath.Join(path, "starts")
	counting := fmt.Sprintf("#!/bin/sh\necho \"$*\" >>'%s'\nexec '%s' \"$@\"\n", starts, w.engine)
	if err := write(path, map[string]string{"tofu": counting, "starts": ""}); err != nil {
		return nil, err
	}
	if err := os.Chmod(filepath.Join(path, "tofu"), 0o755); err != nil { //nolint:gosec // a program
		return nil, err
	}
	s, err := w.start(ctx, "c", path, map[string]string{
		"terrace.hcl":        "project \"c\" {\n  stacks = [\"stacks/*\"]\n}\n\nenvironment \"dev\" {\n  variables = { v = \"1\" }\n}\n\nenvironment \"production\" {\n  after     = [\"dev\"]\n  variables = { v = \"1\" }\n}\n",
		"stacks/one/main.tf": stack, "stacks/one/.terraform.lock.hcl": lock,
	})
	if err != nil {
		return nil, err
	}
	defer s.stop()
	count := func() (int, error) {
		data, err := os.ReadFile(starts)
		return strings.Count(string(data), "\n"), err
	}
	first, err := count()
	if err != nil {
		return nil, err
	}
	if first == 0 {
		return nil, fmt.Errorf("the engine that counts its starts was not used")
	}
	var times, started []float64
	for round := range rounds + 1 {
		before, err := count()
		if err != nil {
			return nil, err
		}
		if err := s.commit(ctx, map[string]string{"README.md": fmt.Sprintf("# Round %d\n", round)}); err != nil {
			return nil, err
		}
		took, rollout, err := s.deliver(ctx)
		if err != nil {
			return nil, err
		}
		after, err := count()
		if err != nil {
			return nil, err
		}
		runs, err := s.api.Runs(ctx, s.project.Name, client.RunFilter{Rollout: rollout.ID})
		if err != nil {
			return nil, err
		}
		if round > 0 {
			times, started = append(times, took.Seconds()), append(started, float64(after-before+len(runs)))
		}
	}
	return []result{
		absolute("c", "a README, push to through", "s", times, 1),
		absolute("c", "a README, engine processes and runs", "", started, 0),
	}, nil
}
