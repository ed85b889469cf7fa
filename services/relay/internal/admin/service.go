// Package admin serves operators and the reload hooks of ingresses.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/evacuation"
	"github.com/holdfast/holdfast/services/relay/internal/event"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
	"github.com/holdfast/holdfast/services/relay/internal/placement"
	"github.com/holdfast/holdfast/services/relay/internal/registry"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
)

// Defaults of a reload request.
const (
	defaultWait = 30 * time.Second
	maxDeadline = 24 * time.Hour
)

// Service implements AdminService.
type Service struct {
	holdfastv1.UnimplementedAdminServiceServer
	registry  *registry.Registry
	evacuator *evacuation.Evacuator
	events    *event.Hub
	// deadline is after what time an ingress returns to service by itself, when the request does not say.
	deadline time.Duration
	// level is the least one that is logged.
	level *slog.LevelVar
	// stopping is closed when the relay shuts down, so that watchers do not hold it up.
	stopping <-chan struct{}
}

// New returns the service. Streams that have no end of their own end when stopping is closed.
func New(
	r *registry.Registry, e *evacuation.Evacuator, h *event.Hub, deadline time.Duration, level *slog.LevelVar, stopping <-chan struct{},
) *Service {
	return &Service{registry: r, evacuator: e, events: h, deadline: deadline, level: level, stopping: stopping}
}

// ReloadIngress implements AdminService.
func (s *Service) ReloadIngress(req *holdfastv1.ReloadIngressRequest, st holdfastv1.AdminService_ReloadIngressServer) error {
	wait, err := duration("wait", req.GetWait(), defaultWait)
	if err != nil {
		return err
	}
	deadline, err := duration("deadline", req.GetDeadline(), s.deadline)
	if err != nil {
		return err
	}
	ctx, cancel := s.untilStopping(st.Context())
	defer cancel()
	return s.evacuator.Reload(ctx, req.GetIngress(), wait, deadline, func(p evacuation.Progress) error {
		return st.Send(progressResponse(p))
	})
}

func duration(field string, d *durationpb.Duration, otherwise time.Duration) (time.Duration, error) {
	if d == nil {
		return otherwise, nil
	}
	if v := d.AsDuration(); v > 0 && v <= maxDeadline {
		return v, nil
	}
	return 0, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_INVALID_FIELD,
		"%s is %v; it must be over 0 and at most %v", field, d.AsDuration(), maxDeadline)
}

func (s *Service) untilStopping(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-s.stopping:
			cancel(wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_RELAY_SHUTDOWN, "the relay is shutting down"))
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-done
	}
}

var leftReasons = map[placement.Reason]holdfastv1.LeftReason{
	placement.ClientThroughIngress:    holdfastv1.LeftReason_LEFT_REASON_CLIENT_THROUGH_INGRESS,
	placement.NoOtherServerConnection: holdfastv1.LeftReason_LEFT_REASON_NO_OTHER_SERVER_CONNECTION,
	placement.TargetDraining:          holdfastv1.LeftReason_LEFT_REASON_TARGET_DRAINING,
	placement.HandoffOpen:             holdfastv1.LeftReason_LEFT_REASON_IN_HANDOFF,
	placement.NotConfirmed:            holdfastv1.LeftReason_LEFT_REASON_OPENING,
	placement.TargetSuspect:           holdfastv1.LeftReason_LEFT_REASON_TARGET_SUSPECT,
}

func progressResponse(p evacuation.Progress) *holdfastv1.ReloadIngressResponse {
	r := &holdfastv1.ReloadIngressResponse{
		Ingress: p.Ingress, Planned: uint32(p.Planned), Moved: uint32(p.Moved), Closed: uint32(p.Closed),
		ClientsAsked: uint32(p.ClientsAsked), ClientsMoved: uint32(p.ClientsMoved),
		Elapsed: durationpb.New(p.Elapsed), Done: p.Done, SafeToReload: p.Safe, ReturnsAt: timestamppb.New(p.ReturnsAt),
	}
	for _, reason := range slices.Sorted(maps.Keys(p.Left)) {
		r.Left = append(r.Left, &holdfastv1.LeftCount{Reason: leftReasons[reason], Connections: uint32(p.Left[reason])})
	}
	return r
}

// CompleteReload implements AdminService.
func (s *Service) CompleteReload(_ context.Context, req *holdfastv1.CompleteReloadRequest) (*holdfastv1.CompleteReloadResponse, error) {
	return &holdfastv1.CompleteReloadResponse{}, s.evacuator.EndReload(req.GetIngress(), "the reload was completed")
}

// CancelReload implements AdminService.
func (s *Service) CancelReload(_ context.Context, req *holdfastv1.CancelReloadRequest) (*holdfastv1.CancelReloadResponse, error) {
	return &holdfastv1.CancelReloadResponse{}, s.evacuator.EndReload(req.GetIngress(), "the reload was cancelled")
}

// WatchEvents implements AdminService.
func (s *Service) WatchEvents(req *holdfastv1.WatchEventsRequest, st holdfastv1.AdminService_WatchEventsServer) error {
	w := s.events.Watch()
	defer s.events.Unwatch(w)
	if err := st.Send(&event.Event{Time: timestamppb.Now(), Kind: holdfastv1.EventKind_EVENT_KIND_WATCHING}); err != nil {
		return err
	}
	for {
		select {
		case e := <-w.C:
			if req.GetNoConnections() && e.GetConnectionId() != "" {
				continue
			}
			if err := st.Send(e); err != nil {
				return err
			}
		case <-st.Context().Done():
			return status.FromContextError(st.Context().Err()).Err() // a watcher that goes away is no error
		case <-s.stopping:
			return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_RELAY_SHUTDOWN, "the relay is shutting down")
		}
	}
}

// MoveConnection implements AdminService.
func (s *Service) MoveConnection(ctx context.Context, req *holdfastv1.MoveConnectionRequest) (*holdfastv1.MoveConnectionResponse, error) {
	c, err := s.connection(req.GetConnectionId())
	if err != nil {
		return nil, err
	}
	target, err := s.target(c, req.GetTargetServerConnectionId())
	if err != nil {
		return nil, err
	}
	outcome, err := s.evacuator.MoveOne(ctx, c.ID, c.Snapshot().Server, target)
	switch {
	case errors.Is(err, ordering.ErrNotMovable):
		return nil, notMovable(c, fmt.Sprintf("it is in state %v on the server connection %s", c.Snapshot().Handoff, target.ID))
	case err != nil:
		return nil, err
	case outcome.Result == logical.ConnectionEnded:
		return nil, notMovable(c, "it ended during the handoff")
	case outcome.Result != logical.Moved:
		return nil, notMovable(c, fmt.Sprintf("the handoff was given up (%v), and it is being resumed where it can be", outcome.Result))
	}
	return &holdfastv1.MoveConnectionResponse{
		ServerConnectionId: target.ID, Pause: durationpb.New(outcome.Paused),
	}, nil
}

func notMovable(c *logical.Connection, why string) error {
	return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_NOT_MOVABLE,
		"connection %s cannot be moved now: %s", wire.FormatID(c.ID), why)
}

// target returns the named server connection, or the best one, of the process that the connection belongs to.
func (s *Service) target(c *logical.Connection, name string) (*serverconn.Conn, error) {
	snap := c.Snapshot()
	var candidates []placement.Path
	for _, p := range s.registry.Paths() {
		if p.Instance == c.Instance.Process() && p.ID != snap.Path && !p.Draining {
			candidates = append(candidates, p)
		}
	}
	if name == "" {
		path, ok := placement.Choose(candidates)
		if target := s.registry.ServerConnection(path); ok && target != nil {
			return target, nil
		}
		return nil, notMovable(c, "its app server has no other server connection that is not draining")
	}
	for _, p := range candidates {
		if target := s.registry.ServerConnection(p.ID); target != nil && target.ID == name {
			return target, nil
		}
	}
	return nil, notMovable(c, fmt.Sprintf("%q is no other server connection of its app server, or is draining", name))
}

// CloseConnection implements AdminService.
func (s *Service) CloseConnection(_ context.Context, req *holdfastv1.CloseConnectionRequest) (*holdfastv1.CloseConnectionResponse, error) {
	c, err := s.connection(req.GetConnectionId())
	if err != nil {
		return nil, err
	}
	c.Close(holdfastv1.CloseReason_CLOSE_REASON_OPERATOR, "an operator closed the connection")
	return &holdfastv1.CloseConnectionResponse{}, nil
}

func (s *Service) connection(name string) (*logical.Connection, error) {
	id, err := wire.ParseID(name)
	if err != nil {
		return nil, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_INVALID_FIELD, "%v", err)
	}
	if c := s.registry.Connection(id); c != nil {
		return c, nil
	}
	return nil, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_UNKNOWN_CONNECTION, "no connection %s is known", name)
}
