package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
	"google.golang.org/grpc/metadata"

	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/config"
	"github.com/holdfast/holdfast/services/relay/internal/ingress"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func publicPEM(t testing.TB, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func showing(token string) context.Context {
	return metadata.NewIncomingContext(context.Background(), metadata.Pairs("authorization", "Bearer "+token))
}

// token is a good one of the subject.
func token(t *testing.T, method jwt.SigningMethod, key any, subject string) string {
	t.Helper()
	text, err := jwt.NewWithClaims(method, jwt.RegisteredClaims{
		Issuer: "i", Audience: jwt.ClaimStrings{"a", "b"}, Subject: subject, ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	}).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func security(change func(*config.Security)) *config.Security {
	c := &config.Security{JWTIssuer: "i", JWTAudience: "a", JWTLeeway: time.Minute}
	change(c)
	return c
}

// One key of each kind, and the subject and the expiry with the leeway.
func TestKeys(t *testing.T) {
	t.Parallel()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	big, err := rsa.GenerateKey(rand.Reader, minRSA)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		public crypto.PublicKey
		method jwt.SigningMethod
		key    any
	}{
		"ECDSA": {&ec.PublicKey, jwt.SigningMethodES256, ec}, "Ed25519": {public, jwt.SigningMethodEdDSA, ed},
		"RSA": {&big.PublicKey, jwt.SigningMethodPS256, big},
	} {
		file := filepath.Join(t.TempDir(), "key.pem")
		write(t, file, publicPEM(t, c.public))
		clients, err := NewClients(security(func(c *config.Security) { c.JWTKey = file }), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		client, err := clients.Check(showing(token(t, c.method, c.key, "alice")))
		if left := time.Until(client.Expires); err != nil || client.Subject != "alice" || left < time.Hour || left > time.Hour+time.Minute {
			t.Errorf("%s: got %+v, %v", name, client, err)
		}
		clients.Close()
	}
}

func TestBadKeys(t *testing.T) {
	t.Parallel()
	small, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // too small a key is what is tested
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "key")
	for want, c := range map[string]struct {
		content string
		change  func(*config.Security)
	}{
		"want a PUBLIC KEY":       {"secret", func(c *config.Security) { c.JWTKey = name }},
		"RSA key of 1024 bits":    {publicPEM(t, &small.PublicKey), func(c *config.Security) { c.JWTKey = name }},
		"asn1":                    {"-----BEGIN PUBLIC KEY-----\neA==\n-----END PUBLIC KEY-----\n", func(c *config.Security) { c.JWTKey = name }},
		"the key set is empty":    {`{"keys":[]}`, func(c *config.Security) { c.JWTJWKS = name }},
		"invalid character":       {"x", func(c *config.Security) { c.JWTJWKS = name }},
		"no such file":            {"", func(c *config.Security) { c.JWTKey = "/nowhere" }},
		"https://127.0.0.1:1/set": {"", func(c *config.Security) { c.JWTJWKS = "https://127.0.0.1:1/set" }},
	} {
		write(t, name, c.content)
		clients, err := NewClients(security(c.change), slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want one that says %q", err, want)
		}
		if err == nil {
			clients.Close()
		}
	}
}

// A key that is replaced is used from then on, and the old one is not; a file that turns bad changes nothing.
func TestRotation(t *testing.T) {
	t.Parallel()
	first, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	second, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "key.pem")
	write(t, name, publicPEM(t, &first.PublicKey))
	clients, err := NewClients(security(func(c *config.Security) { c.JWTKey = name }), slog.New(slog.DiscardHandler)) // looks at each check
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()
	old, renewed := token(t, jwt.SigningMethodES256, first, "x"), token(t, jwt.SigningMethodES384, second, "x")
	reasons := func() (forOld, forNew string) {
		_, err := clients.Check(showing(old))
		_, errNew := clients.Check(showing(renewed))
		return wire.ErrorReasonOf(err), wire.ErrorReasonOf(errNew)
	}
	if o, n := reasons(); o != "" || n != "UNAUTHENTICATED" {
		t.Errorf("before: %q, %q", o, n)
	}
	write(t, name, publicPEM(t, &second.PublicKey))
	for _, what := range []string{"after", "with a file that has turned bad"} {
		if o, n := reasons(); o != "UNAUTHENTICATED" || n != "" {
			t.Errorf("%s: %q, %q", what, o, n)
		}
		write(t, name, "bad")
	}
}

// A key set comes over https too; over TLS that nobody vouches for it does not.
func TestKeySetOverHTTPS(t *testing.T) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": base64.RawURLEncoding.EncodeToString(public), "alg": "EdDSA",
	}}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) }))
	defer server.Close()
	settings := security(func(c *config.Security) { c.JWTJWKS = server.URL })
	if _, err := NewClients(settings, slog.New(slog.DiscardHandler)); err == nil {
		t.Fatal("a certificate that nobody vouches for was taken")
	}
	usual := http.DefaultClient
	http.DefaultClient = server.Client()
	defer func() { http.DefaultClient = usual }()
	clients, err := NewClients(settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()
	signed := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.RegisteredClaims{
		Issuer: "i", Audience: jwt.ClaimStrings{"a"}, Subject: "alice", ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Hour)),
	})
	signed.Header["kid"] = "k"
	text, err := signed.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	if client, err := clients.Check(showing(text)); err != nil || client.Subject != "alice" {
		t.Errorf("got %+v, %v", client, err)
	}
}

func TestNobodyIsAsked(t *testing.T) {
	t.Parallel()
	clients, err := NewClients(&config.Security{}, nil)
	if client, checkErr := clients.Check(t.Context()); err != nil || checkErr != nil || client != (Client{}) {
		t.Errorf("got %+v, %v, %v", client, err, checkErr)
	}
	servers, err := NewServers(&config.Security{}, nil)
	if _, checkErr := servers.Identify(t.Context(), ingress.Origin{}); err != nil || checkErr != nil || servers.Check(nil, "s", "a") != nil {
		t.Errorf("got %v, %v", err, checkErr)
	}
}

func TestServers(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "identities.yaml")
	write(t, name, "- {identity: one, server-ids: [app-*, other], applications: [echo]}\n- {identity: all, server-ids: ['*']}\n")
	bare, err := NewServers(&config.Security{ServerCA: "ca"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ruled, err := NewServers(&config.Security{ServerCA: "ca", ServerIdentities: name}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		servers                    *Servers
		forwarded, id, application string
		want                       string
	}{
		{bare, "one", "one", "any", ""},
		{bare, "one", "two", "any", "PERMISSION_DENIED"},
		{bare, "", "one", "any", "UNAUTHENTICATED"},
		{ruled, "one", "app-7", "echo", ""},
		{ruled, "one", "other", "echo", ""},
		{ruled, "one", "others", "echo", "PERMISSION_DENIED"},
		{ruled, "one", "app-7", "bank", "PERMISSION_DENIED"},
		{ruled, "all", "app-7", "bank", ""},
		{ruled, "two", "app-7", "echo", "PERMISSION_DENIED"},
		{ruled, "", "app-7", "echo", "UNAUTHENTICATED"},
	} {
		names, err := c.servers.Identify(t.Context(), ingress.Origin{Identity: c.forwarded, Proxied: true})
		if err == nil {
			err = c.servers.Check(names, c.id, c.application)
		}
		if got := wire.ErrorReasonOf(err); got != c.want {
			t.Errorf("%q as %s for %s: got %q, want %q", c.forwarded, c.id, c.application, got, c.want)
		}
	}
}

func TestBadRules(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"- {identity: a}":                       "entry 1: want an identity and server-ids",
		"- {server-ids: [a]}":                   "entry 1: want an identity and server-ids",
		"- {identity: a, server-ids: ['[']}":    `"[" is no pattern`,
		"- {identity: a, server-id: [a]}":       "server-id",
		"identity: a":                           "cannot unmarshal",
		"- {identity: a, server-ids: [a], x: }": "field x not found",
	} {
		if _, err := parseRules([]byte(content)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want one that says %q", content, err, want)
		}
	}
}
