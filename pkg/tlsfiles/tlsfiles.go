// Package tlsfiles makes TLS configurations from PEM files that are read again while the program runs.
package tlsfiles

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"google.golang.org/grpc/credentials/tls/certprovider"
	"google.golang.org/grpc/credentials/tls/certprovider/pemfile"
)

// readTimeout is for how long the first reading of the files may take.
const readTimeout = 10 * time.Second

// Files names PEM files.
type Files struct {
	// Cert and Key are the certificate chain and its key, in one directory.
	Cert, Key string
	// CA has the certificates that may have signed the peer's.
	CA string
	// Refresh is how often the files are looked at for a change.
	Refresh time.Duration
}

// Source has what the files say at the moment. When a file turns bad what it said before stays in use, and the trouble is logged
// by grpc.
type Source struct {
	provider certprovider.Provider
}

// Open reads the files, and goes on to read them until Close.
func Open(f Files) (*Source, error) {
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("reading certificates: %w", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate in PEM", f.CA)
		}
	}
	if f.Cert != "" {
		if _, err := tls.LoadX509KeyPair(f.Cert, f.Key); err != nil {
			return nil, fmt.Errorf("the certificate %s and the key %s do not do: %w", f.Cert, f.Key, err)
		}
	}
	provider, err := pemfile.NewProvider(pemfile.Options{CertFile: f.Cert, KeyFile: f.Key, RootFile: f.CA, RefreshDuration: f.Refresh})
	if err != nil {
		return nil, fmt.Errorf("TLS files %s, %s: %w", f.Cert, f.Key, err)
	}
	s := &Source{provider}
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	if _, err := s.provider.KeyMaterial(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("TLS files %s, %s, %s: %w", f.Cert, f.Key, f.CA, err)
	}
	return s, nil
}

// Close ends the reading.
func (s *Source) Close() { s.provider.Close() }

// Server returns the configuration of a listener that speaks the protocols, the first of which is used that the client offers. With
// a CA a client may show a certificate, which must be good then; whether it must show one is for its service to say.
func (s *Source) Server(protocols ...string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols, GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		material, err := s.provider.KeyMaterial(hello.Context())
		if err != nil {
			return nil, err
		}
		c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: material.Certs, NextProtos: choose(protocols, hello.SupportedProtos)}
		if material.Roots != nil {
			c.ClientCAs, c.ClientAuth = material.Roots, tls.VerifyClientCertIfGiven
		}
		return c, nil
	}}
}

// choose returns the first protocol that the client offers; all of ours when it offers none of them, which the handshake refuses.
func choose(ours, offered []string) []string {
	for _, p := range ours {
		if slices.Contains(offered, p) {
			return []string{p}
		}
	}
	return ours
}

// Client returns the configuration of a client. With a certificate it shows that; with a CA it believes that alone, else what the
// system believes. An empty serverName means the one that is dialled.
func (s *Source) Client(serverName string) (*tls.Config, error) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	material, err := s.provider.KeyMaterial(ctx)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName, RootCAs: material.Roots}
	if len(material.Certs) > 0 {
		c.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			now, err := s.provider.KeyMaterial(info.Context())
			if err != nil {
				return nil, err
			}
			if len(now.Certs) == 0 {
				return nil, errors.New("the certificate is gone")
			}
			return &now.Certs[0], nil
		}
	}
	return c, nil
}

// Names returns whom a certificate is for: its URIs and DNS names, and its common name when it has neither.
func Names(cert *x509.Certificate) []string {
	var names []string
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	names = append(names, cert.DNSNames...)
	if len(names) == 0 && cert.Subject.CommonName != "" {
		names = append(names, cert.Subject.CommonName)
	}
	return names
}
