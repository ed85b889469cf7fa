package hostile_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/tlsfiles/tlstest"
	"github.com/holdfast/holdfast/pkg/wire"
)

// attack is one thing that an attacker does.
type attack struct {
	name string
	// want is how it is refused: the reason, or the gRPC code where the refusal is grpc's own; several with | between them.
	want string
	do   func(*arm) error
}

// attackTime is for how long an attack may go on.
const attackTime = 20 * time.Second

// arm is what an attacker attacks with. What it opens is closed when the attack is over.
type arm struct {
	*stage
	ctx context.Context

	mu      sync.Mutex
	closers []func() // under mu
	// conn and web are of resumable clients, which share them; nil before there is one.
	conn *grpc.ClientConn
	web  *http.Client
}

func (a *arm) over() {
	for _, c := range a.closers {
		c()
	}
}

// raw passes bytes through that were encoded by hand.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

var _ encoding.CodecV2 = raw{}

// way is how an attacker comes to the relay.
type way struct {
	cert   *tlstest.Certificate
	abroad bool
}

// dial connects to the listener of clients and app servers.
func (a *arm) dial(w way, options ...grpc.DialOption) *grpc.ClientConn {
	config := a.tls()
	if w.cert != nil {
		pair, err := tls.LoadX509KeyPair(w.cert.Cert, w.cert.Key)
		if err != nil {
			a.t.Fatal(err)
		}
		// Whatever the server asks for is shown, as an attacker would.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if w.abroad {
		options = append(options, grpc.WithContextDialer(fromAbroad))
	}
	conn, err := grpc.NewClient("passthrough:///"+a.address, options...)
	if err != nil {
		a.t.Fatal(err)
	}
	a.after(func() { _ = conn.Close() })
	return conn
}

// stream is a stream that takes any bytes.
type stream struct {
	grpc.ClientStream
	cancel context.CancelFunc
}

const (
	connectMethod = "/holdfast.v1.ClientConnectionService/Connect"
	attachMethod  = "/holdfast.v1.ServerConnectionService/Attach"
)

// after has the function called when the attack is over.
func (a *arm) after(end func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closers = append(a.closers, end)
}

// open opens a stream with headers: names and values in turn.
func (a *arm) open(w way, method string, headers ...string) (*stream, error) {
	return a.openOn(a.dial(w), method, headers...)
}

func (a *arm) openOn(conn *grpc.ClientConn, method string, headers ...string) (*stream, error) {
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(a.ctx, headers...))
	a.after(cancel)
	st, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method, grpc.ForceCodecV2(raw{}))
	if err != nil {
		return nil, err
	}
	return &stream{st, cancel}, nil
}

func (s *stream) send(b []byte) error { return s.SendMsg(&b) }

// message sends messages. An error is not looked at: the end of the stream says why.
func (s *stream) message(all ...proto.Message) {
	for _, m := range all {
		b, err := proto.Marshal(m)
		if err != nil || s.send(b) != nil {
			return
		}
	}
}

// end returns what the stream ended with.
func (s *stream) end() error {
	for {
		var b []byte
		if err := s.RecvMsg(&b); err != nil {
			return err
		}
	}
}

func hello(application string) *holdfastv1.ConnectRequest {
	return &holdfastv1.ConnectRequest{Hello: &holdfastv1.Hello{Application: application}}
}

func text(s string) *holdfastv1.ConnectRequest {
	return &holdfastv1.ConnectRequest{Content: &holdfastv1.ConnectRequest_Text{Text: s}}
}

// connect connects as a client with the headers and returns what that ended with.
func (a *arm) connect(headers []string) error { return a.beginWith(headers, hello("echo")) }

// begin begins a stream as a client of good standing with messages, and returns what it ended with.
func (a *arm) begin(messages ...proto.Message) error {
	return a.beginWith(bearer(a.signer.good("rude")), messages...)
}

func (a *arm) beginWith(headers []string, messages ...proto.Message) error {
	st, err := a.open(way{}, connectMethod, headers...)
	if err != nil {
		return err
	}
	st.message(messages...)
	return st.end()
}

// hold connects as a client that is let in, and stays.
func (a *arm) hold(headers []string) *stream {
	st, err := a.open(way{}, connectMethod, headers...)
	if err != nil {
		a.t.Fatal(err)
	}
	st.message(hello("echo"))
	var welcome []byte
	if err := st.RecvMsg(&welcome); err != nil {
		a.t.Fatalf("it is not let in: %v", err)
	}
	return st
}

// client connects as a client of good standing, sends messages, and returns what that ended with.
func (a *arm) client(messages ...proto.Message) error {
	st := a.hold(bearer(a.signer.good("rude")))
	st.message(messages...)
	return st.end()
}

// outcome returns the reason of an error that is ours, else its code.
func outcome(err error) string {
	if err == nil || errors.Is(err, io.EOF) {
		return "none"
	}
	if reason := wire.ErrorReasonOf(err); reason != "" {
		return reason
	}
	var refused refusal
	if errors.As(err, &refused) {
		return string(refused)
	}
	if st, ok := status.FromError(err); ok {
		return st.Code().String()
	}
	return codes.Unknown.String() + ": " + err.Error()
}

// refusal is one that does not come as the status of a gRPC call.
type refusal string

func (r refusal) Error() string { return string(r) }

func authorized(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, bearer(token)...)
}
