package hostile_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	issuer   = "https://issuer.test"
	audience = "holdfast-test"
)

// signer makes tokens: good ones, and all others.
type signer struct {
	t   testing.TB
	ec  *ecdsa.PrivateKey
	rsa *rsa.PrivateKey
	// file is the key set, with the keys "ec" and "rsa".
	file string
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	s := &signer{t: t, file: filepath.Join(t.TempDir(), "keys.json")}
	var err error
	if s.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if s.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	point, err := s.ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	set, err := json.Marshal(map[string]any{"keys": []any{
		map[string]string{"kty": "EC", "kid": "ec", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:]), "alg": "ES256", "use": "sig"},
		map[string]string{
			"kty": "RSA", "kid": "rsa", "n": b64(s.rsa.N.Bytes()), "e": b64(big.NewInt(int64(s.rsa.E)).Bytes()), "alg": "RS256", "use": "sig",
		},
	}})
	if err == nil {
		err = os.WriteFile(s.file, set, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// claims are good ones for the subject, with changes: a nil value takes the claim away.
func claims(subject string, changes map[string]any) jwt.MapClaims {
	now := time.Now()
	c := jwt.MapClaims{
		"iss": issuer, "aud": audience, "sub": subject, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// sign makes a token with any method, key and header.
func (s *signer) sign(method jwt.SigningMethod, key any, header map[string]any, c jwt.MapClaims) string {
	s.t.Helper()
	token := jwt.NewWithClaims(method, c)
	maps.Copy(token.Header, header)
	text, err := token.SignedString(key)
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// good is a good token.
func (s *signer) good(subject string) string { return s.changed(subject, nil) }

// changed is a token that is well signed, with changed claims.
func (s *signer) changed(subject string, changes map[string]any) string {
	return s.sign(jwt.SigningMethodES256, s.ec, map[string]any{"kid": "ec"}, claims(subject, changes))
}

// publicPEM is a public key as people pass it on, which an attacker has too.
func publicPEM(t testing.TB, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// tokens are attacks with the token of a client. Each is refused before the connection is opened.
func tokenAttacks(st *stage) []attack {
	s := st.signer
	kid := map[string]any{"kid": "ec"}
	now := time.Now()
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		st.t.Fatal(err)
	}
	good := strings.Split(s.good("mallory"), ".")
	foreign := strings.Split(s.changed("alice", nil), ".")
	with := func(name, token string) attack {
		return attack{"token: " + name, "UNAUTHENTICATED", func(a *arm) error { return a.connect(bearer(token)) }}
	}
	changed := func(name string, changes map[string]any) attack { return with(name, s.changed("mallory", changes)) }
	return []attack{
		{"token: none", "UNAUTHENTICATED", func(a *arm) error { return a.connect(nil) }},
		{"token: two", "UNAUTHENTICATED", func(a *arm) error {
			return a.connect([]string{"authorization", "Bearer " + s.good("a"), "authorization", "Bearer " + s.good("b")})
		}},
		{"token: of another scheme", "UNAUTHENTICATED", func(a *arm) error {
			return a.connect([]string{"authorization", "Basic " + s.good("a")})
		}},
		{"token: with no scheme", "UNAUTHENTICATED", func(a *arm) error { return a.connect([]string{"authorization", s.good("a")}) }},
		with("empty", ""),
		with("garbage", "garbage"),
		with("one part short", strings.Join(good[:2], ".")),
		with("with a part too many", strings.Join(append(good, "x"), ".")),
		with("with its signature taken away", strings.Join(good[:2], ".")+"."),
		with("with the payload of another", good[0]+"."+foreign[1]+"."+good[2]),
		with("with dots alone", strings.Repeat(".", 1000)),
		changed("expired", map[string]any{"exp": now.Add(-time.Hour).Unix()}),
		changed("not good yet", map[string]any{"nbf": now.Add(time.Hour).Unix()}),
		changed("issued in the future", map[string]any{"iat": now.Add(time.Hour).Unix()}),
		changed("that never expires", map[string]any{"exp": nil}),
		changed("with an expiry that is no number", map[string]any{"exp": "tomorrow"}),
		changed("of another issuer", map[string]any{"iss": "https://other.test"}),
		changed("of no issuer", map[string]any{"iss": nil}),
		changed("for another audience", map[string]any{"aud": "other"}),
		changed("for no audience", map[string]any{"aud": nil}),
		changed("of nobody", map[string]any{"sub": nil}),
		changed("with a subject that is too long", map[string]any{"sub": strings.Repeat("x", 300)}),
		with("unsigned", s.sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, kid, claims("mallory", nil))),
		with("signed by a stranger", s.sign(jwt.SigningMethodES256, stranger, kid, claims("mallory", nil))),
		with("signed by a key of no name that is known", s.sign(jwt.SigningMethodES256, stranger, map[string]any{"kid": "nope"}, claims("mallory", nil))),
		with("that brings its own key", s.sign(jwt.SigningMethodES256, stranger, map[string]any{
			"kid": "own", "jwk": map[string]string{"kty": "EC"}, "jku": "https://127.0.0.1:1/keys",
		}, claims("mallory", nil))),
		with("whose key is a path", s.sign(jwt.SigningMethodES256, stranger, map[string]any{"kid": "../../etc/passwd"}, claims("mallory", nil))),
		with("of a method that its key is not for", s.sign(jwt.SigningMethodRS256, s.rsa, kid, claims("mallory", nil))),
		with("signed with the public key as a secret", s.sign(jwt.SigningMethodHS256, publicPEM(st.t, &s.rsa.PublicKey),
			map[string]any{"kid": "rsa"}, claims("mallory", nil))),
		with("signed with a secret", s.sign(jwt.SigningMethodHS512, []byte("secret"), kid, claims("mallory", nil))),
		{"token: of an operator", "UNAUTHENTICATED", func(a *arm) error { return a.connect(bearer(adminToken)) }},
		{"token: replayed on more connections than its owner may have", "TOO_MANY_CONNECTIONS", func(a *arm) error {
			token := s.good("replayed")
			for range perIdentity {
				a.hold(bearer(token))
			}
			return a.connect(bearer(token))
		}},
		{"token: that expires while the stream goes on", "TOKEN_EXPIRED", func(a *arm) error {
			token := s.changed("brief", map[string]any{"exp": time.Now().Add(2 * time.Second).Unix()})
			return a.hold(bearer(token)).end()
		}},
	}
}

func bearer(token string) []string { return []string{"authorization", "Bearer " + token} }
