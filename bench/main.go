// Command bench measures Terrace beside the raw commands that it stands for, on this
// machine, with the same engine and the same provider, and prints ratios.
//
//	(a) one stack through three environments, against init, plan, show, apply one after the other
//	(b) fifty independent stacks, two at a time, against xargs -P2 of init, plan, apply
//	(c) a commit that changes a README: time, and how many engine processes it starts
//	(d) input digests of 10,000 stacks after a commit to one of 200 shared modules
//	(e) memory of the idle server
//	(f) fifty hosts: how often Ansible starts when nothing is new for them; one changed role for
//	    five of them, against ansible-playbook --limit
//	(load) the state protocol under many clients, on SQLite and PostgreSQL; real engines on
//	       Terrace, and on the pg and s3 backends; streams of logs, large states, large logs
//
// Raw and Terrace alternate in one run, after a warm-up; what is compared are medians.
// The raw side is as warm as it can be: its folders keep their .terraform. Terrace is
// the built binary, driven from outside: git push, webhook, API.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// result is one line of the table. Times are in seconds.
type result struct {
	Name    string    `json:"name"`
	What    string    `json:"what"`
	Unit    string    `json:"unit"`
	Raw     []float64 `json:"raw,omitempty"`
	Terrace []float64 `json:"terrace"`
	// Value is the median of Terrace, divided by that of Raw where there is one.
	Value   float64 `json:"value"`
	Target  float64 `json:"target"`
	Reached bool    `json:"reached"`
	// Note says more, for people.
	Note string `json:"note,omitempty"`
}

type report struct {
	CPUs    int      `json:"cpus"`
	System  string   `json:"system"`
	Engine  string   `json:"engine"`
	Rounds  int      `json:"rounds"`
	Seconds float64  `json:"seconds"`
	Results []result `json:"results"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	asJSON := flags.Bool("json", false, "machine-readable output")
	rounds := flags.Int("rounds", 5, "measured rounds, after one that is not")
	only := flags.String("only", "a,b,c,d,e,f,load", "which measurements")
	binary := flags.String("terrace", "bin/terrace", "the program to measure")
	stacks := flags.Int("stacks", 10_000, "stacks of the repository of (d)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	began := time.Now()
	w, err := newWorld(ctx, *binary, stderr)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := w.close(); err == nil {
			err = closeErr
		}
	}()
	r := report{CPUs: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH, Engine: w.version, Rounds: *rounds}
	for _, m := range []struct {
		name    string
		measure func() ([]result, error)
	}{
		{"a", func() ([]result, error) { return w.threeEnvironments(ctx, *rounds) }},
		{"b", func() ([]result, error) { return w.fiftyStacks(ctx, *rounds) }},
		{"c", func() ([]result, error) { return w.readme(ctx, *rounds) }},
		{"d", func() ([]result, error) { return w.digests(ctx, *rounds, *stacks) }},
		{"e", func() ([]result, error) { return w.idle(ctx) }},
		{"f", func() ([]result, error) { return w.provision(ctx, *rounds) }},
		{"load", func() ([]result, error) { return w.load(ctx, *rounds) }},
	} {
		if !slices.Contains(strings.Split(*only, ","), m.name) {
			continue
		}
		w.sayf("(%s)", m.name)
		results, err := m.measure()
		if err != nil {
			return fmt.Errorf("(%s): %w", m.name, err)
		}
		r.Results = append(r.Results, results...)
	}
	r.Seconds = time.Since(began).Seconds()
	if *asJSON {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	return table(stdout, r)
}

func table(out io.Writer, r report) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "%s, %d processors, OpenTofu %s, medians of %d rounds\n\n\traw\tTerrace\tresult\tto reach\t\n", r.System, r.CPUs, r.Engine, r.Rounds)
	for _, x := range r.Results {
		raw, value := "", fmt.Sprintf("%.3g %s", x.Value, x.Unit)
		if len(x.Raw) > 0 {
			raw, value = fmt.Sprintf("%.3g s", median(x.Raw)), fmt.Sprintf("%.2f x raw", x.Value)
		}
		said, target := x.Note, ""
		if x.Target > 0 {
			target = fmt.Sprintf("%.3g", x.Target)
		}
		if !x.Reached {
			said = "missed " + said
		}
		_, _ = fmt.Fprintf(w, "(%s) %s\t%s\t%.3g %s\t%s\t%s\t%s\n", x.Name, x.What, raw, median(x.Terrace), x.Unit, value, target, said)
	}
	return w.Flush()
}
