package hostile_test

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// rogue is an app server that may attach, with a connection of a client who came to its application.
type rogue struct {
	*stream
	victim *stream
	open   *holdfastv1.Frame
}

// rogue attaches, and has a client come.
func (a *arm) rogue() *rogue {
	r := a.attachRogue()
	var err error
	if r.victim, err = a.open(way{}, connectMethod, bearer(a.signer.good("victim"))...); err != nil {
		a.t.Fatal(err)
	}
	r.victim.message(hello("rogue"))
	r.awaitOpen(a)
	return r
}

func (a *arm) attachRogue() *rogue {
	cert := a.ca.Issue(nil, "spiffe://test/rogue")
	st, err := a.open(way{cert: &cert}, attachMethod)
	if err != nil {
		a.t.Fatal(err)
	}
	r := &rogue{stream: st}
	r.message(&holdfastv1.AttachRequest{Handshake: handshakeOf("rogue-1", "rogue")})
	if r.receive(a).GetHandshake() == nil {
		a.t.Fatal("the handshake has no answer")
	}
	return r
}

// awaitOpen waits for the client that comes.
func (r *rogue) awaitOpen(a *arm) {
	for r.open == nil {
		for _, f := range r.receive(a).GetFrames() {
			if f.GetOpen() != nil {
				r.open = f
			}
		}
	}
}

func (r *rogue) receive(a *arm) *holdfastv1.AttachResponse {
	m, err := r.next()
	if err != nil {
		a.t.Fatalf("a well-behaved rogue is let go: %v", err)
	}
	return m
}

func (r *rogue) next() (*holdfastv1.AttachResponse, error) {
	var b []byte
	m := &holdfastv1.AttachResponse{}
	err := r.RecvMsg(&b)
	if err == nil {
		err = proto.Unmarshal(b, m)
	}
	return m, err
}

// frame is one of the victim's connection.
func (r *rogue) frame(change func(*holdfastv1.Frame)) *holdfastv1.AttachRequest {
	f := &holdfastv1.Frame{ConnectionId: r.open.GetConnectionId(), Epoch: r.open.GetEpoch()}
	change(f)
	return &holdfastv1.AttachRequest{Frames: []*holdfastv1.Frame{f}}
}

func data(seq uint64, payload string) *holdfastv1.Frame_Data {
	return &holdfastv1.Frame_Data{Data: &holdfastv1.ConnectionDataMessage{Seq: seq, Payload: []byte(payload)}}
}

// frameAttacks are attacks by an app server that may attach. Most end the one connection that they are about: its client gets the
// reason, and the server connection goes on.
func frameAttacks() []attack {
	onVictim := func(name, want string, change func(*holdfastv1.Frame)) attack {
		return attack{"frame: " + name, want, func(a *arm) error {
			r := a.rogue()
			r.message(r.frame(change))
			err := r.victim.end()
			r.message(&holdfastv1.AttachRequest{Ping: &holdfastv1.PingMessage{Nonce: 7}})
			for r.receive(a).GetPing().GetNonce() != 7 {
			}
			return err
		}}
	}
	onStream := func(name, want string, bytes func(r *rogue) []byte) attack {
		return attack{"frame: " + name, want, func(a *arm) error {
			r := a.rogue()
			if err := r.send(bytes(r)); err != nil {
				return err
			}
			return r.end()
		}}
	}
	marshal := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			panic(err) // made by this test
		}
		return b
	}
	const isProtocolError = "PROTOCOL_ERROR"
	return []attack{
		onVictim("an epoch of the future", isProtocolError, func(f *holdfastv1.Frame) { f.Epoch += 5; f.Body = data(1, "x") }),
		onVictim("a receipt for what was never sent", isProtocolError, func(f *holdfastv1.Frame) {
			f.Body = &holdfastv1.Frame_Receipt{Receipt: &holdfastv1.ReceiptMessage{ConsumedSeq: 1 << 60}}
		}),
		onVictim("a barrier with no handoff", isProtocolError, func(f *holdfastv1.Frame) {
			f.Body = &holdfastv1.Frame_MigrateWithAck{MigrateWithAck: &holdfastv1.MigrateConnectionWithAckMessage{}}
		}),
		onVictim("the relay's own migration", isProtocolError, func(f *holdfastv1.Frame) {
			f.Body = &holdfastv1.Frame_Migrate{Migrate: &holdfastv1.MigrateConnectionMessage{Mode: holdfastv1.MigrateMode_MIGRATE_MODE_RESUME}}
		}),
		onVictim("the relay's own open", isProtocolError, func(f *holdfastv1.Frame) {
			f.Body = &holdfastv1.Frame_Open{Open: &holdfastv1.OpenConnectionMessage{ClientIngress: "x"}}
		}),
		onVictim("the relay's own ack", isProtocolError, func(f *holdfastv1.Frame) { f.Body = &holdfastv1.Frame_Ack{Ack: &holdfastv1.AckMessage{}} }),
		onVictim("text that is not UTF-8", isProtocolError, func(f *holdfastv1.Frame) {
			f.Body = &holdfastv1.Frame_Data{Data: &holdfastv1.ConnectionDataMessage{Seq: 1, Payload: []byte("\xff"), Text: true}}
		}),
		onVictim("a message over the limit", "MESSAGE_TOO_LARGE", func(f *holdfastv1.Frame) { f.Body = data(1, strings.Repeat("x", 1<<20+1)) }),
		{"frame: a peer that ignores the window", isProtocolError, func(a *arm) error {
			r := a.rogue()
			big := strings.Repeat("x", 200<<10)
			for seq := uint64(1); seq <= 40; seq++ { // 8 MiB into a window of 256 KiB, of a client that reads nothing meanwhile
				r.message(r.frame(func(f *holdfastv1.Frame) { f.Body = data(seq, big) }))
			}
			return r.victim.end()
		}},
		onStream("no connection", "MALFORMED_FRAME", func(r *rogue) []byte {
			return marshal(r.frame(func(f *holdfastv1.Frame) { f.ConnectionId = 0; f.Body = data(1, "x") }))
		}),
		onStream("no body", "MALFORMED_FRAME", func(r *rogue) []byte { return marshal(r.frame(func(*holdfastv1.Frame) {})) }),
		onStream("garbage", "Internal|MALFORMED_FRAME", func(*rogue) []byte { return []byte("\xff\xff\xff\xffgarbage") }),
		onStream("one that is cut off", "Internal|MALFORMED_FRAME", func(r *rogue) []byte {
			b := marshal(r.frame(func(f *holdfastv1.Frame) { f.Body = data(1, "xxxxxxxx") }))
			return b[:len(b)-4]
		}),
		onStream("a length of 2^63", "Internal|MALFORMED_FRAME", func(*rogue) []byte {
			return protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.BytesType), 1<<63)
		}),
		onStream("a varint with no end", "Internal|MALFORMED_FRAME", func(*rogue) []byte {
			return append(protowire.AppendTag(nil, 2, protowire.BytesType), strings.Repeat("\xff", 64)...)
		}),
		onStream("a second handshake", "HANDSHAKE_REPEATED", func(*rogue) []byte {
			return marshal(&holdfastv1.AttachRequest{Handshake: handshakeOf("rogue-1", "rogue")})
		}),
		onStream("a message of 16 MiB", "ResourceExhausted|MESSAGE_TOO_LARGE", func(r *rogue) []byte {
			return marshal(r.frame(func(f *holdfastv1.Frame) { f.Body = data(1, strings.Repeat("x", 16<<20)) }))
		}),
		{"frame: of a connection that nobody has", "closed as UNKNOWN_CONNECTION", func(a *arm) error {
			r := a.rogue()
			const nobody = 0xdead
			r.message(r.frame(func(f *holdfastv1.Frame) { f.ConnectionId = nobody; f.Body = data(1, "x") }))
			for {
				for _, f := range r.receive(a).GetFrames() {
					if f.GetConnectionId() == nobody {
						return refusal("closed as " + strings.TrimPrefix(f.GetClose().GetReason().String(), "CLOSE_REASON_"))
					}
				}
			}
		}},
		{"frame: a migration message a thousand times", isProtocolError, func(a *arm) error {
			r := a.rogue()
			m := r.frame(func(f *holdfastv1.Frame) {
				f.Body = &holdfastv1.Frame_MigrateWithAck{MigrateWithAck: &holdfastv1.MigrateConnectionWithAckMessage{}}
			})
			for range 1000 {
				m.Frames = append(m.Frames, m.GetFrames()[0])
			}
			r.message(m)
			return r.victim.end()
		}},
		{"frame: an app server that falls silent", "SILENT_PEER", func(a *arm) error { return a.rogue().end() }},
	}
}
