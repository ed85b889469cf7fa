package identity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/tlsfiles"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/config"
	"github.com/holdfast/holdfast/services/relay/internal/ingress"
	"github.com/holdfast/holdfast/services/relay/internal/watched"
)

// rule says what an app server of an identity may name itself.
type rule struct {
	// Identity is a URI or DNS name of the certificate, or its common name when it has neither.
	Identity string `yaml:"identity"`
	// ServerIDs are patterns as of path.Match: app-*.
	ServerIDs []string `yaml:"server-ids"`
	// Applications are those that it may serve; any when it is empty.
	Applications []string `yaml:"applications"`
}

// Servers checks app servers. It is safe for concurrent use. A nil one lets everybody in.
type Servers struct {
	rules *watched.File[[]rule] // nil: an identity is its own server_id
}

// NewServers returns what checks app servers as the settings say; nil when they ask for no certificate.
func NewServers(c *config.Security, log *slog.Logger) (*Servers, error) {
	if c.ServerCA == "" {
		return nil, nil
	}
	if c.ServerIdentities == "" {
		return &Servers{}, nil
	}
	rules, err := watched.Open(c.ServerIdentities, c.TLSRefresh, log, parseRules)
	if err != nil {
		return nil, fmt.Errorf("--server-identities: %w", err)
	}
	return &Servers{rules}, nil
}

func parseRules(b []byte) ([]rule, error) {
	var rules []rule
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&rules); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for i, r := range rules {
		if r.Identity == "" || len(r.ServerIDs) == 0 {
			return nil, fmt.Errorf("entry %d: want an identity and server-ids", i+1)
		}
		for _, pattern := range r.ServerIDs {
			if _, err := path.Match(pattern, ""); err != nil {
				return nil, fmt.Errorf("entry %d: server-ids: %q is no pattern; * stands for anything", i+1, pattern)
			}
		}
	}
	return rules, nil
}

// Identify returns the identities of the app server whose stream's context it is given: whom the ingress found in the certificate that
// it checked, or with no ingress in between those of the stream's own. It returns none when nothing is asked for.
func (s *Servers) Identify(ctx context.Context, origin ingress.Origin) (names []string, err error) {
	switch {
	case s == nil:
		return nil, nil
	case origin.Identity != "":
		return []string{origin.Identity}, nil
	case !origin.Proxied: // else the certificate is the ingress's
		names = certified(ctx)
	}
	if len(names) == 0 {
		return nil, unauthenticated("an app server must show a certificate here, or come in through an ingress that checks it and forwards its identity")
	}
	return names, nil
}

// Check returns an error with a typed reason when an app server with the identities may not go by the server id and serve the
// application.
func (s *Servers) Check(names []string, serverID, application string) error {
	if s == nil {
		return nil
	}
	if s.rules == nil {
		if slices.Contains(names, serverID) {
			return nil
		}
		return denied("server_id %q is not what the certificate is for: %s", serverID, strings.Join(names, ", "))
	}
	for _, r := range s.rules.Get() {
		if slices.Contains(names, r.Identity) && r.allows(serverID, application) {
			return nil
		}
	}
	return denied("no identity of the certificate (%s) may go by server_id %q and serve application %q",
		strings.Join(names, ", "), serverID, application)
}

func (r *rule) allows(serverID, application string) bool {
	byID := slices.ContainsFunc(r.ServerIDs, func(pattern string) bool {
		ok, _ := path.Match(pattern, serverID)
		return ok
	})
	return byID && (len(r.Applications) == 0 || slices.Contains(r.Applications, application))
}

// certified returns whom the certificate of the stream's peer is for. TLS has verified it.
func certified(ctx context.Context) []string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return nil
	}
	return tlsfiles.Names(info.State.PeerCertificates[0])
}

func denied(format string, args ...any) error {
	return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_PERMISSION_DENIED, format, args...)
}
