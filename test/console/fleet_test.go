package console_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

const (
	// streamsPerConnection is how many clients share a TCP connection, atOnce how many of those connect at a time.
	streamsPerConnection = 200
	atOnce               = 8
)

// connectClients connects idle clients, half of them through each ingress, and returns the ids of their logical connections.
// Each says through which ingress it comes, as an ingress would; the relay believes the loopback.
func (s *system) connectClients(n int) (ids []string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(cancel)
	ids = make([]string, n)
	var connecting sync.WaitGroup
	places := make(chan struct{}, atOnce)
	problems := make(chan error, n/streamsPerConnection+1)
	for first := 0; first < n; first += streamsPerConnection {
		cc, err := grpc.NewClient("passthrough:///"+s.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = cc.Close() })
		mine := ids[first:min(first+streamsPerConnection, n)]
		places <- struct{}{}
		connecting.Go(func() {
			defer func() { <-places }()
			if err := connect(ctx, cc, mine); err != nil {
				problems <- err
			}
		})
	}
	connecting.Wait()
	close(problems)
	for err := range problems {
		s.t.Fatalf("connecting clients: %v", err)
	}
	return ids
}

// connect opens a stream for each id and fills them in.
func connect(ctx context.Context, cc *grpc.ClientConn, ids []string) error {
	client := holdfastv1.NewClientConnectionServiceClient(cc)
	streams := make([]holdfastv1.ClientConnectionService_ConnectClient, len(ids))
	for i := range streams {
		ingress := string("ab"[i%2])
		stream, err := client.Connect(metadata.AppendToOutgoingContext(ctx, "x-ingress-id", ingress))
		if err != nil {
			return err
		}
		if err := stream.Send(&holdfastv1.ConnectRequest{Hello: &holdfastv1.Hello{}}); err != nil {
			return err
		}
		streams[i] = stream
	}
	for i, stream := range streams {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if ids[i] = m.GetWelcome().GetConnectionId(); ids[i] == "" {
			return fmt.Errorf("the first message is no welcome: %v", m)
		}
	}
	return nil
}

// withApp is a system with an app server and clients.
func withApp(t *testing.T, clients int, flags ...string) (*system, []string) {
	t.Helper()
	s := newSystem(t, flags...)
	s.startAppServer("app-1")
	s.waitServers(2)
	return s, s.connectClients(clients)
}
