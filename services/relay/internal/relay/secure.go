package relay

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/tlsfiles"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/adminport"
	"github.com/holdfast/holdfast/services/relay/internal/config"
	"github.com/holdfast/holdfast/services/relay/internal/identity"
	"github.com/holdfast/holdfast/services/relay/internal/resumetoken"
	"github.com/holdfast/holdfast/services/relay/internal/telemetry"
)

// secrets is what the relay has to show and what it asks for. Each part is nil when it is not configured.
type secrets struct {
	application, operators *tlsfiles.Source
	token                  *adminport.Token
	clients                *identity.Clients
	servers                *identity.Servers
	resume                 *resumetoken.Keys // never nil
}

// openSecrets reads the files that the settings name.
func openSecrets(cfg *config.Config, counters *telemetry.Counters, log *slog.Logger) (*secrets, error) {
	s := &secrets{}
	err := s.open(cfg, counters, log)
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *secrets) open(cfg *config.Config, counters *telemetry.Counters, log *slog.Logger) (err error) {
	if cfg.TLSCert != "" {
		files := tlsfiles.Files{Cert: cfg.TLSCert, Key: cfg.TLSKey, CA: cfg.ServerCA, Refresh: cfg.TLSRefresh}
		if s.application, err = tlsfiles.Open(files); err != nil {
			return err
		}
	}
	if cfg.AdminTLSCert != "" {
		files := tlsfiles.Files{Cert: cfg.AdminTLSCert, Key: cfg.AdminTLSKey, Refresh: cfg.TLSRefresh}
		if s.operators, err = tlsfiles.Open(files); err != nil {
			return err
		}
	}
	if cfg.AdminTokenFile != "" {
		s.token, err = adminport.NewToken(cfg.AdminTokenFile, func(why error) {
			log.Warn("operator refused", "error", why)
			counters.Error(wire.ReasonName(holdfastv1.ErrorReason_ERROR_REASON_UNAUTHENTICATED))
		})
		if err != nil {
			return err
		}
	}
	if s.clients, err = identity.NewClients(&cfg.Security, log); err != nil {
		return err
	}
	if s.servers, err = identity.NewServers(&cfg.Security, log); err != nil {
		return err
	}
	s.resume, err = resumetoken.New(&cfg.Security, log)
	return err
}

// close ends the reading of the files.
func (s *secrets) close() {
	for _, source := range []*tlsfiles.Source{s.application, s.operators} {
		if source != nil {
			source.Close()
		}
	}
	s.clients.Close()
}

// options are for the listener of clients and app servers.
func (s *secrets) options() []grpc.ServerOption {
	if s.application == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.Creds(credentials.NewTLS(s.application.Server("h2")))}
}

// operatorListener has the listener speak TLS. Browsers speak HTTP/1 there and gRPC HTTP/2: each offers what the other does not
// want, so that what both offer is not chosen.
func (s *secrets) operatorListener(l net.Listener) net.Listener {
	if s.operators == nil {
		return l
	}
	return tls.NewListener(l, s.operators.Server("http/1.1", "h2"))
}

// socketListener has the listener of clients over WebSocket speak TLS.
func (s *secrets) socketListener(l net.Listener) net.Listener {
	if s.application == nil {
		return l
	}
	return tls.NewListener(l, s.application.Server("http/1.1"))
}

// guard asks for the token of operators.
func (s *secrets) guard(pages http.Handler) http.Handler {
	if s.token == nil {
		return pages
	}
	return s.token.Handler(pages)
}
