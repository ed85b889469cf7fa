package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	pkgwire "github.com/holdfast/holdfast/pkg/wire"
)

// ownConnection is a connection whose streams speak the bench's own codec and have all that waits in one gRPC message: those of
// resumable clients, or of plain ones that take batches. The two differ in numbers, receipts and tokens, and in nothing else.
type ownConnection struct {
	conn      *grpc.ClientConn
	resumable bool
}

// dialResumable makes connections for resumable clients, dialOwnBatch for plain ones that take batches.
func dialResumable(address string, _ int) (connection, error) { return dialOwn(address, true) }

func dialOwnBatch(address string, _ int) (connection, error) { return dialOwn(address, false) }

func dialOwn(address string, resumable bool) (*ownConnection, error) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(pkgwire.Codec{})))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return &ownConnection{conn, resumable}, nil
}

func (c *ownConnection) close() { _ = c.conn.Close() }

func (c *ownConnection) open(ctx context.Context) (wire, error) {
	return c.hello(ctx, &holdfastv1.Hello{Batches: !c.resumable, Resumable: c.resumable})
}

// hello opens a stream and says hello on it.
func (c *ownConnection) hello(ctx context.Context, hello *holdfastv1.Hello) (*ownWire, error) {
	stream, err := holdfastv1.NewClientConnectionServiceClient(c.conn).Connect(ctx)
	if err != nil {
		return nil, err
	}
	w := &ownWire{stream: stream, resumable: c.resumable}
	if err := stream.SendMsg(&ownRequest{hello: hello}); err != nil && !errors.Is(err, io.EOF) { // io.EOF: the Welcome's place tells why
		return nil, fmt.Errorf("say hello: %w", err)
	}
	return w, nil
}

// ownWire is one stream of an ownConnection.
type ownWire struct {
	stream    grpc.ClientStream
	resumable bool
	// welcome is set by the first send, or before it.
	welcome *holdfastv1.Welcome

	// Owned by the sender.
	request ownRequest
	sent    uint64 // the number of the last message

	// Owned by the receiver.
	response ownResponse
	// came is how many messages came, and alone how many responses had a receipt and no message. The receiver writes them.
	came, alone atomic.Uint64
}

// greet waits for the Welcome. The first message of a resumable client says that it was taken.
func (w *ownWire) greet() error {
	if err := w.stream.RecvMsg(&w.response); err != nil {
		return err
	}
	if w.response.welcome == nil {
		return errNoWelcome
	}
	w.welcome, w.request.welcomed = w.response.welcome, w.resumable
	return nil
}

func (w *ownWire) send(messages [][]byte) error {
	if w.welcome == nil {
		if err := w.greet(); err != nil {
			return err
		}
	}
	w.request.messages = messages
	if w.resumable {
		w.request.first, w.request.consumed = w.sent+1, w.came.Load()
	}
	w.sent += uint64(len(messages))
	err := w.stream.SendMsg(&w.request)
	w.request = ownRequest{}
	return err
}

func (w *ownWire) receive() ([][]byte, error) {
	for {
		if err := w.stream.RecvMsg(&w.response); err != nil {
			return nil, err
		}
		switch came, n := w.came.Load(), uint64(len(w.response.messages)); {
		case n == 0 && w.response.consumed == 0:
			return nil, fmt.Errorf("%w: a response is empty", errCorrupted)
		case n == 0:
			w.alone.Add(1)
		case w.resumable && w.response.first > came+1:
			return nil, fmt.Errorf("%w: message %d came after message %d", errLost, w.response.first, came)
		case w.resumable && w.response.first < came+1:
			return nil, fmt.Errorf("%w: message %d came after message %d", errDoubled, w.response.first, came)
		default:
			w.came.Store(came + n)
			return w.response.messages, nil
		}
	}
}

// closeSend says that nothing more will be sent. The end of a resumable client's stream says nothing of its connection: it sends a
// close, and the relay ends the stream when the application has taken that.
func (w *ownWire) closeSend() error {
	if !w.resumable {
		return w.stream.CloseSend()
	}
	w.request.closing = true
	w.request.first, w.request.consumed = w.sent+1, w.came.Load()
	w.sent++
	return w.stream.SendMsg(&w.request)
}

// receiptsAlone returns how many responses had a receipt and no message. The fleet has ended.
func (f *fleet) receiptsAlone() (n uint64) {
	for _, l := range f.lanes {
		if w, ok := l.wire.(*ownWire); ok {
			n += w.alone.Load()
		}
	}
	return n
}
