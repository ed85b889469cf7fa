package resumetoken

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// noon is when these tests are.
var noon = time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)

// line is a key as it stands in a file: 32 times the byte.
func line(b byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, minSecret))
}

func write(t testing.TB, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// open returns the keys of a file that says this, which is looked at each time, and its name.
func open(t testing.TB, content string) (keys *Keys, name string) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "keys")
	write(t, name, content)
	keys, err := New(&config.Security{ResumeKeyFile: name}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return keys, name
}

// some are claims with everything in them.
func some() Claims {
	return Claims{
		Connection: 1<<64 - 1, Application: "chat", ServerID: "chat-7", InstanceID: "chat-7-6d5f9c7b8d-x2x7k", Nonce: 1<<63 + 1,
		Subject: "3f2f9c0e-3a51-4a8f-9d6c-8f6a6c1f4d2e", Generation: 7, Expires: noon.Add(5 * time.Minute),
	}
}

// said is the same as some in a token, for the tests to change.
func said() jwt.MapClaims {
	return jwt.MapClaims{
		"aud": "holdfast-resume", "exp": noon.Add(time.Minute).Unix(), "c": "1", "a": "chat", "s": "chat-7", "i": "x", "n": "2", "g": 1,
	}
}

// forge signs the claims as it is told to.
func forge(t testing.TB, method jwt.SigningMethod, secret any, kid any, claims jwt.Claims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	if kid != nil {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
