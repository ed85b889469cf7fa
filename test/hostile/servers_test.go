package hostile_test

import (
	"crypto/x509"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/tlsfiles/tlstest"
	"github.com/holdfast/holdfast/pkg/wire"
)

func handshakeOf(serverID, application string) *holdfastv1.HandshakeRequestMessage {
	return &holdfastv1.HandshakeRequestMessage{
		ProtocolVersion: wire.ProtocolVersion, ServerId: serverID, InstanceId: "i-" + wire.FormatID(wire.NewID()),
		ProcessNonce: wire.NewID(), Application: application,
	}
}

// attach attaches and returns what that ended with.
func (a *arm) attach(w way, h *holdfastv1.HandshakeRequestMessage, headers ...string) error {
	st, err := a.open(w, attachMethod, headers...)
	if err != nil {
		return err
	}
	st.message(&holdfastv1.AttachRequest{Handshake: h})
	return st.end()
}

// serverAttacks are attacks on who app servers are.
func serverAttacks(st *stage) []attack {
	issue := func(change func(*x509.Certificate), names ...string) *tlstest.Certificate {
		c := st.ca.Issue(change, names...)
		return &c
	}
	past := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	future := func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour / 2) }
	common := func(name string) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.Subject.CommonName = name }
	}
	forServers := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	stranger := tlstest.New(st.t).Issue(nil, "spiffe://test/app")
	attach := func(name, want string, w way, serverID, application string, headers ...string) attack {
		return attack{"app server: " + name, want, func(a *arm) error { return a.attach(w, handshakeOf(serverID, application), headers...) }}
	}
	rogue := way{cert: issue(nil, "spiffe://test/rogue")}
	identity := []string{"x-holdfast-identity", "spiffe://test/app"}
	return []attack{
		attach("no certificate", "UNAUTHENTICATED", way{}, "app-1", "echo"),
		attach("the token of a client for a certificate", "UNAUTHENTICATED", way{}, "app-1", "echo", bearer(st.signer.good("app-1"))...),
		attach("the token of operators for a certificate", "UNAUTHENTICATED", way{}, "app-1", "echo", bearer(adminToken)...),
		attach("a certificate of another authority", "Unavailable", way{cert: &stranger}, "app-1", "echo"),
		attach("an expired certificate", "Unavailable", way{cert: issue(past, "spiffe://test/app")}, "app-1", "echo"),
		attach("a certificate that is not good yet", "Unavailable", way{cert: issue(future, "spiffe://test/app")}, "app-1", "echo"),
		attach("a certificate for servers alone", "Unavailable", way{cert: issue(forServers, "spiffe://test/app")}, "app-1", "echo"),
		attach("the server_id of another", "PERMISSION_DENIED", rogue, "app-1", "rogue"),
		attach("the application of another", "PERMISSION_DENIED", rogue, "rogue-1", "echo"),
		attach("an identity that nobody knows", "PERMISSION_DENIED", way{cert: issue(nil, "spiffe://test/nobody")}, "app-1", "echo"),
		attach("a common name beside the names that count", "PERMISSION_DENIED",
			way{cert: issue(common("spiffe://test/app"), "other.test")}, "app-1", "echo"),
		attach("a pattern for a server_id", "PERMISSION_DENIED", rogue, "*", "rogue"),
		attach("a spoofed identity from a network that is not trusted", "UNAUTHENTICATED", way{abroad: true}, "app-1", "echo", identity...),
		attach("two identities", "UNAUTHENTICATED", way{}, "app-1", "echo", append(identity, identity...)...),
		attach("an identity from a trusted network that may not vouch", "UNAUTHENTICATED", way{}, "app-1", "echo", identity...),
		attach("the certificate of an ingress for its own", "UNAUTHENTICATED", way{cert: issue(nil, "spiffe://test/app")}, "app-1", "echo",
			"x-ingress-id", "some-ingress"),
		attach("an unknown application", "PERMISSION_DENIED|UNKNOWN_APPLICATION", rogue, "rogue-1", "nope"),
	}
}

// handshakeAttacks are attacks on the handshake, by an app server that may attach.
func handshakeAttacks(st *stage) []attack {
	cert := st.ca.Issue(nil, "spiffe://test/rogue")
	changed := func(name, want string, change func(*holdfastv1.HandshakeRequestMessage)) attack {
		return attack{"handshake: " + name, want, func(a *arm) error {
			h := handshakeOf("rogue-1", "rogue")
			change(h)
			return a.attach(way{cert: &cert}, h)
		}}
	}
	first := func(name, want string, all ...proto.Message) attack {
		return attack{"handshake: " + name, want, func(a *arm) error {
			s, err := a.open(way{cert: &cert}, attachMethod)
			if err != nil {
				return err
			}
			s.message(all...)
			return s.end()
		}}
	}
	h := &holdfastv1.AttachRequest{Handshake: handshakeOf("rogue-1", "rogue")}
	return []attack{
		first("frames before it", "HANDSHAKE_REQUIRED", &holdfastv1.AttachRequest{Frames: []*holdfastv1.Frame{{ConnectionId: 1}}}),
		first("a ping before it", "HANDSHAKE_REQUIRED", &holdfastv1.AttachRequest{Ping: &holdfastv1.PingMessage{}}),
		first("twice", "HANDSHAKE_REPEATED", h, h),
		first("nothing at all", "HANDSHAKE_TIMEOUT"),
		changed("an unknown version", "UNSUPPORTED_VERSION", func(h *holdfastv1.HandshakeRequestMessage) { h.ProtocolVersion = 99 }),
		changed("a capability of a megabyte", "UNSUPPORTED_CAPABILITY", func(h *holdfastv1.HandshakeRequestMessage) {
			h.Capabilities = []string{strings.Repeat("x", 1<<20)}
		}),
		changed("an unknown capability", "UNSUPPORTED_CAPABILITY", func(h *holdfastv1.HandshakeRequestMessage) { h.Capabilities = []string{"x"} }),
		changed("no server_id", "INVALID_FIELD", func(h *holdfastv1.HandshakeRequestMessage) { h.ServerId = "" }),
		changed("no instance_id", "INVALID_FIELD", func(h *holdfastv1.HandshakeRequestMessage) { h.InstanceId = "" }),
		changed("no process_nonce", "INVALID_FIELD", func(h *holdfastv1.HandshakeRequestMessage) { h.ProcessNonce = 0 }),
		changed("a heartbeat a nanosecond", "INVALID_FIELD", func(h *holdfastv1.HandshakeRequestMessage) { h.HeartbeatInterval = durationpb.New(1) }),
		changed("a server_id of a megabyte", "INVALID_FIELD|PERMISSION_DENIED|MESSAGE_TOO_LARGE", func(h *holdfastv1.HandshakeRequestMessage) {
			h.ServerId = "rogue-" + strings.Repeat("x", 1<<20)
		}),
		changed("a server_id with a line break", "INVALID_FIELD", func(h *holdfastv1.HandshakeRequestMessage) { h.ServerId = "rogue-1\nlevel=ERROR" }),
	}
}
