package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
	"github.com/holdfast/holdfast/pkg/gcfloor"
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

// ServeApp runs an app server whose application is the same echo, until ctx is done. It has the floor of the heap that the
// sample app server has.
func ServeApp(ctx context.Context, relays []string) error {
	gcfloor.Set(gcfloor.Default)
	server, err := appserver.New(appserver.Config{
		Relays: relays, Application: "echo", ShutdownGrace: -1, Handler: appserver.HandlerFunc(echo),
	})
	if err != nil {
		return err
	}
	return server.Run(ctx)
}

func echo(ctx context.Context, c *appserver.Connection) error {
	for {
		m, err := c.Receive(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = c.Send(ctx, m)
		}
		if err != nil {
			return err
		}
	}
}
