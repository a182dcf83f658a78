package faults

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// proc is a process of a world.
type proc struct {
	pid  int
	args []string
	run  string // that it works for, as its environment says
}

// The kinds of processes of a world.
const (
	theServer   = "server"
	aRunner     = "runner"
	anEngine    = "tofu"
	aProvider   = "provider"
	aHook       = "hook"
	somethingOf = ""
)

// kind tells what a process is; "" for one that is not of this world.
func (w *world) kind(args []string) string {
	switch {
	case len(args) < 2:
	case args[0] == w.program && args[1] == "server":
		return theServer
	case args[0] == w.program && args[1] == "exec":
		return aRunner
	case args[0] == w.program && args[1] == "demo-provider":
		return aProvider
	case args[0] == filepath.Join(w.bin, "tofu"):
		return anEngine
	case slices.Contains(args, w.file("hook.sh")) && filepath.Base(args[0]) == "sh":
		return aHook
	}
	return ""
}

// processes lists what runs of this world: of a kind, or all of it with somethingOf.
func (w *world) processes(kind string) []proc {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		w.Fatal("the fault suite finds processes in /proc, and so needs Linux: ", err)
	}
	var found []proc
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		args := words(filepath.Join("/proc", e.Name(), "cmdline"))
		k := w.kind(args)
		if k == "" || kind != somethingOf && k != kind {
			continue
		}
		p := proc{pid: pid, args: args}
		for _, v := range words(filepath.Join("/proc", e.Name(), "environ")) {
			if value, ok := strings.CutPrefix(v, "TERRACE_RUN="); ok {
				p.run = value
			}
		}
		found = append(found, p)
	}
	return found
}

// words reads a file of words that end with a zero; none when it is gone.
func words(file string) []string {
	data, err := os.ReadFile(file)
	if err != nil || len(data) == 0 {
		return nil
	}
	return strings.Split(strings.TrimRight(string(data), "\x00"), "\x00")
}

// of selects the processes that work for a run.
func of(run string, all []proc) []proc {
	return slices.DeleteFunc(all, func(p proc) bool { return p.run != run })
}

// doing selects the engines that carry out a command.
func doing(command string, all []proc) []proc {
	return slices.DeleteFunc(all, func(p proc) bool { return len(p.args) < 2 || p.args[1] != command })
}

// signal sends one to a process, which may have ended.
func (w *world) signal(pid int, s syscall.Signal) {
	w.Helper()
	if err := syscall.Kill(pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		w.Errorf("%s to %d: %v", s, pid, err)
	}
}

// gone reports whether there is no such process, or only its remains.
func gone(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')'):]), " ")
	return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
}
