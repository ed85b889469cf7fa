// Package dial makes the options of a connection from flags: TLS, and a token to show.
package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/holdfast/holdfast/pkg/settings"
)

// Security says how a server is spoken to, and what it is shown. The zero value is plaintext and nothing.
type Security struct {
	// TLS says to speak it; CA is a file with the certificates to believe instead of the system's, which says so too.
	TLS bool
	CA  string
	// TokenFile has a token to show; empty: none is.
	TokenFile string
}

// Options returns the options for the addresses. Its errors name the file. It does not show a token in the clear, but on loopback.
func (s Security) Options(addresses ...string) ([]grpc.DialOption, error) {
	if !s.TLS && s.CA == "" && s.TokenFile != "" {
		for _, address := range addresses {
			if !settings.IsLoopback(address) {
				return nil, fmt.Errorf("the token in %s would go to %s in the clear; speak TLS", s.TokenFile, address)
			}
		}
	}
	transport := insecure.NewCredentials()
	if s.TLS || s.CA != "" {
		config, err := s.config()
		if err != nil {
			return nil, err
		}
		transport = credentials.NewTLS(config)
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(transport)}
	if s.TokenFile == "" {
		return options, nil
	}
	b, err := os.ReadFile(s.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("the token to show: %w", err)
	}
	return append(options, grpc.WithPerRPCCredentials(bearer(strings.TrimSpace(string(b))))), nil
}

func (s Security) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, fmt.Errorf("the certificates to believe: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the certificates to believe: %s has none in PEM", s.CA)
	}
	return config, nil
}

// bearer is a token that is shown with each call.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (bearer) RequireTransportSecurity() bool { return false }
