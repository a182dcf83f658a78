// Command democloud is democloud without the rest of Terrace, for tests that need the
// cloud or its provider as a process of its own.
//
//	democloud provider                   serves the provider to an engine
//	democloud mirror DIR                 writes a provider mirror that starts this program
//	democloud serve DIR [ADDR [LATENCY]] runs a cloud until it is interrupted, and
//	                                     prints its URL first
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/demo/democloud/provider"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "democloud:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	usage := fmt.Errorf("usage: democloud provider | mirror DIR | serve DIR [ADDR [LATENCY]]")
	switch {
	case len(args) == 1 && args[0] == "provider":
		return provider.Serve(context.Background())
	case len(args) == 2 && args[0] == "mirror":
		exe, err := os.Executable()
		if err != nil {
			return err
		}
		return democloud.WriteMirror(args[1], exe, []string{"provider"})
	case len(args) >= 2 && len(args) <= 4 && args[0] == "serve":
		opts := democloud.Options{Dir: args[1]}
		if len(args) > 2 {
			opts.Addr = args[2]
		}
		if len(args) > 3 {
			var err error
			if opts.Latency, err = time.ParseDuration(args[3]); err != nil {
				return err
			}
		}
		return serve(opts)
	}
	return usage
}

func serve(opts democloud.Options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cloud, err := democloud.New(opts)
	if err != nil {
		return err
	}
	if err := cloud.Start(); err != nil {
		return err
	}
	fmt.Println(cloud.URL())
	<-ctx.Done()
	return cloud.Close()
}
