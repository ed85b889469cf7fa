package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"

	"github.com/holdfast/holdfast/cmd/holdfast/internal/admin"
	"github.com/holdfast/holdfast/cmd/holdfast/internal/progress"
)

const (
	announceWait     = 10 * time.Second
	announceDeadline = 2 * time.Minute
	// tellEvery is how often the progress of a reload is told.
	tellEvery = time.Second
)

// observer asks one relay, and tells its events.
type observer struct {
	relay    string // its id
	print    *printer
	admin    *admin.Client
	narrator *narrator

	// Set by watch.
	cancel    context.CancelFunc
	watched   <-chan error
	narrating sync.WaitGroup
}

// observe begins to tell the events of the relay, once every app server is attached to it. The observer has to be stopped.
func (s *show) observe(ctx context.Context, r *relay) (*observer, error) {
	client, err := admin.Dial(admin.Target{Address: r.admin})
	if err != nil {
		return nil, err
	}
	o := &observer{relay: r.id, print: s.print, admin: client, narrator: newNarrator(r.id, s.print, s.ledger, s.fleets.groupOf)}
	err = s.stage.attached(ctx, r.id, client)
	if err == nil {
		err = o.learnServers(ctx)
	}
	if err == nil {
		err = o.watch(ctx)
	}
	if err != nil {
		_ = client.Close()
		return nil, err
	}
	return o, nil
}

// learnServers learns how the server connections are called.
func (o *observer) learnServers(ctx context.Context) error {
	all, err := o.serverConnections(ctx, "")
	for id, c := range all {
		o.narrator.servers[id] = c.GetServerId() + " through " + c.GetIngress()
	}
	return err
}

// watch begins to tell events.
func (o *observer) watch(ctx context.Context) error {
	// Events are told to the end, also when the demo is interrupted.
	watching, cancel := context.WithCancel(context.WithoutCancel(ctx))
	events := make(chan *holdfastv1.WatchEventsResponse, 256)
	o.narrating.Go(func() { o.narrator.run(events) })
	var err error
	if o.watched, err = watch(watching, o.admin, events); err != nil {
		cancel()
		o.narrating.Wait()
		return fmt.Errorf("%s: %w", o.relay, err)
	}
	o.cancel = cancel
	return nil
}

// stop ends the telling. It returns why that ended before, if it did.
func (o *observer) stop() error {
	o.cancel()
	err := <-o.watched
	o.narrating.Wait()
	if closed := o.admin.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("%s: %w", o.relay, err)
	}
	return nil
}

// serverConnections returns the server connections through an ingress, or through all, by their ids.
func (o *observer) serverConnections(ctx context.Context, ingress string) (map[string]*holdfastv1.ServerConnection, error) {
	response, err := o.admin.ListServerConnections(ctx, &holdfastv1.ListServerConnectionsRequest{Application: application, Ingress: ingress})
	if err != nil {
		return nil, o.admin.Explain(err)
	}
	all := map[string]*holdfastv1.ServerConnection{}
	for _, c := range response.GetServerConnections() {
		all[c.GetServerConnectionId()] = c
	}
	return all, nil
}

// announce has the relay move the logical connections off the ingress. It returns how the relay ended that.
func (o *observer) announce(ctx context.Context, ingress string) (*holdfastv1.ReloadIngressResponse, error) {
	stream, err := o.admin.ReloadIngress(ctx, &holdfastv1.ReloadIngressRequest{
		Ingress: ingress, Wait: durationpb.New(announceWait), Deadline: durationpb.New(announceDeadline),
	})
	if err != nil {
		return nil, o.admin.Explain(err)
	}
	var told time.Time
	for {
		p, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("ingress %s: %s ended the answer to the reload too early", ingress, o.relay)
		}
		if err != nil {
			return nil, o.admin.Explain(err)
		}
		if now := time.Now(); p.GetDone() || now.Sub(told) >= tellEvery {
			o.print.say("%s: reload announced: %s", o.relay, progress.Line(p))
			told = now
		}
		if p.GetDone() {
			return p, nil
		}
	}
}

// complete returns the ingress to service.
func (o *observer) complete(ctx context.Context, ingress string) error {
	_, err := o.admin.CompleteReload(ctx, &holdfastv1.CompleteReloadRequest{Ingress: ingress})
	if err != nil {
		return o.admin.Explain(err)
	}
	return nil
}
