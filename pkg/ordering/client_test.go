package ordering

import "testing"

// The links of the tests of a client.
const (
	link1 = Path(21)
	link2 = Path(22)
	link3 = Path(23)
)

// connected is a client that has said that it has its first Welcome.
func connected(t *testing.T) *Client {
	c := NewClient(link1, testWindow)
	wantNext(t, c, link1, Frame{Kind: Receipt, Welcomed: true})
	return c
}

// hasConsumed is a client that has received so many messages and consumed all but the last of them; no receipt was given.
func hasConsumed(t *testing.T, received uint64) *Client {
	c := connected(t)
	for seq := range received {
		mustTake(t, c, link1, Frame{Kind: Data, Seq: seq + 1, Message: sized(testWindow/2 - 2*MessageOverhead)})
		if seq+1 < received {
			c.Inbox.Take()
			c.Inbox.Consume()
		}
	}
	return c
}

// The app server has credit for what the Hello said was consumed, from the Welcome on.
func TestClientTakesMoreFromTheWelcomeOn(t *testing.T) {
	c := hasConsumed(t, 2)
	before := c.Inbox.Bytes()
	c.Join(link2)
	wantNext(t, c, link2, Frame{Kind: Hello, Received: 2, Consumed: 1})
	c.Inbox.Take()
	c.Inbox.Consume()
	wantNext(t, c, link1)
	mustTake(t, c, link2, Frame{Kind: Welcome})
	if c.Inbox.Bytes() != before/2 {
		t.Errorf("%d bytes are outstanding, want %d", c.Inbox.Bytes(), before/2)
	}
	mustTake(t, c, link2, Frame{Kind: Data, Seq: 3, Message: sized(testWindow/2 - 2*MessageOverhead)})
	wantNext(t, c, link2, Frame{Kind: Receipt, Consumed: 2, Welcomed: true})
}

// The relay that the client comes to is to have the Close of the app server too, until it was acknowledged.
func TestClientAsksForTheCloseAgain(t *testing.T) {
	for _, consume := range []bool{false, true} {
		c := hasConsumed(t, 2)
		c.Inbox.Take()
		c.Inbox.Consume()
		mustTake(t, c, link1, Frame{Kind: Data, Seq: 3, Message: Message{Kind: Close}})
		if consume {
			c.Inbox.Take()
			c.Inbox.Consume()
		}
		c.Join(link2)
		wantNext(t, c, link2, Frame{Kind: Hello, Received: 2, Consumed: 2})
		mustTake(t, c, link2, Frame{Kind: Welcome})
		v, err := c.Receive(link2, Frame{Kind: Data, Seq: 3, Message: Message{Kind: Close}})
		if v != Duplicate || err != nil || c.Done() {
			t.Errorf("the Close again: %v, %v; done: %v", v, err, c.Done())
		}
		if !consume {
			c.Inbox.Take()
			c.Inbox.Consume()
		}
		wantNext(t, c, link2, Frame{Kind: Receipt, Consumed: 3, Welcomed: true})
		if !c.Done() {
			t.Error("the client has acknowledged the Close and is not done")
		}
	}
}
