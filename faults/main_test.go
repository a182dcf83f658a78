package faults

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// What make faults passes on.
var (
	long      = flag.Bool("long", false, "all of it, not the share that is in every test run")
	kills     = flag.Int("kills", -1, "how many random kills on each database (default 200, or a few without -long)")
	times     = flag.Int("times", 3, "how often a fault of the table is repeated at most, with -long")
	seed      = flag.Uint64("seed", 0, "of the first random kill; each one after it has the next (default: by the clock)")
	keep      = flag.String("keep", "", "a file of what went well, which is not done again with the same program")
	only      = flag.String("rows", "", "only these rows of the table, as 1,4; 0 are the random kills")
	databases = flag.String("databases", "sqlite,postgres", "on these")
)

// terrace is the program under test, built once.
var terrace string

func TestMain(m *testing.M) {
	flag.Parse()
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano() % 1e9)
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	if err := checkKnobs(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if !*long {
		environments = environments[:2]
	}
	dir, err := os.MkdirTemp("", "terrace-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	terrace = filepath.Join(dir, "terrace")
	flags := []string{"-tags", "faults"}
	if *keep != "" {
		flags = append(flags, "-trimpath") // another clone's program is the same
	}
	if err := testkit.Build(terrace, flags...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if *keep != "" {
		if err := earlier.open(*keep, terrace); err != nil {
			fmt.Fprintln(os.Stderr, "what was done before:", err)
			return 1
		}
	}
	began := time.Now()
	code := m.Run()
	if violations := results.print(os.Stdout, time.Since(began)); violations > 0 {
		code = max(code, 1)
	}
	return code
}

func checkKnobs() error {
	for _, name := range chosenDatabases() {
		if engines[name] == nil {
			return fmt.Errorf("-databases: there is no %q; there are sqlite and postgres", name)
		}
	}
	for _, text := range split(*only) {
		n, err := strconv.Atoi(text)
		if err != nil || !slices.ContainsFunc(rows, func(r row) bool { return r.number == n }) {
			return fmt.Errorf("-rows: there is no row %q", text)
		}
	}
	return nil
}

func chosenDatabases() []string { return split(*databases) }

func chosen(number int) bool {
	return *only == "" || slices.Contains(split(*only), strconv.Itoa(number))
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}
