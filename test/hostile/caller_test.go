package hostile_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// link is what a resumable client's requests and responses go by. Bytes go as they are.
type link interface {
	send(b []byte) error
	receive() ([]byte, error)
	leave()
}

// transport is a way to the relay for resumable clients.
type transport struct {
	name string
	// dial opens a link with the token of a client. An attack that has dialled a hundred times does not pay for a hundred handshakes.
	dial func(a *arm, token string) (link, error)
}

var transports = []transport{{"gRPC", (*arm).overGRPC}, {"WebSocket", (*arm).overWebSocket}}

type grpcLink struct {
	*stream
}

func (l grpcLink) receive() (b []byte, err error) {
	err = l.RecvMsg(&b)
	return b, err
}

func (l grpcLink) leave() { l.cancel() }

func (a *arm) overGRPC(token string) (link, error) {
	if a.conn == nil {
		a.conn = a.dial(way{})
	}
	st, err := a.openOn(a.conn, connectMethod, bearer(token)...)
	if err != nil {
		return nil, err
	}
	return grpcLink{st}, nil
}

type socketLink struct {
	a    *arm
	conn *websocket.Conn
}

func (l socketLink) send(b []byte) error { return l.conn.Write(l.a.ctx, websocket.MessageBinary, b) }

func (l socketLink) receive() ([]byte, error) {
	_, b, err := l.conn.Read(l.a.ctx)
	if closed := new(websocket.CloseError); errors.As(err, closed) {
		reason, _, typed := strings.Cut(closed.Reason, ":")
		switch {
		case closed.Code == websocket.StatusNormalClosure:
			return nil, io.EOF
		case closed.Code == websocket.StatusMessageTooBig: // which says it all
			reason = "MESSAGE_TOO_LARGE"
		case !typed:
			reason = closed.Code.String()
		}
		return nil, refusal(reason)
	}
	return b, err
}

func (l socketLink) leave() { _ = l.conn.CloseNow() }

func (a *arm) overWebSocket(token string) (link, error) {
	if a.web == nil {
		a.web = &http.Client{Transport: &http.Transport{TLSClientConfig: a.tls()}}
		a.after(a.web.CloseIdleConnections)
	}
	offers := []string{"holdfast.v1", "bearer." + token}
	conn, _, err := websocket.Dial(a.ctx, "wss://"+a.sockets, &websocket.DialOptions{HTTPClient: a.web, Subprotocols: offers})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(2 << 20)
	a.after(func() { _ = conn.CloseNow() })
	return socketLink{a, conn}, nil
}

// caller is a resumable client of which the test plays every part.
type caller struct {
	link
	a       *arm
	over    transport
	subject string
	// welcome is the last one, token the last that came.
	welcome *holdfastv1.Welcome
	token   string
	// said is the last message that it sent, heard the last that it got: the echoes of those from 1 on.
	said, heard uint64
}

// call says hello, and returns the caller when there is a welcome.
func (a *arm) call(over transport, subject string, hello *holdfastv1.Hello) (*caller, error) {
	l, err := over.dial(a, a.signer.good(subject))
	if err != nil {
		return nil, err
	}
	c := &caller{link: l, a: a, over: over, subject: subject}
	c.request(&holdfastv1.ConnectRequest{Hello: hello})
	m, err := c.response()
	if err != nil {
		c.leave()
		return nil, err
	}
	if c.welcome = m.GetWelcome(); c.welcome == nil {
		return nil, fmt.Errorf("%v came before the welcome", m)
	}
	c.token = c.welcome.GetResumeToken()
	c.request(&holdfastv1.ConnectRequest{Welcomed: true})
	return c, nil
}

// owner opens a connection to the echo and speaks once.
func (a *arm) owner(over transport) *caller {
	a.t.Helper()
	c, err := a.call(over, "owner of "+over.name+" "+a.t.Name()[strings.LastIndexByte(a.t.Name(), '/')+1:], &holdfastv1.Hello{
		Application: "echo", Resumable: true,
	})
	if err != nil {
		a.t.Fatalf("an owner is not let in: %v", err)
	}
	c.speak()
	return c
}

// resume comes anew with the token, as the subject or, when that is empty, as the owner.
func (c *caller) resume(token, subject string, received, consumed uint64) (*caller, error) {
	next, err := c.a.call(c.over, cmp.Or(subject, c.subject), &holdfastv1.Hello{
		Resume: &holdfastv1.ResumeRequest{Token: token, ReceivedSeq: received, ConsumedSeq: consumed},
	})
	if err == nil {
		next.said, next.heard = c.said, c.heard
	}
	return next, err
}

// request sends a request. An error is not looked at: the end of the stream says why.
func (c *caller) request(m *holdfastv1.ConnectRequest) {
	if b, err := proto.Marshal(m); err == nil {
		_ = c.send(b)
	}
}

func (c *caller) response() (*holdfastv1.ConnectResponse, error) {
	b, err := c.receive()
	m := &holdfastv1.ConnectResponse{}
	if err == nil {
		err = proto.Unmarshal(b, m)
	}
	return m, err
}

// end reads to the end and returns how it ended.
func (c *caller) end() error {
	for {
		if _, err := c.receive(); err != nil {
			return err
		}
	}
}

func numbered(seq uint64) *holdfastv1.ConnectRequest {
	return &holdfastv1.ConnectRequest{FirstSeq: seq, Content: &holdfastv1.ConnectRequest_Text{Text: fmt.Sprint("number ", seq)}}
}

// say sends the next message.
func (c *caller) say() {
	c.said++
	c.request(numbered(c.said))
}

// hear reads, and checks, until it has the echo of the message.
func (c *caller) hear(through uint64) error {
	for c.heard < through {
		m, err := c.response()
		if err != nil {
			return err
		}
		texts := make([]string, 0, 1+len(m.GetMessages()))
		if m.GetContent() != nil {
			texts = append(texts, m.GetText())
		}
		for _, item := range m.GetMessages() {
			texts = append(texts, item.GetText())
		}
		for i, s := range texts {
			seq := m.GetFirstSeq() + uint64(i)
			if want := fmt.Sprint("number ", seq); s != want || seq > c.heard+1 {
				return fmt.Errorf("message %d is %q after message %d", seq, s, c.heard)
			}
			c.heard = max(c.heard, seq)
		}
	}
	return nil
}

// speak says something and hears the echo.
func (c *caller) speak() {
	c.a.t.Helper()
	c.say()
	if err := c.hear(c.said); err != nil {
		c.a.t.Fatalf("a client of good standing has lost something: %v", err)
	}
}

// mustResume is resume by the owner, which is let in and has lost nothing.
func (c *caller) mustResume() *caller {
	c.a.t.Helper()
	next, err := c.resume(c.token, "", c.heard, 0)
	if err != nil {
		c.a.t.Fatalf("the owner may not come anew: %v", err)
	}
	next.speak()
	return next
}
