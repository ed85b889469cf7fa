package bench

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// streamsPerConnection is how many streams share a TCP connection.
const streamsPerConnection = 100

// wire is one stream as a load sees it. One goroutine may send while another receives.
type wire interface {
	// send sends messages; they are the caller's again when it returns. It returns io.EOF when the stream is over;
	// receive tells why.
	send(messages [][]byte) error
	// receive returns the messages that came next, at least one; they are the caller's until the next receive.
	// It returns io.EOF when the other side ended the stream in good order.
	receive() ([][]byte, error)
	// closeSend says that nothing more will be sent.
	closeSend() error
}

// connection is one TCP connection that streams share.
type connection interface {
	open(ctx context.Context) (wire, error)
	close()
}

// dialer makes a connection to a subject.
type dialer func(address string, inflight int) (connection, error)

// dialPlain makes connections for streams with one message in a gRPC message.
func dialPlain(address string, _ int) (connection, error) { return dialGRPC(address, false) }

// dialBatch makes connections for streams that say hello and have all that waits in one gRPC message.
func dialBatch(address string, _ int) (connection, error) { return dialGRPC(address, true) }

// grpcConnection is a connection with the defaults of grpc-go, as any user has them.
type grpcConnection struct {
	conn  *grpc.ClientConn
	batch bool
}

func dialGRPC(address string, batch bool) (connection, error) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return &grpcConnection{conn, batch}, nil
}

func (c *grpcConnection) close() { _ = c.conn.Close() }

func (c *grpcConnection) open(ctx context.Context) (wire, error) {
	stream, err := holdfastv1.NewClientConnectionServiceClient(c.conn).Connect(ctx)
	if err != nil {
		return nil, err
	}
	plain := &plainWire{stream: stream}
	if !c.batch {
		return plain, nil
	}
	if err := stream.Send(&holdfastv1.ConnectRequest{Hello: &holdfastv1.Hello{Batches: true}}); err != nil {
		return nil, fmt.Errorf("say hello: %w", err)
	}
	return &batchWire{plainWire: plain}, nil
}

// plainWire has one message in each gRPC message.
type plainWire struct {
	stream holdfastv1.ClientConnectionService_ConnectClient

	// Owned by the sender. What was sent is encoded when Send returns, so the same one goes out again and again.
	request holdfastv1.ConnectRequest
	content holdfastv1.ConnectRequest_Binary

	// Owned by the receiver.
	response holdfastv1.ConnectResponse
	came     [][]byte
}

func (w *plainWire) send(messages [][]byte) error {
	for _, m := range messages {
		w.content.Binary, w.request.Content = m, &w.content
		if err := w.stream.Send(&w.request); err != nil {
			return err
		}
	}
	return nil
}

func (w *plainWire) receive() ([][]byte, error) {
	if err := w.stream.RecvMsg(&w.response); err != nil {
		return nil, err
	}
	content, ok := w.response.GetContent().(*holdfastv1.ConnectResponse_Binary)
	if !ok {
		return nil, fmt.Errorf("%w: a response has %T", errCorrupted, w.response.GetContent())
	}
	w.came = append(w.came[:0], content.Binary)
	return w.came, nil
}

func (w *plainWire) closeSend() error { return w.stream.CloseSend() }

var errNoWelcome = errors.New("the first response is no welcome")

// batchWire has all messages that wait in one gRPC message.
type batchWire struct {
	*plainWire
	// Owned by the sender; reused as in plainWire.
	batch    holdfastv1.ConnectRequest
	messages []*holdfastv1.ClientMessage
	// welcomed is owned by the receiver.
	welcomed bool
}

func (w *batchWire) send(messages [][]byte) error {
	if len(messages) == 1 {
		return w.plainWire.send(messages)
	}
	for len(w.messages) < len(messages) {
		w.messages = append(w.messages, &holdfastv1.ClientMessage{Content: &holdfastv1.ClientMessage_Binary{}})
	}
	for i, m := range messages {
		w.messages[i].Content.(*holdfastv1.ClientMessage_Binary).Binary = m
	}
	w.batch.Messages = w.messages[:len(messages)]
	return w.stream.Send(&w.batch)
}

func (w *batchWire) receive() ([][]byte, error) {
	if !w.welcomed {
		first, err := w.stream.Recv()
		if err != nil {
			return nil, err
		}
		if first.GetWelcome() == nil {
			return nil, errNoWelcome
		}
		w.welcomed = true
	}
	if err := w.stream.RecvMsg(&w.response); err != nil {
		return nil, err
	}
	if w.response.GetContent() != nil {
		w.came = append(w.came[:0], w.response.GetBinary())
		return w.came, nil
	}
	w.came = w.came[:0]
	for _, m := range w.response.GetMessages() {
		w.came = append(w.came, m.GetBinary())
	}
	if len(w.came) == 0 {
		return nil, fmt.Errorf("%w: a response is empty", errCorrupted)
	}
	return w.came, nil
}
