package identity

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// Nobody gets in who has not the key, whatever the header says; and each is told UNAUTHENTICATED.
func FuzzCheck(f *testing.F) {
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	name := filepath.Join(f.TempDir(), "key.pem")
	write(f, name, publicPEM(f, public))
	clients, err := NewClients(security(func(c *config.Security) { c.JWTKey = name }), slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	const none = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJpIiwiYXVkIjoiYSIsInN1YiI6IngiLCJleHAiOjQxMDI0NDQ4MDB9."
	for _, s := range []string{"", "Bearer", "Bearer ", "bearer x.y.z", "Basic eDp5", "Bearer " + none, "Bearer ...", "Bearer e30.e30.e30"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		ctx := metadata.NewIncomingContext(context.Background(), metadata.MD{"authorization": {header}})
		if client, err := clients.Check(ctx); wire.ErrorReasonOf(err) != "UNAUTHENTICATED" {
			t.Errorf("%q: got %+v, %v", header, client, err)
		}
	})
}

// Rules that are taken have what is needed to decide, and deciding does not fail.
func FuzzRules(f *testing.F) {
	for _, s := range []string{"", "- {identity: a, server-ids: ['*']}", "- {identity: a}", "[]", "&a [*a]", "- {identity: a, server-ids: ['[']}"} {
		f.Add([]byte(s), "a", "b")
	}
	f.Fuzz(func(t *testing.T, content []byte, id, application string) {
		rules, err := parseRules(content)
		if err != nil {
			return
		}
		for _, r := range rules {
			if r.Identity == "" || len(r.ServerIDs) == 0 {
				t.Errorf("taken: %+v", r)
			}
			r.allows(id, application)
		}
	})
}
