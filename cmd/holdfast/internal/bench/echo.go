package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// ServeEcho serves a bare echo server, as any user of grpc-go would write it, until ctx is done.
func ServeEcho(ctx context.Context, listen string) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", listen, err)
	}
	server := grpc.NewServer()
	holdfastv1.RegisterClientConnectionServiceServer(server, echoServer{})
	defer context.AfterFunc(ctx, server.Stop)()
	return server.Serve(listener)
}

type echoServer struct {
	holdfastv1.UnimplementedClientConnectionServiceServer
}

// Connect sends back each message that comes, one for one.
func (echoServer) Connect(stream holdfastv1.ClientConnectionService_ConnectServer) error {
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		response := &holdfastv1.ConnectResponse{}
		switch content := request.GetContent().(type) {
		case *holdfastv1.ConnectRequest_Text:
			response.Content = &holdfastv1.ConnectResponse_Text{Text: content.Text}
		case *holdfastv1.ConnectRequest_Binary:
			response.Content = &holdfastv1.ConnectResponse_Binary{Binary: content.Binary}
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}
