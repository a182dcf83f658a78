package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/ansi"
	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/wire"
)

func newRolloutCommand(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "rollout", Short: "Journeys of releases: start, list, show, watch, cancel"}
	c.AddCommand(newRolloutStart(s), newRolloutList(s), newRolloutShow(s), newRolloutWatch(s),
		&cobra.Command{Use: "cancel ROLLOUT", Short: "End a rollout: what waits never starts, what runs is interrupted", Args: cobra.ExactArgs(1),
			RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
				ro, err := c.CancelRollout(ctx, args[0])
				if err != nil {
					return err
				}
				return s.show(cmd, ro, func(out io.Writer) { _, _ = fmt.Fprintf(out, "%s is being cancelled.\n", ro.ID) })
			})})
	return c
}

func newRolloutStart(s *settings) *cobra.Command {
	var commit string
	var wait, all bool
	var timeout time.Duration
	c := &cobra.Command{Use: "start", Short: "Promote a release, or try it again", Args: cobra.NoArgs,
		Long:    "Promotes a release: the newest, or the one of --commit. With --wait it shows progress and ends with the rollout:\nexit 0 succeeded, 1 failed, 3 waiting on a gate. It is also the way to try a failed release again.\n\nAnsible runs on hosts where something has changed, or where it did not come to a good end. With --all it runs\non all hosts of the release, also where nothing has changed.",
		Example: "  terrace rollout start --wait\n  terrace rollout start --commit 41 --all",
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, _ []string) error {
			ro, err := c.StartRollout(ctx, project, wire.StartRollout{Commit: commit, All: all})
			if err != nil {
				return err
			}
			if wait {
				return s.watch(ctx, c, cmd, ro.ID, timeout)
			}
			return s.show(cmd, ro, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "%s promotes release %s. Follow it: terrace rollout watch %[1]s\n", ro.ID, releaseText(&ro.Release))
			})
		})}
	c.Flags().StringVar(&commit, "commit", "", "a commit (or the start of one) or a release's number")
	c.Flags().BoolVar(&all, "all", false, "have Ansible run on all hosts, also where nothing has changed")
	c.Flags().BoolVar(&wait, "wait", false, "show progress and wait for the end")
	c.Flags().DurationVar(&timeout, "timeout", 0, "give up waiting after this long (the rollout goes on)")
	return c
}

func newRolloutList(s *settings) *cobra.Command {
	var limit int
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "Rollouts, newest first", Args: cobra.NoArgs,
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, _ []string) error {
			all, err := c.Rollouts(ctx, project, limit)
			if err != nil {
				return err
			}
			return s.show(cmd, all, func(out io.Writer) {
				if len(all) == 0 {
					_, _ = fmt.Fprintln(out, "No rollouts yet. Push a commit with a terrace.hcl.")
					return
				}
				var rows [][]string
				for _, ro := range all {
					subject := ro.Release.Subject
					if ro.Kind == "rollback" {
						subject = fmt.Sprintf("rollback from %d: %s", ro.From, subject)
					}
					rows = append(rows, []string{ro.ID, releaseText(&ro.Release), ro.Status, subject, stagesText(ro), ago(ro.Created)})
				}
				table(out, []string{"ROLLOUT", "RELEASE", "STATUS", "COMMIT", "STAGES", "STARTED"}, rows)
			})
		})}
	c.Flags().IntVar(&limit, "limit", 20, "how many at most")
	return c
}

func stagesText(ro wire.Rollout) string {
	text := ""
	for i, st := range ro.Stages {
		if i > 0 {
			text += " → "
		}
		text += st.Environment + " " + st.Status
	}
	return text
}

func newRolloutShow(s *settings) *cobra.Command {
	return &cobra.Command{Use: "show ROLLOUT", Short: "One rollout: its stages, its runs, what it waits for", Args: cobra.ExactArgs(1),
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			ro, err := c.Rollout(ctx, args[0])
			if err != nil {
				return err
			}
			return s.show(cmd, ro, func(out io.Writer) { printRollout(out, ro) })
		})}
}

func printRollout(out io.Writer, ro wire.Rollout) {
	_, _ = fmt.Fprintf(out, "Rollout  %s\nRelease  %s %s\nStatus   %s\nAsked    %s, %s\n", ro.ID, releaseText(&ro.Release), ro.Release.Subject, ro.Status, ro.By, ago(ro.Created))
	if ro.Kind == "rollback" {
		_, _ = fmt.Fprintf(out, "Rollback from release %d\n", ro.From)
		if ro.Reason != "" {
			_, _ = fmt.Fprintf(out, "Because  %s\n", ansi.Strip(ro.Reason))
		}
	}
	if ro.AllHosts {
		_, _ = fmt.Fprintln(out, "Ansible  on all hosts, also where nothing has changed")
	}
	if ro.Release.Invalid != "" {
		_, _ = fmt.Fprintf(out, "\nIts configuration does not hold:\n%s\n", ro.Release.Invalid)
	}
	var rows [][]string
	for _, st := range ro.Stages {
		rows = append(rows, []string{st.Environment, st.Status, took(st.Started, st.Finished), st.WaitsFor})
	}
	_, _ = fmt.Fprintln(out)
	table(out, []string{"ENVIRONMENT", "STATUS", "TOOK", "WAITS FOR"}, rows)
	printExplained(out, ro)
	if len(ro.Runs) > 0 {
		_, _ = fmt.Fprintln(out)
		printRuns(out, ro.Runs)
	}
}

func newRolloutWatch(s *settings) *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{Use: "watch [ROLLOUT]", Short: "Follow a rollout (default: the newest) to its end", Args: cobra.MaximumNArgs(1),
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return s.watch(ctx, c, cmd, args[0], timeout)
			}
			project, err := s.projectName(ctx, c)
			if err != nil {
				return err
			}
			all, err := c.Rollouts(ctx, project, 1)
			if err != nil {
				return err
			}
			if len(all) == 0 {
				return errors.New("there is no rollout yet; push a commit with a terrace.hcl")
			}
			return s.watch(ctx, c, cmd, all[0].ID, timeout)
		})}
	c.Flags().DurationVar(&timeout, "timeout", 0, "give up waiting after this long (the rollout goes on)")
	return c
}

// watchEvery is how often a rollout is looked at.
const watchEvery = 300 * time.Millisecond

// watch follows a rollout, line by line, and ends with its exit code.
func (s *settings) watch(ctx context.Context, c *client.Client, cmd *cobra.Command, id string, timeout time.Duration) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	out := cmd.ErrOrStderr()
	said := map[string]string{}
	say := func(key, text string) {
		if said[key] != text {
			said[key] = text
			_, _ = fmt.Fprintf(out, "%s  %s\n", time.Now().Format("15:04:05"), text)
		}
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		ro, err := c.Rollout(ctx, id)
		var away *client.Unreachable
		switch {
		case err != nil && ctx.Err() != nil: // said below
		case errors.As(err, &away):
			say("server", "the server cannot be reached; trying on")
		case err != nil:
			return err
		default:
			delete(said, "server")
			for _, r := range ro.Runs {
				text := fmt.Sprintf("%s  %s %s", r.Instance, r.Status, changesText(r))
				if r.Error != nil {
					text += "  " + oneLine(r.Error.Message)
				}
				say(r.ID, text)
			}
			for _, st := range ro.Stages {
				text := st.Environment + "  " + st.Status
				switch {
				case st.WaitsFor != "" && st.Status == "waiting":
					text = st.Environment + "  waits for " + waitsText(st)
				case st.WaitsFor != "":
					text += ", waits for " + waitsText(st)
				}
				say(st.ID, text)
			}
			if done, err := s.verdict(cmd, ro); done {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return exitError{exitWaiting, fmt.Errorf("%s still goes on; follow it: terrace rollout watch %s", id, id)}
		case <-tick.C:
		}
	}
}

// verdict maps a rollout that is over, or that only a person can move, to an exit code.
func (s *settings) verdict(cmd *cobra.Command, ro wire.Rollout) (done bool, err error) {
	code := exitFailed
	switch ro.Status {
	case "succeeded":
		code = exitDone
	case "running":
		if !stuck(ro) {
			return false, nil
		}
		code = exitWaiting
	}
	if s.json {
		if err := printJSON(cmd.OutOrStdout(), ro); err != nil {
			return true, err
		}
		return true, exitError{code, nil}
	}
	printRollout(cmd.OutOrStdout(), ro)
	for _, r := range ro.Runs {
		if r.Error != nil && (r.Status == "failed" || r.Status == "errored" || r.Status == "unknown") {
			_, _ = fmt.Fprintf(cmd.OutOrStdout(), "\n%s (%s): %s\n", r.Instance, r.ID, r.Error.Message)
		}
	}
	if code == exitDone {
		return true, nil
	}
	return true, exitError{code, nil}
}

// stuck reports whether a rollout goes on only when a person does something.
func stuck(ro wire.Rollout) bool {
	person := false
	for _, st := range ro.Stages {
		if (st.Status == "running" || st.Status == "baking") && !st.ForPerson {
			return false
		}
		person = person || st.ForPerson
	}
	return person && !working(ro)
}

// working reports whether anything of a rollout moves without a person.
func working(ro wire.Rollout) bool {
	for _, r := range ro.Runs {
		switch r.Status {
		case "queued", "preparing", "planning", "checking", "applying", "provisioning", "verifying", "building":
			return true
		}
	}
	return false
}
