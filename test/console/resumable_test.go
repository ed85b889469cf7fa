package console_test

import (
	"context"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// resumable connects a resumable client through the ingress, or has it come anew with the token. It returns the Welcome and what
// breaks the stream.
func (s *system) resumable(ingress, token string) (welcome *holdfastv1.Welcome, leave func()) {
	s.t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+s.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cc.Close() })
	ctx, leave := context.WithCancel(context.Background())
	s.t.Cleanup(leave)
	hello := &holdfastv1.Hello{Resumable: true}
	if token != "" {
		hello.Resume = &holdfastv1.ResumeRequest{Token: token}
	}
	stream, err := holdfastv1.NewClientConnectionServiceClient(cc).Connect(metadata.AppendToOutgoingContext(ctx, "x-ingress-id", ingress))
	if err == nil {
		err = stream.Send(&holdfastv1.ConnectRequest{Hello: hello})
	}
	var first *holdfastv1.ConnectResponse
	if err == nil {
		first, err = stream.Recv()
	}
	if err == nil {
		err = stream.Send(&holdfastv1.ConnectRequest{Welcomed: true})
	}
	if err != nil {
		s.t.Fatalf("a resumable client: %v", err)
	}
	return first.GetWelcome(), leave
}

// Clients that move themselves: one that is away and comes back, and a reload that asks.
func TestResumableClients(t *testing.T) {
	browserPath(t)
	s, _ := withApp(t, 4)
	b := open(t, s.url(), 1280, 900)
	b.wait(live)
	gone, leave := s.resumable("a", "")
	moves, _ := s.resumable("a", "")
	b.text("#n-clients", "6")
	b.text("#n-away", "0")
	leave()
	b.text("#n-away", "1")
	b.text("#news", "1 client away")
	const card = `.card[data-key="a"]`
	b.text(card+" .counts", "4 clients, 1 away")
	b.wait(`document.querySelector("#t-ingresses tr[data-key=a]").children[3].textContent === "1"`)
	b.do(chromedp.SetValue("#lookup-id", gone.GetConnectionId()), chromedp.Focus("#lookup-id"), chromedp.KeyEvent(kb.Enter))
	b.text("#found-list", "resumable, away: its stream is gone")
	b.shot("away")
	s.resumable("b", gone.GetResumeToken())
	b.text("#n-away", "0")
	b.text("#news", "1 client resumed · 1 client away · 1 connection let go")
	b.text("#found-list", "2.1")
	b.text(card+" .counts", "3 clients ·")
	b.tabTo("Reload ingress a")
	b.press(kb.Enter)
	b.text("#confirm-text", "the resumable ones are asked to come another way")
	b.press(kb.Tab, chromedp.ModifierShift)
	b.press(kb.Enter)
	b.text(card+" .verdict", "0 of 1 moved")
	s.resumable("b", moves.GetResumeToken())
	b.text(card+" .verdict", "Of the clients that were asked, 1 of 1 moved.")
	b.text(card+" .state", "safe to reload")
	b.text("#n-clients", "6")
	b.shot("asked")
}
