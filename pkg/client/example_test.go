package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/holdfast/holdfast/pkg/client"
)

func ExampleDial() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := client.Dial(ctx, client.Config{
		Addresses:   []string{"ingress-a.example:443", "ingress-b.example:443"},
		Application: "chat",
		DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(nil))},
		Token:       func(context.Context) (string, error) { return "a JSON Web Token", nil },
		Events: func(e client.Event) {
			switch e := e.(type) {
			case client.Reconnecting:
				fmt.Println("reconnecting:", e.Why)
			case client.Recovered:
				fmt.Println("recovered through", e.Ingress, "after", e.Interrupted)
			case client.Lost:
				fmt.Println("lost:", e.Err.Reason)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := conn.Send(ctx, client.Message{Payload: []byte("hello"), Text: true}); err != nil {
		log.Fatal(err)
	}
	for {
		m, err := conn.Receive(ctx)
		if lost := new(client.CloseError); errors.As(err, &lost) {
			log.Fatal(lost.Reason)
		}
		if err == io.EOF {
			return // the application has closed
		}
		if err != nil {
			log.Fatal(err, conn.Close(ctx))
		}
		fmt.Printf("%s\n", m.Payload)
	}
}

// Many connections of one process share their transports.
func ExampleNewDialer() {
	dialer, err := client.NewDialer(client.MaxStreamsPerTransport)
	if err != nil {
		log.Fatal(err)
	}
	for range 1000 {
		conn, err := client.Dial(context.Background(), client.Config{
			Addresses: []string{"ingress-a.example:8080", "ingress-b.example:8080"}, Application: "chat", Dialer: dialer,
		})
		if err != nil {
			log.Fatal(err)
		}
		defer func() { _ = conn.Close(context.Background()) }()
	}
}
