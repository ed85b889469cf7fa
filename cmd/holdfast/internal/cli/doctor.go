package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/doctor"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/output"
)

// exitUsage is the exit code of a doctor that was asked wrongly; 1 is that of one that found a fault.
const exitUsage = 2

type doctorCommand struct {
	Addresses   []string      `required:"" placeholder:"HOST:PORT" help:"The ingresses, as clients and app servers reach them, one address each."`
	Application string        `help:"The application to talk to; left out, the relay's default one."`
	TLS         bool          `name:"tls" help:"The ingresses are meant to speak TLS."`
	CA          string        `name:"ca" placeholder:"FILE" help:"Certificates of the authorities to trust, in PEM form; left out, those of the system. Means --tls."`
	ServerName  string        `placeholder:"NAME" help:"The name that the certificates must have; left out, the host of the address. Means --tls."`
	TokenFile   string        `placeholder:"FILE" help:"A token to send with each call, for a relay that asks clients for one."`
	NoMessages  bool          `help:"Send the application no message; what needs an echo is left out then."`
	Wait        time.Duration `default:"65s" help:"For how long to hold a silent stream through each ingress; 0s leaves that out."`
	Timeout     time.Duration `default:"10s" help:"For how long each step of the other checks may take."`
	JSON        bool          `name:"json" help:"The same as --output json."`
}

// Help is shown by --help.
func (doctorCommand) Help() string {
	return `Looks at a deployment from outside, through each of its ingresses, and says what was seen and what to change: by which directive of nginx, HAProxy and Envoy. With the relay's --admin listener it looks at the app servers too. It changes nothing, and closes all that it opens. The exit code is 0 when nothing failed, 1 when something did, and 2 when the arguments cannot be used.

Example:
  holdfast doctor --addresses ingress-a.example.com:443,ingress-b.example.com:443 --tls --admin 127.0.0.1:7401`
}

// Run runs the command.
func (c *doctorCommand) Run(ctx context.Context, e *environment) error {
	client, err := e.dial()
	if err != nil {
		return &exitError{exitUsage, err.Error()}
	}
	defer client.Close()
	cfg := doctor.Config{
		Addresses: c.Addresses, Application: c.Application, Admin: client, AdminAddress: e.admin.Address, AdminWanted: e.admin.Address != defaultAdmin,
		TLS: c.TLS || c.CA != "" || c.ServerName != "", CA: c.CA, ServerName: c.ServerName,
		NoMessages: c.NoMessages, Wait: c.Wait, Timeout: c.Timeout,
	}
	if c.TokenFile != "" {
		token, err := os.ReadFile(c.TokenFile)
		if err != nil {
			return &exitError{exitUsage, fmt.Sprintf("--token-file: %v", err)}
		}
		cfg.Token = strings.TrimSpace(string(token))
	}
	asJSON := e.json || c.JSON
	if !asJSON {
		cfg.Tell = func(f doctor.Finding) { _ = f.Write(e.out) } // A terminal that is gone ends the command by a signal.
	}
	report, err := doctor.Run(ctx, cfg)
	if wrong := new(doctor.UsageError); errors.As(err, &wrong) {
		return &exitError{exitUsage, wrong.Error()}
	}
	if err != nil {
		return err
	}
	if asJSON {
		err = output.Value(e.out, report)
	} else {
		_, err = fmt.Fprintln(e.out, report.Summary())
	}
	if err == nil && report.Failed > 0 {
		err = fmt.Errorf("%d checks failed", report.Failed)
	}
	return err
}
