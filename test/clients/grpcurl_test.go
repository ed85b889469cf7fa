package clients_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// caller is a grpcurl that keeps a stream to a relay.
type caller struct {
	t   *testing.T
	in  io.Writer
	out *json.Decoder
	end func()
}

// response is what of a ConnectResponse a test looks at.
type response struct {
	Welcome struct {
		ConnectionID string `json:"connectionId"`
		ResumeToken  string `json:"resumeToken"`
		RelayID      string `json:"relayId"`
		Ingress      string
		Recovered    bool
		ReceivedSeq  string `json:"receivedSeq"`
	}
	Text     string
	FirstSeq string `json:"firstSeq"`
}

// call starts a grpcurl at the address.
func call(t *testing.T, address string) *caller {
	t.Helper()
	path := findGrpcurl(t)
	ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
	cmd := exec.CommandContext(ctx, path, "-plaintext", "-d", "@", address, "holdfast.v1.ClientConnectionService/Connect")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &caller{t: t, in: in, out: json.NewDecoder(out)}
	c.end = func() {
		cancel()
		_ = cmd.Wait() // It was killed, or has ended.
	}
	t.Cleanup(c.end)
	return c
}

// says sends one request and returns the response to it.
func (c *caller) says(request string) (r response) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, request+"\n"); err != nil {
		c.t.Fatal(err)
	}
	if err := c.out.Decode(&r); err != nil {
		c.t.Fatalf("the response to %s: %v", request, err)
	}
	return r
}

// A plain client that knows nothing of all this is served by each relay through each ingress. And what a resumable client says can be
// said by hand: a connection that grpcurl opened at one relay is taken up by another at the other.
func TestGrpcurl(t *testing.T) {
	findGrpcurl(t)
	s := startSystem(t)
	for _, in := range s.ingresses {
		for i, r := range s.relays {
			t.Run(fmt.Sprintf("plain through ingress %s to relay %s", in.id, r.id), func(t *testing.T) {
				c := call(t, in.servers[i])
				for _, text := range []string{"one", "two"} {
					if got := c.says(`{"text":"` + text + `"}`); got.Text != text {
						t.Errorf("the echo of %q is %+v", text, got)
					}
				}
			})
		}
	}
	t.Run("resumable", func(t *testing.T) { byHand(t, s) })
}

func byHand(t *testing.T, s *system) {
	first := call(t, s.ingresses[0].servers[0])
	had := first.says(`{"hello":{"resumable":true}}`).Welcome
	if had.RelayID != "one" || had.Ingress != "a" || had.ResumeToken == "" {
		t.Fatalf("welcomed with %+v", had)
	}
	if _, err := io.WriteString(first.in, `{"welcomed":true}`+"\n"); err != nil {
		t.Fatal(err)
	}
	if got := first.says(`{"firstSeq":"1","text":"one"}`); got.Text == "" && got.FirstSeq == "" {
		// The receipt for the message may come before its echo.
		if err := first.out.Decode(&got); err != nil || got.Text != "one" || got.FirstSeq != "1" {
			t.Fatalf("the echo is %+v, %v", got, err)
		}
	}
	first.end()
	second := call(t, s.ingresses[1].servers[1])
	got := second.says(`{"hello":{"resume":{"token":"` + had.ResumeToken + `","receivedSeq":"1","consumedSeq":"1"}}}`).Welcome
	if got.ConnectionID != had.ConnectionID || !got.Recovered || got.RelayID != "two" || got.Ingress != "b" || got.ReceivedSeq != "1" {
		t.Fatalf("resumed with %+v, after %+v", got, had)
	}
	if _, err := io.WriteString(second.in, `{"welcomed":true}`+"\n"); err != nil {
		t.Fatal(err)
	}
	if got := second.says(`{"firstSeq":"2","text":"two"}`); got.Text == "" {
		if err := second.out.Decode(&got); err != nil || got.Text != "two" || got.FirstSeq != "2" {
			t.Errorf("the echo is %+v, %v", got, err)
		}
	}
}

// findGrpcurl returns the real grpcurl. The test set-up builds it.
func findGrpcurl(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("grpcurl"); err == nil {
		return path
	}
	path, err := filepath.Abs("../../bin/tools/grpcurl")
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Skip("SKIPPED: grpcurl is not installed, so that no plain client came in by it; make setup builds it")
	}
	return path
}
