// Cardea is a Kubernetes ingress controller with its own data plane.
package main

import (
	"context"
	"os"

	"github.com/cardea-dev/cardea/cmd/cli"
)

func main() { os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }
