package ordering

import "testing"

// The links of the tests of a client.
const (
	link1 = Path(21)
	link2 = Path(22)
	link3 = Path(23)
)

// The makers below bring a client into each of its states. Each but connected has sent three messages, the first of which was
// acknowledged, and has received three, of which it has consumed two and acknowledged none.

// connected has said that it has its first Welcome.
func connected(t *testing.T) *Client {
	c := NewClient(link1, testWindow)
	wantNext(t, c, link1, Frame{Kind: Receipt, Welcomed: true})
	return c
}

func busy(t *testing.T) *Client {
	c := connected(t)
	mustPush(t, &c.Outbox, small(1), small(2), small(3))
	wantNext(t, c, link1, clientData(1), clientData(2), clientData(3))
	for seq := uint64(1); seq <= 3; seq++ {
		mustTake(t, c, link1, withReceipt(clientData(seq), 1))
	}
	consume(c, 2)
	return c
}

// greeting is to say Hello by link 2.
func greeting(t *testing.T) *Client {
	c := busy(t)
	c.Join(link2)
	return c
}

// joining has said Hello by link 2.
func joining(t *testing.T) *Client {
	c := greeting(t)
	wantNext(t, c, link2, Frame{Kind: Hello, Received: 3, Consumed: 2})
	return c
}

// waiting has lost link 1 since.
func waiting(t *testing.T) *Client {
	c := joining(t)
	c.Leave(link1)
	return c
}

// stranded has no link.
func stranded(t *testing.T) *Client {
	c := busy(t)
	c.Leave(link1)
	return c
}

// welcomed has moved to link 2; the app server has received two messages.
func welcomed(t *testing.T) *Client {
	c := joining(t)
	mustTake(t, c, link2, Frame{Kind: Welcome, Received: 2, Consumed: 1})
	return c
}

// ahead was brought one more message by link 1 before.
func ahead(t *testing.T) *Client {
	c := joining(t)
	mustTake(t, c, link1, clientData(4))
	mustTake(t, c, link2, Frame{Kind: Welcome, Received: 3, Consumed: 1})
	return c
}

func clientData(seq uint64) Frame { return data(0, seq) }

func consume(c *Client, n int) {
	for range n {
		c.Inbox.Take()
		c.Inbox.Consume()
	}
}

var clientCases = []struct {
	name    string
	in      func(*testing.T) *Client
	link    Path
	frame   Frame
	verdict Verdict
	rule    Rule
}{
	{"busy: a message", busy, link1, clientData(4), Taken, 0},
	{"busy: a duplicate", busy, link1, clientData(3), Duplicate, 0},
	{"busy: a gap", busy, link1, clientData(5), 0, RuleGap},
	{"busy: a receipt", busy, link1, receipt(0, 3), Taken, 0},
	{"busy: a receipt for what was never sent", busy, link1, receipt(0, 4), 0, RuleReceipt},
	{"busy: one that rides", busy, link1, withReceipt(clientData(4), 4), 0, RuleReceipt},
	{"busy: a message by another link", busy, link2, clientData(4), WrongPath, 0},
	{"busy: a receipt by another link", busy, link2, receipt(0, 2), Taken, 0},
	{"busy: a bad receipt by another link", busy, link2, receipt(0, 4), 0, RuleReceipt},
	{"busy: a message by no link", busy, 0, clientData(4), WrongPath, 0},
	{"busy: a Welcome", busy, link1, Frame{Kind: Welcome}, WrongPath, 0},
	{"busy: Migrate", busy, link1, Frame{Kind: Migrate}, 0, RuleOrder},
	{"busy: a Hello", busy, link1, Frame{Kind: Hello}, 0, RuleOrder},

	{"greeting: a Welcome before the Hello", greeting, link2, Frame{Kind: Welcome, Received: 3}, 0, RuleOrder},

	{"joining: a message by the old link", joining, link1, clientData(4), Taken, 0},
	{"joining: a message before the Welcome", joining, link2, clientData(4), 0, RuleOrder},
	{"joining: a receipt before the Welcome", joining, link2, receipt(0, 2), 0, RuleOrder},
	{"joining: the Welcome", joining, link2, Frame{Kind: Welcome, Received: 3, Consumed: 3}, Taken, 0},
	{"joining: a Welcome by the old link", joining, link1, Frame{Kind: Welcome, Received: 3}, WrongPath, 0},
	{"joining: a Welcome by a third link", joining, link3, Frame{Kind: Welcome, Received: 3}, WrongPath, 0},
	{"joining: a Welcome by no link", joining, 0, Frame{Kind: Welcome, Received: 3}, WrongPath, 0},
	{"joining: more consumed than received", joining, link2, Frame{Kind: Welcome, Received: 2, Consumed: 3}, 0, RuleReceipt},
	{"joining: received what was never sent", joining, link2, Frame{Kind: Welcome, Received: 4}, 0, RuleRewind},
	{"joining: received less than was acknowledged", joining, link2, Frame{Kind: Welcome}, 0, RuleRewind},

	{"waiting: a message by the lost link", waiting, link1, clientData(4), WrongPath, 0},
	{"waiting: the Welcome", waiting, link2, Frame{Kind: Welcome, Received: 3}, Taken, 0},
	{"stranded: a message", stranded, link1, clientData(4), WrongPath, 0},
	{"stranded: a Welcome", stranded, link2, Frame{Kind: Welcome, Received: 3}, WrongPath, 0},

	{"welcomed: a message", welcomed, link2, clientData(4), Taken, 0},
	{"welcomed: a gap", welcomed, link2, clientData(5), 0, RuleGap},
	{"ahead: a gap that the old link has filled", ahead, link2, clientData(5), 0, RuleGap},
	{"welcomed: a message by the old link", welcomed, link1, clientData(4), WrongPath, 0},
	{"welcomed: the Welcome again", welcomed, link2, Frame{Kind: Welcome, Received: 2}, WrongPath, 0},
	{"welcomed: a receipt for what is to be sent again", welcomed, link2, receipt(0, 3), 0, RuleReceipt},
}

// Every frame that matters in every state, and what becomes of it.
func TestClientReceive(t *testing.T) {
	for _, c := range clientCases {
		t.Run(c.name, func(t *testing.T) {
			client := c.in(t)
			before := client.clone()
			verdict, err := client.Receive(c.link, c.frame)
			if verdict != c.verdict {
				t.Errorf("%v, want %v", verdict, c.verdict)
			}
			switch {
			case c.rule != 0:
				wantBreach(t, err, c.rule, before, client.clone())
			case err != nil:
				t.Error(err)
			case c.verdict != Taken:
				wantSame(t, before, client.clone())
			}
		})
	}
}

// Messages go by the link that carries the connection, until the Welcome by the old one; a receipt rides when it may.
func TestClientNext(t *testing.T) {
	for _, c := range []struct {
		name string
		in   func(*testing.T) *Client
		want map[Path][]Frame
	}{
		{"busy", busy, map[Path][]Frame{link1: {withReceipt(clientData(4), 2)}}},
		{"greeting", greeting, map[Path][]Frame{link1: {withReceipt(clientData(4), 2)}, link2: {{Kind: Hello, Received: 3, Consumed: 2}}}},
		{"joining", joining, map[Path][]Frame{link1: {clientData(4)}}},
		{"waiting", waiting, nil},
		{"stranded", stranded, nil},
		{"welcomed", welcomed, map[Path][]Frame{link2: {{Kind: Receipt, Consumed: 2, Welcomed: true}, clientData(3), clientData(4)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := c.in(t)
			mustPush(t, &client.Outbox, small(4))
			for _, link := range []Path{0, link1, link2, link3} {
				if ready := client.Ready(link); ready != (c.want[link] != nil) {
					t.Errorf("ready for link %d: %v", link, ready)
				}
				wantNext(t, client, link, c.want[link]...)
			}
		})
	}
}

// The client says nothing of what it has consumed from its Hello to the Welcome, even when it has left that link; and after it
// nothing of what another link has brought, until its own has.
func TestClientAcknowledges(t *testing.T) {
	c := joining(t)
	consume(c, 1)
	for _, link := range []Path{0, link2} {
		if c.Leave(link); c.Owes() {
			t.Errorf("owes a receipt after it left link %d", link)
		}
		wantNext(t, c, link1)
	}
	c.Join(link3)
	wantNext(t, c, link3, Frame{Kind: Hello, Received: 3, Consumed: 3})
	mustTake(t, c, link1, clientData(4))
	consume(c, 1)
	mustTake(t, c, link3, Frame{Kind: Welcome, Received: 3, Consumed: 1})
	wantNext(t, c, link3, Frame{Kind: Receipt, Consumed: 3, Welcomed: true})
	if v, err := c.Receive(link3, clientData(4)); v != Duplicate || err != nil {
		t.Errorf("what the old link has brought: %v, %v; want Duplicate", v, err)
	}
	wantNext(t, c, link3, receipt(0, 4))
	if c.Link() != link3 || c.Joining() != 0 || c.Inbox.Bytes() != 0 {
		t.Errorf("on link %d, joining %d, %d bytes are outstanding", c.Link(), c.Joining(), c.Inbox.Bytes())
	}
}

// The app server has credit for what the Hello said was consumed, from the Welcome on.
func TestClientTakesMoreFromTheWelcomeOn(t *testing.T) {
	c := connected(t)
	m := sized(testWindow/2 - MessageOverhead)
	mustTake(t, c, link1, Frame{Kind: Data, Seq: 1, Message: m})
	mustTake(t, c, link1, Frame{Kind: Data, Seq: 2, Message: m})
	consume(c, 1)
	c.Join(link2)
	wantNext(t, c, link2, Frame{Kind: Hello, Received: 2, Consumed: 1})
	consume(c, 1)
	before := c.clone()
	_, err := c.Receive(link1, Frame{Kind: Data, Seq: 3, Message: m})
	wantBreach(t, err, RuleWindow, before, c.clone())
	mustTake(t, c, link2, Frame{Kind: Welcome})
	mustTake(t, c, link2, Frame{Kind: Data, Seq: 3, Message: m})
	if c.Inbox.Bytes() != 2*m.Cost() {
		t.Errorf("%d bytes are outstanding, want %d", c.Inbox.Bytes(), 2*m.Cost())
	}
}

// The relay that the client comes to is to have the Close of the app server too, until it was acknowledged.
func TestClientAsksForTheCloseAgain(t *testing.T) {
	for _, consumed := range []int{0, 1} {
		c := busy(t)
		consume(c, 1)
		closed := Frame{Kind: Data, Seq: 4, Message: Message{Kind: Close}}
		mustTake(t, c, link1, closed)
		consume(c, consumed)
		c.Join(link2)
		wantNext(t, c, link2, Frame{Kind: Hello, Received: 3, Consumed: 3})
		mustTake(t, c, link2, Frame{Kind: Welcome, Received: 3})
		if v, err := c.Receive(link2, closed); v != Duplicate || err != nil || c.Done() {
			t.Errorf("the Close again: %v, %v; done: %v", v, err, c.Done())
		}
		consume(c, 1-consumed)
		wantNext(t, c, link2, Frame{Kind: Receipt, Consumed: 4, Welcomed: true})
		if !c.Done() {
			t.Error("the client has acknowledged the Close and is not done")
		}
	}
}

// A client whose own Close was consumed is done.
func TestClientIsDoneByItsOwnClose(t *testing.T) {
	c := busy(t)
	mustPush(t, &c.Outbox, closing)
	wantNext(t, c, link1, Frame{Kind: Data, Seq: 4, Message: closing, Consumed: 2})
	for consumed, want := range []bool{1: false, 3: false, 4: true} {
		if mustTake(t, c, link1, receipt(0, uint64(consumed))); c.Done() != want {
			t.Errorf("done after the receipt through %d: %v", consumed, c.Done())
		}
	}
}
