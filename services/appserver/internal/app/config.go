package app

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/alecthomas/kong"

	"github.com/holdfast/holdfast/pkg/settings"
)

const description = `The sample app server of holdfast: an application that echoes and counts.

Example:
  appserver --relays ingress-a:8080,ingress-b:8080 --server-id sample-1

Every flag can be given as an environment variable too, or by its name in a file for --config.`

// Config is what the flags and the environment say.
type Config struct {
	settings.File       `embed:""`
	Relays              []string      `help:"Where the relay is reached, HOST:PORT through each ingress; comma separated or repeated. 127.0.0.1:7400 when there are no --relay-names either."`
	RelayNames          []string      `help:"Names, HOST:PORT, each of whose addresses leads to a relay, and is kept to as one of --relays; looked up every 15 s; comma separated or repeated."`
	ConnectionsPerRelay int           `default:"1" help:"Server connections for each of --relays, and for each address of --relay-names, 1 to 16."`
	ServerID            string        `name:"server-id" default:"${hostname}" help:"Names this app server over restarts."`
	InstanceID          string        `name:"instance-id" placeholder:"RANDOM" help:"Names this process; leave it out to have it drawn at random."`
	Application         string        `default:"echo" help:"The application that clients ask for."`
	Listen              string        `default:"127.0.0.1:7410" help:"Where to serve gRPC health and reflection."`
	MetricsListen       string        `placeholder:"HOST:PORT" help:"Where to serve the metrics for Prometheus, at /metrics over HTTP; leave it out to serve none."`
	ParkTime            time.Duration `default:"30s" help:"For how long a connection waits for the relay to take it up again when its server connections are lost, beside three heartbeat intervals; 0s to 1h."`
	ShutdownGrace       time.Duration `default:"10s" help:"For how long a shutdown waits for connections to end."`
	TLSCA               string        `name:"tls-ca" placeholder:"FILE" help:"Certificates, PEM, one of which must have signed the one that relays show; speaks TLS."`
	TLSCert             string        `name:"tls-cert" placeholder:"FILE" help:"Certificate chain to show, PEM; read again when it changes. In the same directory as its key."`
	TLSKey              string        `name:"tls-key" placeholder:"FILE" help:"Key for --tls-cert, PEM."`
	TLSServerName       string        `name:"tls-server-name" placeholder:"NAME" help:"Name that the certificates of relays must be for; the one that is dialled when left out."`
	LogFormat           string        `default:"text" enum:"text,json" help:"text or json."`
	LogLevel            string        `default:"info" enum:"debug,info,warn,error" help:"debug, info, warn or error."`
}

const (
	defaultRelay           = "127.0.0.1:7400"
	maxConnectionsPerRelay = 16
	maxName                = 128
	maxTime                = time.Hour
)

// errHelp says that help, or the settings, were asked for and printed.
var errHelp = errors.New("it was printed")

// Parse reads the arguments and the environment. Help goes to out.
func Parse(args []string, out io.Writer) (Config, error) {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "appserver"
	}
	var c Config
	helped := false
	parser, err := kong.New(&c, append(settings.Options(),
		kong.Name("appserver"), kong.Description(description), kong.Vars{"hostname": hostname},
		kong.Writers(out, out), kong.Exit(func(int) { helped = true }),
	)...)
	if err != nil {
		return Config{}, err
	}
	_, err = parser.Parse(args)
	if helped {
		return Config{}, errHelp
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return Config{}, fmt.Errorf("%w (see appserver --help)", err)
	}
	if c.PrintConfig {
		if err := settings.Print(parser.Model, out); err != nil {
			return Config{}, err
		}
		return Config{}, errHelp
	}
	if c.InstanceID == "" {
		c.InstanceID = rand.Text()
	}
	return c, nil
}

func (c *Config) check() error {
	errs := []error{
		checkName("--server-id", c.ServerID),
		checkName("--application", c.Application),
		checkAddress("--listen", c.Listen, 0),
	}
	if c.MetricsListen != "" {
		errs = append(errs, checkAddress("--metrics-listen", c.MetricsListen, 0))
	}
	if c.InstanceID != "" {
		errs = append(errs, checkName("--instance-id", c.InstanceID))
	}
	switch {
	case c.Relays == nil && len(c.RelayNames) == 0:
		c.Relays = []string{defaultRelay}
	case len(c.Relays) == 0 && len(c.RelayNames) == 0:
		errs = append(errs, errors.New("--relays: is empty, as are --relay-names; give one HOST:PORT or more"))
	}
	for _, relay := range c.Relays {
		errs = append(errs, checkAddress("--relays", relay, 1))
	}
	for _, name := range c.RelayNames {
		errs = append(errs, checkAddress("--relay-names", name, 1))
		if strings.HasPrefix(name, ":") {
			errs = append(errs, fmt.Errorf("--relay-names: %q has no name", name))
		}
	}
	if n := c.ConnectionsPerRelay; n < 1 || n > maxConnectionsPerRelay {
		errs = append(errs, fmt.Errorf("--connections-per-relay: %d is not allowed; 1 to %d is", n, maxConnectionsPerRelay))
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		errs = append(errs, fmt.Errorf("--tls-cert: %q and --tls-key: %q: give both or neither", c.TLSCert, c.TLSKey))
	}
	if c.TLSCA == "" && (c.TLSCert != "" || c.TLSServerName != "") {
		errs = append(errs, errors.New("--tls-ca: is empty; --tls-cert and --tls-server-name need it"))
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{{"--shutdown-grace", c.ShutdownGrace}, {"--park-time", c.ParkTime}} {
		if d.value < 0 || d.value > maxTime {
			errs = append(errs, fmt.Errorf("%s: %s is not allowed; 0s to %s is", d.flag, d.value, maxTime))
		}
	}
	return errors.Join(errs...)
}

func checkName(flag, value string) error {
	if value == "" || len(value) > maxName || strings.ContainsFunc(value, badInName) {
		return fmt.Errorf("%s: %q is not allowed; 1 to %d bytes of printable characters with no space are", flag, value, maxName)
	}
	return nil
}

func badInName(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }

// checkAddress checks for HOST:PORT; port 0 means a free one and is for listening only.
func checkAddress(flag, value string, lowest int) error {
	_, port, err := net.SplitHostPort(value)
	if n, portErr := strconv.Atoi(port); err != nil || portErr != nil || n < lowest || n > 65535 {
		return fmt.Errorf("%s: %q is not allowed; HOST:PORT with a port from %d to 65535 is", flag, value, lowest)
	}
	return nil
}
