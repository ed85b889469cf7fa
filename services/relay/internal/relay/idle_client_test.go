package relay

import (
	"testing"
	"testing/synctest"
	"time"

	holdfast "github.com/holdfast/holdfast/pkg/client"
)

// A client that says nothing keeps its stream: what it does to find a dead path is no offence to a relay that it reaches directly.
func TestIdleClientStays(t *testing.T) {
	onPair(t, nil, echo, func(t *testing.T, p *pair) {
		c, err := holdfast.Dial(p.ctx, holdfast.Config{
			Addresses: []string{"passthrough:///relay"}, DialOptions: dial(p.relays[0].application, "a"), Logger: discard(),
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(8 * time.Minute)
		if n := c.Stats().Moves; n != 0 {
			t.Errorf("it had to move %d times", n)
		}
		if err := c.Send(p.ctx, holdfast.Message{Payload: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		if m, err := c.Receive(p.ctx); err != nil || string(m.Payload) != "x" {
			t.Errorf("%q, %v", m.Payload, err)
		}
		if err := c.Close(p.ctx); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
}
