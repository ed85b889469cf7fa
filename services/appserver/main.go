// Command appserver is the sample app server of holdfast.
package main

import (
	"os"

	"github.com/holdfast/holdfast/services/appserver/internal/app"
)

func main() { os.Exit(app.Main(os.Args[1:], os.Stdout, os.Stderr)) }
