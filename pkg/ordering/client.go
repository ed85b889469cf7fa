package ordering

// Client is the client's end of a logical connection: of the leg between it and whichever relay it has come to. What it numbers
// and acknowledges is end to end with the app server (section 7 of the design), so that any relay can take the connection up.
//
// A link is the client's stream to a relay. The client joins another before it lets go of the one that it has: until the Welcome
// the old link carries messages both ways, and from the Welcome on the new one.
type Client struct {
	// Outbox holds what the client sends.
	Outbox Outbox
	// Inbox holds what the client receives.
	Inbox Inbox
	// link carries the connection, joining is to; 0 for none.
	link, joining Path
	// greet: the Hello was not given out for joining yet. asked: a Hello was given out since the last Welcome. Nothing is acknowledged
	// until its answer, even if that never comes: it asks the app server for a replay, and what it asks for must not be freed.
	greet, asked bool
	// told is what the Hello said was received, via the last message that came by link or was told by it; what came by another
	// link is not acknowledged by this one, whose relay has yet to bring it.
	told, via uint64
	// said is what the Hello said was consumed, and saidBytes what that counts in the inbox: from the Welcome on, a receipt.
	said      uint64
	saidBytes int
	// welcomed: a receipt is to say at once that the Welcome was taken.
	welcomed bool
}

// NewClient returns the client's end of a new logical connection, as the Welcome of its first link says it is. The window is in bytes
// and counts for each direction.
func NewClient(link Path, window int) *Client {
	c := &Client{link: link, welcomed: true}
	c.Outbox.window, c.Inbox.window = window, window
	return c
}

// Link returns the link that carries the connection, or 0.
func (c *Client) Link() Path { return c.link }

// Joining returns the link that is to carry the connection once its relay has sent a Welcome, or 0.
func (c *Client) Joining() Path { return c.joining }

// Join has a Hello sent by the link, in place of any that the client was joining.
func (c *Client) Join(link Path) { c.joining, c.greet = link, true }

// Leave says that the link is gone. Nothing more is taken from it.
func (c *Client) Leave(link Path) {
	if link == c.link {
		c.link = 0
	}
	if link == c.joining {
		c.joining, c.greet = 0, false
	}
}

// Next gives out the next frame to send by the link. A frame that was given out must be sent: it is not given out again.
func (c *Client) Next(link Path) (Frame, bool) {
	switch {
	case link == 0:
		return Frame{}, false
	case c.greet && link == c.joining:
		return c.hello(), true
	case link != c.link:
		return Frame{}, false
	case c.welcomed:
		c.welcomed = false
		f := Frame{Kind: Receipt, Consumed: c.Inbox.reported, Welcomed: true}
		if c.acknowledges() {
			f.Consumed = c.Inbox.receipt()
		}
		return f, true
	}
	if seq, m, ok := c.Outbox.Next(); ok {
		f := Frame{Kind: Data, Seq: seq, Message: m}
		if c.Owes() {
			f.Consumed = c.Inbox.receipt()
		}
		return f, true
	}
	if c.Owes() {
		return Frame{Kind: Receipt, Consumed: c.Inbox.receipt()}, true
	}
	return Frame{}, false
}

// hello says where the client is. The app server's Close it asks for again until it has said that it was consumed: the relay
// that it has come to must know that the connection is over then.
func (c *Client) hello() Frame {
	c.greet, c.asked, c.told = false, true, c.Inbox.received
	if c.Inbox.closed > c.Inbox.reported {
		c.told = c.Inbox.closed - 1
	}
	c.said, c.saidBytes = min(c.Inbox.consumed, c.told), c.Inbox.consumedBytes
	return Frame{Kind: Hello, Received: c.told, Consumed: c.said}
}

// Ready reports whether there is something to send by the link that should not wait. A receipt alone may wait a little for a
// message to ride on; Inbox.Consume says when it may not.
func (c *Client) Ready(link Path) bool {
	return link != 0 && (c.greet && link == c.joining || link == c.link && (c.welcomed || c.Outbox.Ready()))
}

// Owes reports whether there is something to say in a receipt, and it may be said.
func (c *Client) Owes() bool { return c.acknowledges() && c.Inbox.Owes() }

// acknowledges reports whether the client may say what it has consumed.
func (c *Client) acknowledges() bool {
	return !c.asked && c.Inbox.consumed <= c.via
}

// Done reports whether the connection is over: the app server has consumed the client's Close, or its own was consumed here and that
// was said.
func (c *Client) Done() bool {
	return (c.Outbox.Ended() && c.Outbox.acked == c.Outbox.pushed) ||
		(c.Inbox.closed != 0 && c.Inbox.reported == c.Inbox.closed)
}

// Receive takes a frame that came by the link. A ProtocolError means that the peer broke a rule.
func (c *Client) Receive(link Path, f Frame) (Verdict, error) {
	if f.Kind == Welcome {
		return c.receiveWelcome(link, f)
	}
	if f.Kind != Data && f.Kind != Receipt {
		return 0, breach(RuleOrder, "%v is not for a client to receive", f.Kind)
	}
	if f.Consumed > c.Outbox.sent {
		return 0, breach(RuleReceipt, "receipt through %d, but only %d were sent", f.Consumed, c.Outbox.sent)
	}
	switch {
	case link == 0 || link != c.link && link != c.joining:
		if f.Kind == Receipt {
			return Taken, c.Outbox.Acknowledge(f.Consumed)
		}
		return WrongPath, c.Outbox.Acknowledge(f.Consumed)
	case link != c.link:
		return 0, breach(RuleOrder, "%v came before the Welcome", f.Kind)
	}
	verdict := Taken
	if f.Kind == Data {
		if f.Seq > c.via+1 {
			return 0, breach(RuleGap, "message %d came after message %d", f.Seq, c.via)
		}
		fresh, err := c.Inbox.accept(f.Seq, f.Message)
		if err != nil {
			return 0, err
		}
		c.via = max(c.via, f.Seq)
		if !fresh {
			verdict = Duplicate
		}
	}
	return verdict, c.Outbox.Acknowledge(f.Consumed)
}

// receiveWelcome lets go of the old link: the new one carries the connection, from where each end is.
func (c *Client) receiveWelcome(link Path, f Frame) (Verdict, error) {
	switch {
	case link == 0 || link != c.joining:
		return WrongPath, nil
	case c.greet:
		return 0, breach(RuleOrder, "a Welcome came before the Hello")
	case f.Consumed > f.Received:
		return 0, breach(RuleReceipt, "receipt through %d, but only %d were received", f.Consumed, f.Received)
	}
	if err := c.Outbox.Rewind(f.Received); err != nil {
		return 0, err
	}
	c.link, c.joining, c.asked, c.via, c.welcomed = link, 0, false, c.told, true
	c.Inbox.report(c.said, c.saidBytes)
	return Taken, c.Outbox.Acknowledge(f.Consumed)
}
