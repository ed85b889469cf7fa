// Package identity says who clients and app servers are, and what they may do.
package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/metadata"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/config"
	"github.com/holdfast/holdfast/services/relay/internal/watched"
)

const (
	// maxSubject bounds the subject of a token, in bytes: it goes into every log line and to the app server.
	maxSubject = 256
	// minRSA is the least size of an RSA key, in bits.
	minRSA = 2048
)

// methods are those with a public key. One with a shared secret would let the public key be taken for the secret.
var methods = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Client is who a client is. The zero Client is one of whom no token is asked.
type Client struct {
	Subject string
	// Expires is until when the token is good.
	Expires time.Time
}

// Clients checks the tokens of clients. It is safe for concurrent use. A nil one asks for none.
type Clients struct {
	parser *jwt.Parser
	keys   func(context.Context) jwt.Keyfunc
	leeway time.Duration
	close  func()
}

// NewClients returns what checks tokens as the settings say; nil when they ask for none. Its caller ends it with Close.
func NewClients(c *config.Security, log *slog.Logger) (*Clients, error) {
	if !c.ChecksTokens() {
		return nil, nil
	}
	clients := &Clients{leeway: c.JWTLeeway, close: func() {}, parser: jwt.NewParser(
		jwt.WithValidMethods(methods), jwt.WithIssuer(c.JWTIssuer), jwt.WithAudience(c.JWTAudience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(c.JWTLeeway),
	)}
	switch {
	case c.JWTKey != "":
		file, err := watched.Open(c.JWTKey, c.TLSRefresh, log, publicKey)
		if err != nil {
			return nil, fmt.Errorf("--jwt-key: %w", err)
		}
		clients.keys = func(context.Context) jwt.Keyfunc { return file.Get() }
	case strings.HasPrefix(c.JWTJWKS, "https://"):
		ctx, cancel := context.WithCancel(context.Background())
		loud := false // a relay that cannot get the keys lets nobody in: it should not seem to be well
		set, err := keyfunc.NewDefaultOverrideCtx(ctx, []string{c.JWTJWKS}, keyfunc.Override{
			HTTPTimeout: 10 * time.Second, NoErrorReturnFirstHTTPReq: &loud, RateLimitWaitMax: time.Second,
			RefreshErrorHandlerFunc: func(url string) func(context.Context, error) {
				return func(_ context.Context, err error) { log.Error("the key set cannot be read", "url", url, "error", err) }
			},
		})
		if err != nil {
			cancel()
			return nil, fmt.Errorf("--jwt-jwks=%q: %w", c.JWTJWKS, err)
		}
		clients.keys, clients.close = func(ctx context.Context) jwt.Keyfunc { return named(set.KeyfuncCtx(ctx)) }, cancel
	default:
		file, err := watched.Open(c.JWTJWKS, c.TLSRefresh, log, keySet)
		if err != nil {
			return nil, fmt.Errorf("--jwt-jwks: %w", err)
		}
		clients.keys = func(context.Context) jwt.Keyfunc { return file.Get() }
	}
	return clients, nil
}

// Close ends the reading of keys.
func (c *Clients) Close() {
	if c != nil {
		c.close()
	}
}

// publicKey reads one key. It does for every token, whatever key that names.
func publicKey(b []byte) (jwt.Keyfunc, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, errors.New("want a PUBLIC KEY in PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSA {
			return nil, fmt.Errorf("an RSA key of %d bits; want %d or more", k.N.BitLen(), minRSA)
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return nil, fmt.Errorf("a key of type %T; want RSA, ECDSA or Ed25519", key)
	}
	return func(*jwt.Token) (any, error) { return key, nil }, nil
}

func keySet(b []byte) (jwt.Keyfunc, error) {
	set, err := keyfunc.NewJWKSetJSON(b)
	if err != nil {
		return nil, err
	}
	keys, err := set.Storage().KeyReadAll(context.Background())
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set is empty")
	}
	return named(set.Keyfunc), nil
}

// named is for the keys of a set: a token must name its key, or it would be tried with keys for other methods; and small keys are none.
func named(keys jwt.Keyfunc) jwt.Keyfunc {
	return func(t *jwt.Token) (any, error) {
		if kid, _ := t.Header["kid"].(string); kid == "" {
			return nil, errors.New("it names no key (kid)")
		}
		key, err := keys(t)
		if err != nil {
			return nil, err
		}
		if k, ok := key.(*rsa.PublicKey); ok && k.N.BitLen() < minRSA {
			return nil, fmt.Errorf("its key has %d bits; want %d or more", k.N.BitLen(), minRSA)
		}
		return key, nil
	}
}

// Check returns who the client is whose stream's context it is given, by the token in "authorization: Bearer TOKEN". Its error has
// the reason UNAUTHENTICATED and says what is wrong with the token, never the token.
func (c *Clients) Check(ctx context.Context) (Client, error) {
	if c == nil {
		return Client{}, nil
	}
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) != 1 {
		return Client{}, unauthenticated("%d authorization headers; want one: Bearer TOKEN", len(values))
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "bearer") || token == "" {
		return Client{}, unauthenticated("the authorization header is not Bearer TOKEN")
	}
	var claims jwt.RegisteredClaims
	if _, err := c.parser.ParseWithClaims(token, &claims, c.keys(ctx)); err != nil {
		return Client{}, unauthenticated("the token is not good: %v", err)
	}
	if claims.Subject == "" || len(claims.Subject) > maxSubject {
		return Client{}, unauthenticated("the token's subject has %d bytes; want 1 to %d", len(claims.Subject), maxSubject)
	}
	return Client{Subject: claims.Subject, Expires: claims.ExpiresAt.Add(c.leeway)}, nil
}

func unauthenticated(format string, args ...any) error {
	return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_UNAUTHENTICATED, format, args...)
}
