// Command holdfast is the one tool for people: demo, reload, list, watch, traffic.
package main

import (
	"os"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr)) }
