package hostile_test

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// clientAttacks are attacks by a client that may come in.
func clientAttacks() []attack {
	sends := func(name, want string, m *holdfastv1.ConnectRequest) attack {
		return attack{"client: " + name, want, func(a *arm) error { return a.client(m) }}
	}
	bytes := func(name, want, b string) attack {
		return attack{"client: " + name, want, func(a *arm) error {
			st := a.hold(bearer(a.signer.good("rude")))
			if err := st.send([]byte(b)); err != nil {
				return err
			}
			return st.end()
		}}
	}
	item := func(s string) *holdfastv1.ClientMessage {
		return &holdfastv1.ClientMessage{Content: &holdfastv1.ClientMessage_Text{Text: s}}
	}
	notUTF8 := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), []byte("\xff\xfe"))
	return []attack{
		sends("a second hello", "UNEXPECTED_MESSAGE", hello("echo")),
		sends("nothing in a request", "UNEXPECTED_MESSAGE", &holdfastv1.ConnectRequest{}),
		sends("a hello beside text", "UNEXPECTED_MESSAGE", &holdfastv1.ConnectRequest{
			Hello: &holdfastv1.Hello{}, Content: &holdfastv1.ConnectRequest_Text{Text: "x"},
		}),
		sends("text beside messages", "UNEXPECTED_MESSAGE", &holdfastv1.ConnectRequest{
			Content: &holdfastv1.ConnectRequest_Text{Text: "x"}, Messages: []*holdfastv1.ClientMessage{item("y")},
		}),
		sends("an empty message in a batch", "UNEXPECTED_MESSAGE", &holdfastv1.ConnectRequest{
			Messages: []*holdfastv1.ClientMessage{item("y"), {}},
		}),
		sends("a message over the limit", "MESSAGE_TOO_LARGE", text(strings.Repeat("x", 1<<20+1))),
		sends("a message of 16 MiB", "ResourceExhausted|MESSAGE_TOO_LARGE", text(strings.Repeat("x", 16<<20))),
		bytes("text that is not UTF-8", "Internal|UNEXPECTED_MESSAGE|InvalidArgument", string(notUTF8)),
		bytes("garbage", "Internal|UNEXPECTED_MESSAGE", "\xff\xff\xffgarbage"),
		bytes("a length of 2^63", "Internal|UNEXPECTED_MESSAGE",
			string(protowire.AppendVarint(protowire.AppendTag(nil, 4, protowire.BytesType), 1<<63))),
		{"client: an unknown application", "UNKNOWN_APPLICATION", func(a *arm) error { return a.begin(hello("nope")) }},
		{"client: an application of a megabyte", "UNKNOWN_APPLICATION", func(a *arm) error { return a.begin(hello(strings.Repeat("x", 1<<20))) }},
		{"client: a batch of a quarter of a million empty messages", "Internal", func(a *arm) error {
			st := a.hold(bearer(a.signer.good("rude")))
			if err := st.send([]byte(strings.Repeat("\x22\x02\x0a\x00", 1<<18))); err != nil {
				return err
			}
			return st.end()
		}},
		{"client: an address with a zone, through an ingress", "the relay serves", func(a *arm) error {
			st, err := a.open(way{}, connectMethod, append(bearer(a.signer.good("rude")), "x-ingress-id", "i", "x-forwarded-for", "fe80::1%a zone")...)
			if err != nil {
				return err
			}
			st.message(hello("echo"))
			var m []byte
			if err := st.RecvMsg(&m); err != nil {
				return err
			}
			return a.serves()
		}},
		{"client: an application with a line break", "UNKNOWN_APPLICATION", func(a *arm) error { return a.begin(hello("echo\nlevel=ERROR")) }},
		{"client: silence", "HANDSHAKE_TIMEOUT", func(a *arm) error { return a.begin() }},
		{"client: a flood of messages", "MESSAGE_RATE", func(a *arm) error {
			st := a.hold(bearer(a.signer.good("rude")))
			flood := make(chan struct{})
			go func() {
				defer close(flood)
				for n := range 20 * messageRate {
					if st.send(protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), fmt.Sprintf("count %d", n))) != nil {
						return
					}
				}
			}()
			err := st.end()
			<-flood
			return err
		}},
		{"client: a batch of more messages than a second may have", "MESSAGE_RATE", func(a *arm) error {
			m := &holdfastv1.ConnectRequest{}
			for range messageRate + 1 {
				m.Messages = append(m.Messages, item("x"))
			}
			return a.client(m)
		}},
		{"client: a name for its ingress", "seen as direct", func(a *arm) error {
			return a.seenAs("x-ingress-id", "ingress-of-mine")
		}},
		{"client: a name for its ingress, twice", "seen as direct", func(a *arm) error {
			return a.seenAs("x-ingress-id", "one", "x-ingress-id", "two")
		}},
		{"client: metadata of a megabyte", "Internal|Unavailable|ResourceExhausted", func(a *arm) error {
			return a.connect(append(bearer(a.signer.good("rude")), "x-huge", strings.Repeat("x", 1<<20)))
		}},
		{"client: ten thousand headers", "Internal|Unavailable|ResourceExhausted", func(a *arm) error {
			headers := bearer(a.signer.good("rude"))
			for i := range 10000 {
				headers = append(headers, fmt.Sprintf("x-header-%d", i), "x")
			}
			return a.connect(headers)
		}},
	}
}

// seenAs connects from a network that is not trusted and returns the ingress that the relay takes it to have come through.
func (a *arm) seenAs(headers ...string) error {
	st, err := a.open(way{abroad: true}, connectMethod, append(headers, bearer(a.signer.good("rude"))...)...)
	if err != nil {
		return err
	}
	st.message(hello("echo"))
	var m []byte
	if err := st.RecvMsg(&m); err != nil {
		return err
	}
	welcome := &holdfastv1.ConnectResponse{}
	if err := proto.Unmarshal(m, welcome); err != nil {
		return err
	}
	return refusal("seen as " + welcome.GetWelcome().GetIngress())
}
