// Package client is the library for resumable clients of Holdfast. A Connection goes on while the ingress that it came in through is
// reloaded, the network breaks, and relays come and go: each direction is delivered in order and exactly once, and its user notices
// nothing but a pause, if even that.
//
//	conn, err := client.Dial(ctx, client.Config{
//		Addresses:   []string{"ingress-a:8080", "ingress-b:8080"}, // two ways in, so that one may go
//		Application: "echo",
//	})
//	if err != nil {
//		return err
//	}
//	defer conn.Close(ctx)
//	if err := conn.Send(ctx, client.Message{Payload: []byte("hello"), Text: true}); err != nil {
//		return err
//	}
//	m, err := conn.Receive(ctx)
//
// # What is promised
//
// A message that Send has accepted is delivered to the application once, after those before it, or the connection ends with a
// *CloseError, or Close with an error, that says so. What Receive returns has been delivered once, after what it returned
// before. A message counts as consumed when the application has taken it; only then is it let go of at the other end, so that what
// is on its way survives the loss of everything between the two ends. What is not consumed is bounded by the window that the relay
// gives, in bytes for each direction: a full one blocks Send, and one that Receive does not empty blocks the application's Send.
//
// # How it moves
//
// When the relay asks for it (it shuts down, or an ingress is about to be reloaded), or the transport says that it is about to go
// (GOAWAY: then within 0.5 s, at random), the connection dials another address, one that led through another ingress if there is one,
// resumes there, and lets go of the old stream only when the new one carries it. When a stream breaks it is resumed likewise, by any relay
// that shares its keys with the first. Addresses that cannot be reached are passed over at once; when all have been tried, or a relay
// refuses, there are pauses (Config.MinBackoff, Config.MaxBackoff). A connection that is without a stream for too long
// (Config.GiveUpAfter) is lost, as is one that a relay refuses for good. Config.Events is told of all that.
//
// # Idle connections
//
// A transport that says nothing for 20 s is pinged and given up when no answer comes within 10 s, so that one that died in
// silence is noticed. The ping is HTTP/2's and asks the ingress; grpc.WithKeepaliveParams among the dial options changes that.
// Nothing is sent on an idle stream itself: an ingress that cuts silent streams (nginx does after 60 s by its defaults, the
// configurations in deploy/ after an hour) makes the client resume, and nothing is lost.
package client
