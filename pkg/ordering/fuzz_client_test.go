package ordering

import "testing"

// clientFuzz is a client whose peers do as they like, on two links at a time.
type clientFuzz struct {
	c    *Client
	next Path
	// taken is the last message that was taken, and said the last that a receipt covered.
	taken, said uint64
	// brought is what the link that carries the connection may be told of: what it brought, and what its Hello said.
	brought, hello uint64
}

// do plays one byte.
func (z *clientFuzz) do(t *testing.T, op byte) {
	t.Helper()
	n := uint64(op / 8)
	switch op % 8 {
	case 0:
		z.next++
		z.c.Join(z.next)
	case 1:
		z.c.Leave([]Path{z.c.link, z.c.joining}[n%2])
	case 2:
		if m := fuzzMessage(z.c.Outbox.pushed+1, Binary); z.c.Outbox.HasRoom(m) {
			mustPush(t, &z.c.Outbox, m)
		}
	case 3:
		z.take(t)
	case 4:
		z.send(t, []Path{z.c.link, z.c.joining, z.next}[n%3])
	case 5:
		seq := z.c.Inbox.received + n%4
		z.receive(t, n/4, Frame{Kind: Data, Seq: seq, Message: fuzzMessage(seq, Binary)})
	case 6:
		z.receive(t, n/4, Frame{Kind: Receipt, Consumed: z.c.Outbox.acked + n%4})
	case 7:
		received := z.c.Outbox.acked + n%4
		z.receive(t, n/4, Frame{Kind: Welcome, Received: received, Consumed: received - min(received, n/16)})
	}
}

func (z *clientFuzz) take(t *testing.T) {
	t.Helper()
	m, ok := z.c.Inbox.Take()
	if !ok {
		return
	}
	if z.taken++; !sameMessage(m, fuzzMessage(z.taken, Binary)) {
		t.Fatalf("took message %d as message %d", m.Reason, z.taken)
	}
	z.c.Inbox.Consume()
}

// send takes what the client has for the link. It says nothing that is not so, and nothing that its relay cannot know.
func (z *clientFuzz) send(t *testing.T, link Path) {
	t.Helper()
	ready, asked := z.c.Ready(link), z.c.asked
	f, ok := z.c.Next(link)
	switch {
	case ready && !ok, ok && link == 0:
		t.Fatalf("link %d: ready: %v, but: %v", link, ready, ok)
	case !ok:
	case f.Kind == Hello:
		if f.Received > z.c.Inbox.received || f.Consumed > min(f.Received, z.taken) || f.Consumed < z.said {
			t.Fatalf("a Hello says received %d, consumed %d; %d were received, %d taken", f.Received, f.Consumed, z.c.Inbox.received, z.taken)
		}
		z.hello = f.Received
	case f.Consumed > z.taken || f.Consumed > z.brought || (asked && f.Consumed > z.said):
		t.Fatalf("a receipt through %d, but %d were taken, and the link has brought %d; asked: %v", f.Consumed, z.taken, z.brought, asked)
	default:
		z.said = max(z.said, f.Consumed)
	}
}

func (z *clientFuzz) receive(t *testing.T, n uint64, f Frame) {
	t.Helper()
	link := []Path{z.c.link, z.c.joining, z.next, 1}[n%4]
	before := z.c.clone()
	verdict, err := z.c.Receive(link, f)
	switch {
	case err != nil:
		wantSame(t, before, z.c.clone())
	case f.Kind == Welcome && verdict == Taken:
		if z.brought = z.hello; z.c.link != link || link != before.joining {
			t.Fatalf("a Welcome of link %d, but the client was joining %d", link, before.joining)
		}
	case f.Kind == Data && verdict != WrongPath:
		if z.brought = max(z.brought, f.Seq); link != before.link {
			t.Fatalf("took message %d of link %d, but link %d carries the connection", f.Seq, link, before.link)
		}
	}
}

// FuzzClient lets the input choose what a client does, and what its relays say to it.
func FuzzClient(f *testing.F) {
	f.Add([]byte{4, 5 + 8, 5 + 8, 3, 4, 0, 12, 5 + 8, 7 + 32, 4, 5 + 16})
	f.Add([]byte("a client that comes to one relay after the other, and back again"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		z := &clientFuzz{c: NewClient(1, 300), next: 1}
		for _, op := range ops[:min(len(ops), 2000)] {
			z.do(t, op)
			if err := z.c.Outbox.check(); err != nil {
				t.Fatal(err)
			}
			if err := z.c.Inbox.check(); err != nil {
				t.Fatal(err)
			}
			if t.Failed() {
				t.FailNow()
			}
		}
	})
}
