package config

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/holdfast/holdfast/pkg/settings"
)

// Security says who may come in. The files are read again while the relay runs.
type Security struct {
	TLSCert          string        `name:"tls-cert" placeholder:"FILE" help:"Certificate chain of the listener for clients and app servers, PEM; read again when it changes. In the same directory as its key."`
	TLSKey           string        `name:"tls-key" placeholder:"FILE" help:"Key for --tls-cert, PEM."`
	AdminTLSCert     string        `name:"admin-tls-cert" placeholder:"FILE" help:"Certificate chain of the listener for operators, PEM; read again when it changes. In the same directory as its key."`
	AdminTLSKey      string        `name:"admin-tls-key" placeholder:"FILE" help:"Key for --admin-tls-cert, PEM."`
	AdminTokenFile   string        `name:"admin-token-file" placeholder:"FILE" help:"File with the token that operators show, at least 16 bytes; read at each call."`
	TLSRefresh       time.Duration `name:"tls-refresh" default:"30s" help:"How often certificates are looked at for a change, 100ms to 24h."`
	ServerCA         string        `name:"server-ca" placeholder:"FILE" help:"Certificates, PEM, one of which must have signed the certificate that an app server shows. The certificate must name the server_id. Needs --tls-cert, or --identity-networks."`
	IdentityNetworks []string      `help:"Networks in CIDR notation of ingresses that check the certificates of app servers themselves and set x-holdfast-identity, comma separated; each of them must overwrite what comes in."`
	ServerIdentities string        `name:"server-identities" placeholder:"FILE" help:"YAML file that says which server_id and applications an app server of each identity may name. Without it an identity is its own server_id, with any application."`
	JWTJWKS          string        `name:"jwt-jwks" placeholder:"FILE|URL" help:"Key set with the public keys that tokens of clients are signed with: a file, or an https URL. Every client must show a token then."`
	JWTKey           string        `name:"jwt-key" placeholder:"FILE" help:"Public key that tokens of clients are signed with, PEM; instead of --jwt-jwks."`
	JWTIssuer        string        `name:"jwt-issuer" help:"Issuer that tokens must name. Required with a key."`
	JWTAudience      string        `name:"jwt-audience" help:"Audience that tokens must name. Required with a key."`
	JWTLeeway        time.Duration `name:"jwt-leeway" default:"30s" help:"By how much clocks may differ when the times of a token are checked, 0s to 10m."`
	ResumeKeyFile    string        `name:"resume-key-file" placeholder:"FILE" help:"File with the keys that resume tokens are signed with, one a line, as holdfast keygen prints them; the first signs, all verify. Give all relays the same; read again when it changes. Without it a client can come back to this process only."`
	Insecure         bool          `help:"Listen on addresses other than loopback although no TLS is configured there, or no credentials for operators."`
}

func (s *Security) check(listen, websocketListen, adminListen string) error {
	errs := []error{
		pair("tls-cert", s.TLSCert, "tls-key", s.TLSKey), pair("admin-tls-cert", s.AdminTLSCert, "admin-tls-key", s.AdminTLSKey),
		checkRanges(
			duration("tls-refresh", s.TLSRefresh, 100*time.Millisecond, 24*time.Hour),
			duration("jwt-leeway", s.JWTLeeway, 0, 10*time.Minute),
		),
		s.checkJWT(),
	}
	if s.ServerCA != "" && s.TLSCert == "" && len(s.IdentityNetworks) == 0 {
		errs = append(errs, fmt.Errorf("--server-ca=%q: nobody can show a certificate: give --tls-cert, or --identity-networks", s.ServerCA))
	}
	if s.ServerIdentities != "" && s.ServerCA == "" {
		errs = append(errs, fmt.Errorf("--server-identities=%q: needs --server-ca, which says whose certificates count", s.ServerIdentities))
	}
	if !s.Insecure {
		for flag, address := range map[string]string{"listen": listen, "websocket-listen": websocketListen} {
			if address != "" && s.TLSCert == "" && !settings.IsLoopback(address) {
				errs = append(errs, fmt.Errorf("--%s=%q is not loopback and has no TLS: give --tls-cert and --tls-key, or --insecure "+
					"when the network in between is your own", flag, address))
			}
		}
		if s.TLSCert != "" && s.ServerCA == "" && !settings.IsLoopback(listen) {
			errs = append(errs, fmt.Errorf("--listen=%q is not loopback, and anybody may attach as an app server there: give --server-ca, "+
				"or --insecure when others cannot reach it", listen))
		}
		if (s.AdminTLSCert == "" || s.AdminTokenFile == "") && !settings.IsLoopback(adminListen) {
			errs = append(errs, fmt.Errorf("--admin-listen=%q is not loopback: give --admin-tls-cert, --admin-tls-key and "+
				"--admin-token-file, or --insecure when nobody else reaches it", adminListen))
		}
	}
	return errors.Join(errs...)
}

func (s *Security) checkJWT() error {
	switch {
	case s.JWTJWKS != "" && s.JWTKey != "":
		return fmt.Errorf("--jwt-key=%q beside --jwt-jwks=%q: give one of them", s.JWTKey, s.JWTJWKS)
	case !s.ChecksTokens() && (s.JWTIssuer != "" || s.JWTAudience != ""):
		return errors.New("--jwt-issuer or --jwt-audience without a key: give --jwt-jwks or --jwt-key as well")
	case s.ChecksTokens() && (s.JWTIssuer == "" || s.JWTAudience == ""):
		return errors.New("--jwt-issuer and --jwt-audience are required with a key: a token that was made for another service must not do here")
	}
	if u, err := url.Parse(s.JWTJWKS); err == nil && u.Scheme == "http" {
		return fmt.Errorf("--jwt-jwks=%q: want https or a file: whoever can change the keys can be anybody", s.JWTJWKS)
	}
	return nil
}

// ChecksTokens reports whether clients must show a token.
func (s *Security) ChecksTokens() bool { return s.JWTJWKS != "" || s.JWTKey != "" }

func pair(certFlag, cert, keyFlag, key string) error {
	if (cert == "") != (key == "") {
		return fmt.Errorf("--%s=%q and --%s=%q: give both or neither", certFlag, cert, keyFlag, key)
	}
	return nil
}
