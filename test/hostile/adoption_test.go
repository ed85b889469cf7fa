package hostile_test

import (
	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
)

// adoptionAttacks are attacks by an app server that is asked for the connection of a client that comes anew.
func adoptionAttacks() []attack {
	answers := func(name, want string, change func(f *holdfastv1.Frame)) attack {
		return attack{"adoption: " + name, want, func(a *arm) error {
			r, c := a.keeper()
			over := make(chan struct{})
			go func() {
				defer close(over)
				for f := r.adoption(); f != nil; f = r.adoption() {
					change(f)
					r.message(&holdfastv1.AttachRequest{Frames: []*holdfastv1.Frame{f, f}})
				}
			}()
			next, err := c.resume(c.token, "", 0, 0)
			if err == nil {
				err = next.end()
			}
			r.cancel()
			<-over
			return err
		}}
	}
	ack := func(m *holdfastv1.MigrateConnectionWithAckMessage) func(*holdfastv1.Frame) {
		return func(f *holdfastv1.Frame) { f.Body = &holdfastv1.Frame_MigrateWithAck{MigrateWithAck: m} }
	}
	refuse := func(reason holdfastv1.RefuseReason, generation uint32) func(*holdfastv1.Frame) {
		return func(f *holdfastv1.Frame) {
			f.Body = &holdfastv1.Frame_Refuse{Refuse: &holdfastv1.RefuseMessage{Reason: reason, Generation: generation}}
		}
	}
	const isProtocolError = "PROTOCOL_ERROR"
	return []attack{
		answers("more consumed than received", isProtocolError, ack(&holdfastv1.MigrateConnectionWithAckMessage{ConsumedSeq: 1})),
		answers("all received that there can be", isProtocolError, ack(&holdfastv1.MigrateConnectionWithAckMessage{ReceivedSeq: 1<<64 - 1})),
		answers("a window of 4 GiB", isProtocolError, ack(&holdfastv1.MigrateConnectionWithAckMessage{WindowBytes: 1<<32 - 1})),
		answers("4 GiB outstanding", isProtocolError, ack(&holdfastv1.MigrateConnectionWithAckMessage{ReceivedSeq: 2, OutstandingBytes: 1<<32 - 1})),
		answers("an answer twice", isProtocolError, ack(&holdfastv1.MigrateConnectionWithAckMessage{})),
		answers("a message for an answer", isProtocolError, func(f *holdfastv1.Frame) { f.Body = data(1, "x") }),
		answers("a receipt for an answer", isProtocolError, func(f *holdfastv1.Frame) {
			f.Body = &holdfastv1.Frame_Receipt{Receipt: &holdfastv1.ReceiptMessage{ConsumedSeq: 1 << 60}}
		}),
		answers("an answer of the future", "NO_APP_SERVER", func(f *holdfastv1.Frame) {
			f.Epoch += 1 << 32
			ack(&holdfastv1.MigrateConnectionWithAckMessage{})(f)
		}),
		answers("outrun by the last generation there is", isProtocolError, refuse(holdfastv1.RefuseReason_REFUSE_REASON_OUTRUN, 1<<32-1)),
		answers("a refusal of no reason that is known", "RESUMED_ELSEWHERE", refuse(77, 1)),
		answers("a refusal, to a client with a good token", "RESUME_TOKEN_REPLAYED", refuse(holdfastv1.RefuseReason_REFUSE_REASON_REPLAYED, 1)),
		{"adoption: none at all", "NO_APP_SERVER", func(a *arm) error {
			r, c := a.keeper()
			over := make(chan struct{})
			go func() {
				defer close(over)
				_ = r.end()
			}()
			_, err := c.resume(c.token, "", 0, 0)
			r.cancel()
			<-over
			return err
		}},
		{"adoption: refused that nobody asked for", isProtocolError, func(a *arm) error {
			r, c := a.keeper()
			f := &holdfastv1.Frame{ConnectionId: r.open.GetConnectionId(), Epoch: r.open.GetEpoch()}
			refuse(holdfastv1.RefuseReason_REFUSE_REASON_OUTRUN, 9)(f)
			r.message(&holdfastv1.AttachRequest{Frames: []*holdfastv1.Frame{f}})
			return c.end()
		}},
		{"adoption: the connection of another app server, said to be taken over", "it goes on", func(a *arm) error {
			r, _ := a.keeper()
			c := a.owner(transports[0])
			id, err := wire.ParseID(c.welcome.GetConnectionId())
			if err != nil {
				return err
			}
			f := &holdfastv1.Frame{ConnectionId: id, Epoch: 1<<32 | 1}
			refuse(holdfastv1.RefuseReason_REFUSE_REASON_TAKEN_OVER, 9)(f)
			r.message(&holdfastv1.AttachRequest{Frames: []*holdfastv1.Frame{f}}, &holdfastv1.AttachRequest{Ping: &holdfastv1.PingMessage{Nonce: 7}})
			for r.receive(a).GetPing().GetNonce() != 7 {
			}
			c.speak()
			c.mustResume()
			return refusal("it goes on")
		}},
	}
}

// keeper is a rogue with the connection of a resumable client.
func (a *arm) keeper() (*rogue, *caller) {
	r := a.attachRogue()
	type called struct {
		c   *caller
		err error
	}
	came := make(chan called, 1)
	go func() {
		c, err := a.call(transports[0], "victim of "+a.t.Name(), &holdfastv1.Hello{Application: "rogue", Resumable: true})
		came <- called{c, err}
	}()
	r.awaitOpen(a)
	r.message(r.frame(func(f *holdfastv1.Frame) { f.Body = &holdfastv1.Frame_Receipt{Receipt: &holdfastv1.ReceiptMessage{}} }))
	v := <-came
	if v.err != nil {
		a.t.Fatalf("the victim is not let in: %v", v.err)
	}
	return r, v.c
}

// adoption waits until the rogue is asked for a connection, and returns a frame that answers; nil when its stream has ended.
func (r *rogue) adoption() *holdfastv1.Frame {
	for {
		m, err := r.next()
		if err != nil {
			return nil
		}
		for _, f := range m.GetFrames() {
			if f.GetMigrate().GetMode() == holdfastv1.MigrateMode_MIGRATE_MODE_CLIENT {
				return &holdfastv1.Frame{ConnectionId: f.GetConnectionId(), Epoch: f.GetEpoch()}
			}
		}
	}
}
