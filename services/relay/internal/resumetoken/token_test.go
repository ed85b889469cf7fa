package resumetoken

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	keys, _ := open(t, line('a'))
	bare := some()
	bare.Subject, bare.Connection, bare.Nonce, bare.Generation = "", 1, 0, 1<<32-1
	odd := some()
	odd.Subject = strings.Repeat("<", 256) // as long as subjects get, and JSON makes six bytes of each of these
	for name, c := range map[string]Claims{"full": some(), "bare": bare, "odd": odd} {
		token, err := keys.Sign(c)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := keys.Verify(token, noon)
		if err != nil || !got.Expires.Equal(c.Expires) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
		if got.Expires = c.Expires; got != c {
			t.Errorf("%s: got %+v, want %+v", name, got, c)
		}
	}
}

// A token is shown at the beginning of each stream, and sent with each Welcome.
func TestTokenIsShort(t *testing.T) {
	t.Parallel()
	keys, _ := open(t, line('a'))
	if token, err := keys.Sign(some()); err != nil || len(token) >= 400 {
		t.Errorf("a token of %d bytes: %s, %v", len(token), token, err)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	keys, _ := open(t, line('a'))
	token, err := keys.Sign(some())
	if err != nil {
		t.Fatal(err)
	}
	for after, want := range map[time.Duration]string{
		-time.Hour: "", 0: "", 5*time.Minute - 1: "", 5 * time.Minute: "RESUME_TOKEN_EXPIRED", 48 * time.Hour: "RESUME_TOKEN_EXPIRED",
	} {
		got, err := keys.Verify(token, noon.Add(after))
		if wire.ErrorReasonOf(err) != want || (err != nil) != (want != "") || err != nil && got != (Claims{}) {
			t.Errorf("%v after it was given: got %+v, %v; want %q", after, got, err, want)
		}
	}
	forged := forge(t, jwt.SigningMethodHS256, bytes.Repeat([]byte{'b'}, minSecret), keys.ring()[0].id, said())
	if _, err := keys.Verify(forged, noon.Add(time.Hour)); wire.ErrorReasonOf(err) != "RESUME_TOKEN_INVALID" {
		t.Errorf("one that nobody has given is said to have expired: %v", err)
	}
}

// What cannot be said in a token, or makes one too long to be shown, is not signed.
func TestSignRefuses(t *testing.T) {
	t.Parallel()
	keys, _ := open(t, line('a'))
	for want, change := range map[string]func(*Claims){
		"no connection":  func(c *Claims) { c.Connection = 0 },
		"no application": func(c *Claims) { c.Application = "" },
		"no app server":  func(c *Claims) { c.InstanceID = "" },
		"no generation":  func(c *Claims) { c.Generation = 0 },
		"4096":           func(c *Claims) { c.ServerID = strings.Repeat("x", maxToken) },
	} {
		c := some()
		change(&c)
		if token, err := keys.Sign(c); err == nil || token != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, %v; want an error that says %q", token, err, want)
		}
	}
}

// with returns what is said with one claim changed, or without it when the value is nil.
func with(name string, value any) jwt.MapClaims {
	claims := said()
	if claims[name] = value; value == nil {
		delete(claims, name)
	}
	return claims
}

// TestBadTokens has the good one among them too: it shows that each other is refused for what is changed in it.
func TestBadTokens(t *testing.T) {
	t.Parallel()
	keys, _ := open(t, line('a'))
	secret, id := bytes.Repeat([]byte{'a'}, minSecret), keys.ring()[0].id
	other := bytes.Repeat([]byte{'b'}, minSecret)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	hs256 := func(claims jwt.Claims) string { return forge(t, jwt.SigningMethodHS256, secret, id, claims) }
	good := hs256(said())
	if _, err := keys.Verify(good, noon); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	parts := strings.Split(good, ".")
	header := func(text string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(text)) + "." + parts[1] + "." + parts[2]
	}
	for name, c := range map[string]struct{ token, want string }{
		"nothing":          {"", "malformed"},
		"no token":         {"good morning", "malformed"},
		"two parts":        {parts[0] + "." + parts[1], "malformed"},
		"four parts":       {good + ".x", "malformed"},
		"truncated":        {good[:len(good)-2], "signature"},
		"no signature":     {parts[0] + "." + parts[1] + ".", "signature"},
		"other claims":     {parts[0] + "." + strings.Split(hs256(with("c", "2")), ".")[1] + "." + parts[2], "signature"},
		"not base64":       {parts[0] + ".!." + parts[2], "malformed"},
		"not JSON":         {parts[0] + "." + parts[0][:5] + "." + parts[2], "malformed"},
		"another key":      {forge(t, jwt.SigningMethodHS256, other, id, said()), "signature"},
		"unknown key":      {forge(t, jwt.SigningMethodHS256, other, newKey(other).id, said()), "does not hold here"},
		"no kid":           {forge(t, jwt.SigningMethodHS256, secret, nil, said()), "names no key"},
		"kid is a number":  {forge(t, jwt.SigningMethodHS256, secret, 7, said()), "names no key"},
		"alg none":         {forge(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, id, said()), "none"},
		"alg none in name": {header(`{"alg":"none","kid":"` + id + `"}`), "none"},
		"no alg":           {header(`{"kid":"` + id + `"}`), "alg"},
		"HS384":            {forge(t, jwt.SigningMethodHS384, secret, id, said()), "HS384"},
		"RS256":            {forge(t, jwt.SigningMethodRS256, private, id, said()), "RS256"},
		"RS256 in name":    {header(`{"alg":"RS256","kid":"` + id + `"}`), "RS256"},
		"huge":             {hs256(with("sub", strings.Repeat("x", maxToken))), "want 4096 at most"},
		"a client's JWT":   {hs256(jwt.MapClaims{"iss": "i", "aud": "a", "sub": "alice", "exp": noon.Add(time.Hour).Unix()}), `audience (aud) is "a"`},
		"no audience":      {hs256(with("aud", nil)), "audience"},
		"audiences":        {hs256(with("aud", []string{"holdfast-resume", "a"})), "malformed"},
		"no expiry":        {hs256(with("exp", nil)), "never expires"},
		"expiry is text":   {hs256(with("exp", "soon")), "malformed"},
		"no connection":    {hs256(with("c", nil)), "no connection"},
		"connection 0":     {hs256(with("c", "0")), "no connection"},
		"connection is":    {hs256(with("c", 7)), "malformed"},
		"long connection":  {hs256(with("c", "10000000000000000")), "no connection"},
		"no hexadecimal":   {hs256(with("c", "xyz")), "no connection"},
		"no application":   {hs256(with("a", nil)), "no application"},
		"no server":        {hs256(with("s", nil)), "no app server"},
		"no instance":      {hs256(with("i", "")), "no app server"},
		"no nonce":         {hs256(with("n", nil)), "no process"},
		"no generation":    {hs256(with("g", nil)), "no generation"},
		"big generation":   {hs256(with("g", 1<<32)), "malformed"},
		"generation -1":    {hs256(with("g", -1)), "malformed"},
	} {
		got, err := keys.Verify(c.token, noon)
		if wire.ErrorReasonOf(err) != "RESUME_TOKEN_INVALID" || got != (Claims{}) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %+v, %v; want RESUME_TOKEN_INVALID that says %q", name, got, err, c.want)
		}
		if len(c.token) > 20 && err != nil && strings.Contains(err.Error(), c.token) {
			t.Errorf("%s: the error says the token: %v", name, err)
		}
	}
}

// Nobody makes a token that does who has not the key.
func FuzzVerify(f *testing.F) {
	keys, err := New(&config.Security{}, slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	id := keys.ring()[0].id
	for _, method := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS512} {
		for _, name := range []string{"c", "a", "exp", "x"} {
			f.Add(forge(f, method, bytes.Repeat([]byte{1}, minSecret), id, with(name, "1")))
		}
	}
	f.Add(forge(f, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, id, said()))
	f.Add("")
	f.Add("..")
	f.Add("e30.e30.e30")
	f.Fuzz(func(t *testing.T, token string) {
		if got, err := keys.Verify(token, noon); wire.ErrorReasonOf(err) != "RESUME_TOKEN_INVALID" || got != (Claims{}) {
			t.Errorf("%q: got %+v, %v", token, got, err)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	keys, _ := open(b, line('a')+"\n"+line('b'))
	claims := some()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := keys.Sign(claims); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	keys, _ := open(b, line('a')+"\n"+line('b'))
	token, err := keys.Sign(some())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := keys.Verify(token, noon); err != nil {
			b.Fatal(err)
		}
	}
}
