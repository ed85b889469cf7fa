package traffic

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"

	resumable "github.com/holdfast/holdfast/pkg/client"
)

// message is one message, either way: binary, or text when binary is nil.
type message struct {
	text   string
	binary []byte
}

// link is what carries a session: a stream, or a connection that moves from one to the next.
type link interface {
	// id names the logical connection.
	id() string
	// ingress is the one that the client comes in through now; empty while it has none.
	ingress() string
	send(ctx context.Context, m message) error
	// receive appends what came to the messages. Its error is io.EOF when the application has closed the connection.
	receive(ctx context.Context, all []message) ([]message, error)
	closeSend(ctx context.Context) error
	// close lets go, at once when the context is over.
	close(ctx context.Context)
}

// dialOptions are those of every client.
func (c *Config) dialOptions() []grpc.DialOption {
	return append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, c.DialOptions...)
}

// plain is the stream of a plain client.
type plain struct {
	conn    *grpc.ClientConn
	stream  holdfastv1.ClientConnectionService_ConnectClient
	welcome *holdfastv1.Welcome
}

// openPlain connects, in the context that the stream lives in, and says hello.
func openPlain(life context.Context, cfg *Config, address string) (link, error) {
	conn, err := grpc.NewClient(address, cfg.dialOptions()...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	p := &plain{conn: conn}
	if err := p.greet(life, cfg.Application); err != nil {
		p.close(life)
		return nil, err
	}
	return p, nil
}

func (p *plain) greet(life context.Context, application string) error {
	stream, err := holdfastv1.NewClientConnectionServiceClient(p.conn).Connect(life)
	if err != nil {
		return err
	}
	p.stream = stream
	hello := &holdfastv1.Hello{Application: application, Batches: true}
	if err := stream.Send(&holdfastv1.ConnectRequest{Hello: hello}); err != nil {
		_, err = stream.Recv() // Has the status that Send does not tell.
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if p.welcome = first.GetWelcome(); p.welcome == nil {
		return errNoWelcome
	}
	return nil
}

func (p *plain) id() string      { return p.welcome.GetConnectionId() }
func (p *plain) ingress() string { return p.welcome.GetIngress() }

func (p *plain) send(_ context.Context, m message) error {
	if m.binary != nil {
		return p.stream.Send(&holdfastv1.ConnectRequest{Content: &holdfastv1.ConnectRequest_Binary{Binary: m.binary}})
	}
	return p.stream.Send(&holdfastv1.ConnectRequest{Content: &holdfastv1.ConnectRequest_Text{Text: m.text}})
}

func (p *plain) receive(_ context.Context, all []message) ([]message, error) {
	response, err := p.stream.Recv()
	if err != nil {
		return all, err
	}
	switch c := response.GetContent().(type) {
	case *holdfastv1.ConnectResponse_Text:
		all = append(all, message{text: c.Text})
	case *holdfastv1.ConnectResponse_Binary:
		all = append(all, message{binary: c.Binary})
	}
	for _, m := range response.GetMessages() {
		switch c := m.GetContent().(type) {
		case *holdfastv1.ClientMessage_Text:
			all = append(all, message{text: c.Text})
		case *holdfastv1.ClientMessage_Binary:
			all = append(all, message{binary: c.Binary})
		}
	}
	return all, nil
}

func (p *plain) closeSend(context.Context) error { return p.stream.CloseSend() }
func (p *plain) close(context.Context)           { _ = p.conn.Close() }

// moving is the connection of a resumable client.
type moving struct{ *resumable.Connection }

// openResumable connects through any of the addresses. The fleet is told of each move.
func openResumable(ctx context.Context, f *Fleet) (link, error) {
	c, err := resumable.Dial(ctx, resumable.Config{
		Addresses: f.cfg.Addresses, Application: f.cfg.Application, DialOptions: f.cfg.dialOptions(),
		Logger: slog.New(slog.DiscardHandler),
		Events: func(e resumable.Event) {
			if r, ok := e.(resumable.Recovered); ok {
				f.moved(r)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return moving{c}, nil
}

func (m moving) id() string      { return m.ID() }
func (m moving) ingress() string { return m.Ingress() }

func (m moving) send(ctx context.Context, x message) error {
	if x.binary != nil {
		return m.Send(ctx, resumable.Message{Payload: x.binary})
	}
	return m.Send(ctx, resumable.Message{Payload: []byte(x.text), Text: true})
}

func (m moving) receive(ctx context.Context, all []message) ([]message, error) {
	x, err := m.Receive(ctx)
	switch {
	case err != nil:
		return all, err
	case x.Text:
		return append(all, message{text: string(x.Payload)}), nil
	}
	return append(all, message{binary: x.Payload}), nil
}

func (m moving) closeSend(ctx context.Context) error { return m.CloseSend(ctx) }

// lastWord is for how long a connection that is over may take to tell the relay that its end has come.
const lastWord = 2 * time.Second

func (m moving) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastWord)
	defer cancel()
	_ = m.Close(ctx) // How it ended is known already.
}
