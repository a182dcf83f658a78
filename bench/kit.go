package main

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// kit lets testkit start services for measurements: what it registers is undone by close,
// and what it finds fatal ends with within.
type kit struct {
	testing.TB
	ctx  context.Context
	undo []func()
	say  func(string, ...any)
}

type fatal struct{ error }

func (k *kit) Helper()                           {}
func (k *kit) Context() context.Context          { return k.ctx }
func (k *kit) Cleanup(f func())                  { k.undo = append(k.undo, f) }
func (k *kit) Failed() bool                      { return false }
func (k *kit) Name() string                      { return "bench" }
func (k *kit) Log(args ...any)                   { k.say("%s", fmt.Sprint(args...)) }
func (k *kit) Logf(format string, args ...any)   { k.say(format, args...) }
func (k *kit) Error(args ...any)                 { k.say("%s", fmt.Sprint(args...)) }
func (k *kit) Errorf(format string, args ...any) { k.say(format, args...) }
func (k *kit) Fatal(args ...any)                 { panic(fatal{fmt.Errorf("%s", fmt.Sprint(args...))}) }
func (k *kit) Fatalf(format string, args ...any) { panic(fatal{fmt.Errorf(format, args...)}) }

func (k *kit) TempDir() string {
	dir, err := os.MkdirTemp("", "terrace-bench-kit-")
	if err != nil {
		k.Fatal(err)
	}
	k.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// within calls f, and turns what testkit finds fatal into an error.
func (k *kit) within(f func() error) (err error) {
	defer func() {
		if what := recover(); what != nil {
			failed, ours := what.(fatal)
			if !ours {
				panic(what)
			}
			err = failed.error
		}
	}()
	return f()
}

func (k *kit) close() {
	for len(k.undo) > 0 {
		last := k.undo[len(k.undo)-1]
		k.undo = k.undo[:len(k.undo)-1]
		last()
	}
}
