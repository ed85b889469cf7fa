package adminport

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/selector"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
)

// minToken is the least length of a token, in bytes.
const minToken = 16

// Token is what operators must show: "authorization: Bearer TOKEN", or for browsers any user name with the token as the password.
// Health checks need none.
type Token struct {
	file string
	// refused is told of each caller that is not let through, and why.
	refused func(error)
}

// NewToken returns the token that is in the file, which is read at each call, so that it can be changed at any time.
func NewToken(file string, refused func(error)) (*Token, error) {
	t := &Token{file, refused}
	_, err := t.read()
	return t, err
}

func (t *Token) read() (string, error) {
	b, err := os.ReadFile(t.file)
	if err != nil {
		return "", fmt.Errorf("reading the token of operators: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if len(token) < minToken {
		return "", fmt.Errorf("the token of operators in %s has %d bytes; want %d or more", t.file, len(token), minToken)
	}
	return token, nil
}

// errNoToken says nothing of how far a token was from a good one.
var errNoToken = errors.New("this listener wants the token of operators: authorization: Bearer TOKEN")

func (t *Token) check(shown string) error {
	token, err := t.read()
	if err == nil {
		want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(shown))
		if subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
			return nil
		}
		err = errNoToken
	}
	t.refused(err)
	return errNoToken // and not that the file cannot be read
}

// Interceptors let calls through that show the token.
func (t *Token) Interceptors() (grpc.UnaryServerInterceptor, grpc.StreamServerInterceptor) {
	check := func(ctx context.Context) (context.Context, error) {
		shown, _ := auth.AuthFromMD(ctx, "bearer") // none is as bad as a wrong one
		if err := t.check(shown); err != nil {
			return nil, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_UNAUTHENTICATED, "%v", err)
		}
		return ctx, nil
	}
	guarded := selector.MatchFunc(func(_ context.Context, c interceptors.CallMeta) bool {
		return c.Service != grpc_health_v1.Health_ServiceDesc.ServiceName
	})
	return selector.UnaryServerInterceptor(auth.UnaryServerInterceptor(check), guarded),
		selector.StreamServerInterceptor(auth.StreamServerInterceptor(check), guarded)
}

// Handler lets requests through that show the token.
func (t *Token) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if _, password, ok := r.BasicAuth(); ok && !isBearer {
			shown = password
		}
		if err := t.check(shown); err != nil {
			w.Header().Set("WWW-Authenticate", `Basic realm="holdfast relay", charset="UTF-8"`)
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
