package relay

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	clientlib "github.com/holdfast/holdfast/pkg/client"
)

// TestLibraryCloses in each of the ways.
func TestLibraryCloses(t *testing.T) {
	ended := make(chan error, 1)
	handler := appserver.HandlerFunc(func(ctx context.Context, c *appserver.Connection) error {
		for {
			m, err := c.Receive(ctx)
			switch {
			case err == io.EOF:
				_ = c.Send(ctx, appserver.Message{Payload: []byte("half")})
			case err != nil:
				ended <- err
				return nil
			case string(m.Payload) == "close":
				return nil
			case string(m.Payload) == "fail":
				return errors.New("out of paper")
			}
		}
	})
	say := func(x *talker, s string) error {
		return x.conn.Send(context.Background(), clientlib.Message{Payload: []byte(s)})
	}
	for name, test := range map[string]func(t *testing.T, n *network, x *talker){
		"the client": func(t *testing.T, n *network, x *talker) {
			if err := errors.Join(say(x, "last"), x.conn.Close(n.pair.ctx)); err != nil {
				t.Error(err)
			}
			closed := new(appserver.CloseError)
			if !errors.As(<-ended, &closed) || closed.Reason != holdfastv1.CloseReason_CLOSE_REASON_CLIENT_GONE {
				t.Errorf("the application saw %v", closed)
			}
		},
		"the client, whose stream breaks at that": func(t *testing.T, n *network, x *talker) {
			n.shut(true, everywhere...)
			n.cut(x.address())
			time.AfterFunc(5*time.Second, func() { n.shut(false, everywhere...) })
			if err := errors.Join(say(x, "last"), x.conn.Close(n.pair.ctx)); err != nil {
				t.Error(err)
			}
			<-ended
		},
		"the application": func(t *testing.T, n *network, x *talker) {
			if err := say(x, "close"); err != nil {
				t.Error(err)
			}
			if _, err := x.conn.Receive(n.pair.ctx); err != io.EOF {
				t.Errorf("Receive: %v", err)
			}
			<-x.conn.Done()
		},
		"the application, with an error": func(t *testing.T, n *network, x *talker) {
			if err := say(x, "fail"); err != nil {
				t.Error(err)
			}
			_, err := x.conn.Receive(n.pair.ctx)
			why := new(clientlib.CloseError)
			if !errors.As(err, &why) || why.Reason != clientlib.ReasonApplicationError || why.Detail != "out of paper" {
				t.Errorf("Receive: %v", err)
			}
			<-x.conn.Done()
		},
		"one direction, then the other": func(t *testing.T, n *network, x *talker) {
			if err := x.conn.CloseSend(n.pair.ctx); err != nil {
				t.Error(err)
			}
			if m, err := x.conn.Receive(n.pair.ctx); err != nil || string(m.Payload) != "half" {
				t.Errorf("received %q, %v", m.Payload, err)
			}
			if err := x.conn.Close(n.pair.ctx); err != nil {
				t.Error(err)
			}
			<-ended
		},
	} {
		t.Run(name, func(t *testing.T) {
			ended = make(chan error, 1)
			onPair(t, nil, handler, func(t *testing.T, p *pair) {
				ended = make(chan error, 1)
				n := p.network()
				began := time.Now()
				x := n.talker(nil, everywhere...)
				test(t, n, x)
				synctest.Wait()
				for i, r := range p.relays {
					for range r.relay.registry.Connections() {
						t.Errorf("relay %d holds a connection", i+1)
					}
				}
				if d := time.Since(began); d > 15*time.Second { // five of which all is shut, and seven and a half of the longest pause
					t.Errorf("it took %v", d)
				}
			})
		})
	}
}
