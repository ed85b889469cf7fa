package relay

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/services/relay/internal/config"
)

// The profiles are on the admin port beside gRPC when they are asked for, and not there else.
func TestProfiles(t *testing.T) {
	for _, on := range []bool{true, false} {
		admin := onLoopback(t)
		h := startHarness(t, onLoopback(t), admin, func(c *config.Config) { c.Pprof = on })
		client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		body := ""
		resp, err := client.Get("http://" + admin.Addr().String() + "/debug/pprof/goroutine?debug=1")
		if err == nil {
			b, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			body = string(b)
		}
		if got := err == nil && resp.StatusCode == http.StatusOK && strings.Contains(body, "goroutine profile"); got != on {
			t.Errorf("asked for: %v; served: %v, %v", on, got, err)
		}
		operator, closeAdmin := h.admin()
		if _, err := operator.ListIngresses(t.Context(), &holdfastv1.ListIngressesRequest{}); err != nil {
			t.Errorf("gRPC beside it: %v", err)
		}
		_ = closeAdmin.Close()
		// One that says nothing does not hold up the end for long.
		mute, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", admin.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		h.stop()
		if took := time.Since(began); took > 2*connectionTimeout {
			t.Errorf("the relay took %v to stop", took)
		}
		_ = mute.Close()
	}
}
