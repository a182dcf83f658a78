// Command terrace is infrastructure continuous deployment in one binary.
package main

import (
	"os"

	"github.com/terrace-cd/terrace/internal/cli"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(cli.Main(version, os.Args[1:], os.Stdout, os.Stderr)) }
