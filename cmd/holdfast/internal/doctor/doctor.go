// Package doctor looks at a deployment from outside, through its ingresses, and says what to change. It is careful not to
// disturb: it opens five connections to an address at most, one after the other, and keeps two streams open there at a time;
// an application that echoes is sent about 3 MiB, any other one message; no answer is waited for for ever, and all that was
// opened is closed.
package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// Bounds of a configuration.
const (
	maxAddresses = 32
	maxWait      = 24 * time.Hour
	maxTimeout   = time.Minute
)

// Config says what to look at. It is not changed while the checks run.
type Config struct {
	// Addresses are the ways in, HOST:PORT, one for each ingress; 1 to 32.
	Addresses []string
	// Application is the one to talk to; empty means the relay's default one.
	Application string
	// Admin asks the relay's admin listener; nil leaves out what needs it.
	Admin holdfastv1.AdminServiceClient
	// AdminAddress is where Admin asks, for people. AdminWanted says that not to reach it is a fault.
	AdminAddress string
	AdminWanted  bool
	// TLS says that the addresses are meant to speak TLS. CA is a file with the certificates to trust, empty for those of
	// the system; ServerName is the name that the certificate must have, empty for the host of the address.
	TLS            bool
	CA, ServerName string
	// Token goes with every call as a bearer token; empty for none.
	Token string
	// NoMessages keeps the application from being sent a message.
	NoMessages bool
	// Wait is for how long the silence of a stream is held, 0 to 24h; 0 leaves that check out.
	Wait time.Duration
	// Timeout bounds each step of a check, more than 0 and 1m at most.
	Timeout time.Duration
	// Tell gets each finding as it is made, from the goroutine that runs the checks; may be nil.
	Tell func(Finding)
}

// doctor is one run of the checks.
type doctor struct {
	Config
	roots  *x509.CertPool // nil for those of the system
	report Report
}

// Run makes the checks and returns what they found out. The error says that the configuration cannot be used, or that ctx
// ended before the checks did.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	d := &doctor{Config: cfg}
	if err := d.check(); err != nil {
		return nil, &UsageError{err}
	}
	var patients []*patient
	for _, address := range d.Addresses {
		p := &patient{doctor: d, address: address}
		patients = append(patients, p)
		p.examine(ctx)
		defer p.close()
	}
	d.tell("", judgeNames(patients))
	before := d.askAdmin(ctx, patients)
	d.waitIdle(ctx, patients)
	d.tell("", d.watchServers(ctx, before))
	if ctx.Err() != nil {
		return &d.report, fmt.Errorf("interrupted: %w", context.Cause(ctx))
	}
	return &d.report, nil
}

// UsageError says that the configuration cannot be used.
type UsageError struct{ cause error }

func (e *UsageError) Error() string { return e.cause.Error() }
func (e *UsageError) Unwrap() error { return e.cause }

// tell takes a finding down. One without a check is none.
func (d *doctor) tell(address string, f Finding) {
	if f.Check == "" {
		return
	}
	f.Address = address
	d.report.add(f)
	if d.Tell != nil {
		d.Tell(f)
	}
}

func (d *doctor) check() error {
	var errs []error
	if n := len(d.Addresses); n == 0 || n > maxAddresses {
		errs = append(errs, fmt.Errorf("--addresses: %d addresses are not allowed; 1 to %d are", n, maxAddresses))
	}
	seen := map[string]bool{}
	for _, address := range d.Addresses {
		host, port, err := net.SplitHostPort(address)
		if err != nil || host == "" || port == "" {
			errs = append(errs, fmt.Errorf("--addresses: %q is not allowed; HOST:PORT is", address))
		}
		if seen[address] {
			errs = append(errs, fmt.Errorf("--addresses: %q is there twice; name each ingress once", address))
		}
		seen[address] = true
	}
	if d.Wait < 0 || d.Wait > maxWait {
		errs = append(errs, fmt.Errorf("--wait: %s is not allowed; 0s to %s is", d.Wait, maxWait))
	}
	if d.Timeout <= 0 || d.Timeout > maxTimeout {
		errs = append(errs, fmt.Errorf("--timeout: %s is not allowed; more than 0s and %s at most is", d.Timeout, maxTimeout))
	}
	if d.CA != "" {
		pem, err := os.ReadFile(d.CA)
		if err != nil {
			errs = append(errs, fmt.Errorf("--ca: %w", err))
		} else if d.roots = x509.NewCertPool(); !d.roots.AppendCertsFromPEM(pem) {
			errs = append(errs, fmt.Errorf("--ca: %s has no certificate in PEM form", d.CA))
		}
	}
	return errors.Join(errs...)
}

// tlsConfig returns the configuration for an address. Without verify any certificate will do.
func (d *doctor) tlsConfig(address string, verify bool) *tls.Config {
	return &tls.Config{
		RootCAs: d.roots, ServerName: d.serverName(address), NextProtos: []string{"h2"},
		InsecureSkipVerify: !verify, // The certificate is checked apart, so that the other checks go on with a bad one.
		MinVersion:         tls.VersionTLS12,
	}
}

func (d *doctor) serverName(address string) string {
	if d.ServerName != "" {
		return d.ServerName
	}
	host, _, _ := net.SplitHostPort(address) // check has seen to it
	return strings.TrimSuffix(host, ".")
}

// step bounds a step of a check.
func (d *doctor) step(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d.Timeout)
}

// waitIdle holds the silent streams of all addresses at the same time.
func (d *doctor) waitIdle(ctx context.Context, patients []*patient) {
	findings := make([]Finding, len(patients))
	var all sync.WaitGroup
	for i, p := range patients {
		all.Go(func() { findings[i] = p.idle(ctx) })
	}
	all.Wait()
	for i, p := range patients {
		d.tell(p.address, findings[i])
	}
}
