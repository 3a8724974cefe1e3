// Package cli is the command line of Cardea: flags, subcommands and the wiring of
// everything else into one process.
//
// [Main] is the whole program as a function, so that tests run it in process. It
// reads no global state but signals, and it leaves nothing behind when it
// returns, except after a second signal, which ends it at once.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitOK = iota
	// exitFailure: it did not work, or check found something.
	exitFailure
	// exitUsage: wrong flags, or input that cannot be read.
	exitUsage
)

// Main runs the program with the arguments after its name and returns the exit
// code. The first SIGTERM or SIGINT, or the end of ctx, shuts down gracefully; a
// second signal returns at once.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	return run(ctx, args, stdout, stderr, signals)
}

// run is Main with the signals as a parameter.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, signals <-chan os.Signal) int {
	ctx, shutdown := context.WithCancel(ctx)
	defer shutdown()
	code := make(chan int, 1)
	go func() { code <- execute(ctx, args, stdout, stderr) }()
	for range 2 {
		select {
		case c := <-code:
			return c
		case <-signals:
			shutdown()
		}
	}
	return exitFailure
}

func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	code := exitFailure
	if e, ok := errors.AsType[*exitError](err); ok {
		code, err = e.code, e.err
	}
	if err != nil {
		fmt.Fprintf(stderr, "cardea: %v\n", err)
	}
	if code == exitUsage && errors.Is(err, errUsage) {
		fmt.Fprintf(stderr, "Run '%s --help' for usage.\n", cmd.CommandPath())
	}
	return code
}

// An exitError chooses the exit code. Without err nothing more is printed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// errUsage marks errors that the help text answers.
var errUsage = errors.New("usage")

// usage returns an error about how the program was called.
func usage(format string, args ...any) error {
	return &exitError{exitUsage, &usageError{fmt.Sprintf(format, args...)}}
}

type usageError struct{ text string }

func (e *usageError) Error() string        { return e.text }
func (e *usageError) Is(target error) bool { return target == errUsage }

// unreadable returns an error about input that cannot be read.
func unreadable(err error) error { return &exitError{exitUsage, err} }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "cardea",
		Short: "Cardea is a Kubernetes ingress controller with its own data plane.",
		Long: text(`
			Cardea is a Kubernetes ingress controller in one binary. It serves Ingress and
			TLS Secret objects, from a cluster or from a folder of YAML, without a reload or
			a restart for any change, and reports every TLS handshake and every request with
			the object behind it.`),
		Example: text(`
			# Try it without a cluster
			cardea demo

			# Serve a folder of Kubernetes YAML
			cardea serve --manifests ./manifests

			# Serve a cluster
			cardea controller --kubeconfig ~/.kube/config --publish-address 192.0.2.1`),
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE: func(cmd *cobra.Command, args []string) error {
			return cmd.Help()
		},
		Args: noArgs,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%v", err) })
	root.SetHelpCommand(&cobra.Command{Hidden: true})
	root.AddCommand(newDemo(), newServe(), newController(), newCheck(), newExplain(), newVersion())
	for _, cmd := range append(root.Commands(), root) {
		cmd.InitDefaultHelpFlag()
		cmd.Flags().Lookup("help").Usage = "Print this help."
		cmd.Example = indentLines(cmd.Example)
	}
	return root
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return usage("unknown command %q", args[0])
	}
	return usage("unexpected argument %q", args[0])
}

// indentLines indents every line that is not empty.
func indentLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if l != "" {
			lines[i] = "  " + l
		}
	}
	return strings.Join(lines, "\n")
}

// text removes the indentation that a raw string has in the source.
func text(s string) string {
	lines := strings.Split(strings.Trim(s, "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, "\t\t\t")
	}
	return strings.Join(lines, "\n")
}
