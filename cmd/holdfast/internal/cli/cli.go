// Package cli has the commands of the tool.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/admin"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/dial"
)

const description = `Looks after a holdfast relay: reloads of ingresses, connections, events, traffic to test with, and a demo.

Examples:
  holdfast demo
  holdfast reload ingress-a && nginx -s reload && holdfast complete ingress-a`

// commands has the global flags and the commands.
type commands struct {
	Admin          string `default:"127.0.0.1:7401" env:"HOLDFAST_ADMIN" help:"HOST:PORT of the relay's admin listener."`
	AdminCA        string `name:"admin-ca" env:"HOLDFAST_ADMIN_CA" placeholder:"FILE" help:"Certificates, PEM, that the admin listener's must be signed by; speaks TLS."`
	AdminTLS       bool   `name:"admin-tls" env:"HOLDFAST_ADMIN_TLS" help:"Speak TLS to the admin listener, and believe what the system believes."`
	AdminTokenFile string `env:"HOLDFAST_ADMIN_TOKEN_FILE" placeholder:"FILE" help:"File with the token of operators."`
	Output         string `default:"text" enum:"text,json" env:"HOLDFAST_OUTPUT" help:"text or json."`

	Reload   reloadCommand   `cmd:"" help:"Move the logical connections off an ingress so that it can be reloaded."`
	Complete completeCommand `cmd:"" help:"Return an ingress to service after its reload."`
	Cancel   cancelCommand   `cmd:"" help:"Return an ingress to service that will not be reloaded."`
	Move     moveCommand     `cmd:"" help:"Move one logical connection to another server connection."`
	Close    closeCommand    `cmd:"" help:"Close one logical connection."`
	List     listCommand     `cmd:"" help:"List ingresses, server connections or clients."`
	Watch    watchCommand    `cmd:"" help:"Show what happens, as it happens."`
	LogLevel logLevelCommand `cmd:"" help:"Have the relay log more or less from now on."`
	Health   healthCommand   `cmd:"" help:"Ask a gRPC server for its health."`
	Doctor   doctorCommand   `cmd:"" help:"Check a deployment from outside and say what to change."`
	Keygen   keygenCommand   `cmd:"" help:"Print a fresh key for the resume tokens of clients."`
	Ingress  ingressCommand  `cmd:"" help:"Run a small ingress for demonstrations and tests."`
	Traffic  trafficCommand  `cmd:"" help:"Run clients that check every message."`
	Demo     demoCommand     `cmd:"" help:"Start everything, reload an ingress under traffic and judge the result."`
	Bench    benchCommand    `cmd:"" help:"Measure the relay beside what else could stand in its place."`

	Install installCommand `cmd:"" help:"Copy this program, for images with no shell."`

	BenchPart benchPartCommand `cmd:"" hidden:"" help:"A server that bench starts."`
}

// defaultAdmin is where the relay's admin listener is when nobody says otherwise.
const defaultAdmin = "127.0.0.1:7401"

// environment is what a command works with.
type environment struct {
	out      io.Writer
	errs     io.Writer
	admin    admin.Target
	json     bool
	terminal bool // out is a terminal
}

// dial prepares the connection to the relay.
func (e *environment) dial() (*admin.Client, error) { return admin.Dial(e.admin) }

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	text string
}

func (e *exitError) Error() string { return e.text }

// errHelp says that help was asked for and printed.
var errHelp = errors.New("help was printed")

// Main runs the command that the arguments name and returns the exit code. SIGINT and SIGTERM end it in
// good order; a second signal ends the process at once.
func Main(args []string, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return run(ctx, args, out, errs)
}

func run(ctx context.Context, args []string, out, errs io.Writer) int {
	err := parseAndRun(ctx, args, out, errs)
	if err == nil || errors.Is(err, errHelp) {
		return 0
	}
	fmt.Fprintf(errs, "holdfast: %v\n", err)
	if exit := new(exitError); errors.As(err, &exit) {
		return exit.code
	}
	return 1
}

func parseAndRun(ctx context.Context, args []string, out, errs io.Writer) error {
	var c commands
	helped := false
	parser, err := kong.New(
		&c, kong.Name("holdfast"), kong.Description(description), kong.Writers(out, errs),
		kong.Exit(func(int) { helped = true }), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		return err
	}
	command, err := parser.Parse(args)
	if helped {
		return errHelp
	}
	if err != nil {
		err = fmt.Errorf("%w (see holdfast --help)", err)
		if wrong := new(kong.ParseError); errors.As(err, &wrong) && wrong.Context.Selected() != nil && wrong.Context.Selected().Name == "doctor" {
			return &exitError{exitUsage, err.Error()} // To a doctor 1 means a fault that was found.
		}
		return err
	}
	e := &environment{out: out, errs: errs, json: c.Output == "json", terminal: isTerminal(out), admin: admin.Target{
		Address: c.Admin, Security: dial.Security{TLS: c.AdminTLS, CA: c.AdminCA, TokenFile: c.AdminTokenFile},
	}}
	command.BindTo(ctx, (*context.Context)(nil))
	return command.Run(e)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
