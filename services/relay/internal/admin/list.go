package admin

import (
	"cmp"
	"context"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/ordering"
	"github.com/holdfast/holdfast/pkg/wire"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
	"github.com/holdfast/holdfast/services/relay/internal/placement"
)

// Bounds of a page.
const (
	defaultPage = 100
	maxPage     = 1000
)

// ListIngresses implements AdminService.
func (s *Service) ListIngresses(context.Context, *holdfastv1.ListIngressesRequest) (*holdfastv1.ListIngressesResponse, error) {
	byName := make(map[string]*holdfastv1.Ingress)
	response := &holdfastv1.ListIngressesResponse{}
	reloads := s.registry.Reloads()
	for _, name := range s.registry.Ingresses() {
		in := &holdfastv1.Ingress{Name: name}
		if at, ok := reloads[name]; ok {
			in.Draining, in.ReturnsAt = true, timestamppb.New(at)
		}
		byName[name] = in
		response.Ingresses = append(response.Ingresses, in)
	}
	for _, c := range s.registry.ServerConnections() {
		if in := byName[c.Ingress]; in != nil {
			in.ServerConnections++
			in.LogicalConnections += uint32(c.Load())
		}
	}
	clients, away := s.registry.Clients()
	for name, in := range byName {
		in.ClientConnections, in.ClientsAway = uint32(clients[name]), uint32(away[name])
	}
	return response, nil
}

// ListServerConnections implements AdminService.
func (s *Service) ListServerConnections(_ context.Context, req *holdfastv1.ListServerConnectionsRequest) (*holdfastv1.ListServerConnectionsResponse, error) {
	response := &holdfastv1.ListServerConnectionsResponse{}
	for _, c := range s.registry.ServerConnections() {
		if !fits(req.GetApplication(), c.Instance.Application) || !fits(req.GetIngress(), c.Ingress) {
			continue
		}
		response.ServerConnections = append(response.ServerConnections, &holdfastv1.ServerConnection{
			ServerConnectionId: c.ID, Application: c.Instance.Application, ServerId: c.Instance.ServerID,
			InstanceId: c.Instance.InstanceID, Ingress: c.Ingress, Address: c.Address,
			Draining:           c.Draining() || s.registry.Reloading(c.Ingress),
			LogicalConnections: uint32(c.Load()), AttachedAt: timestamppb.New(c.AttachedAt),
		})
	}
	return response, nil
}

// fits reports whether the value is the one that is wanted, if any is.
func fits(want, have string) bool { return want == "" || want == have }

// ListClientConnections implements AdminService.
func (s *Service) ListClientConnections(_ context.Context, req *holdfastv1.ListClientConnectionsRequest) (*holdfastv1.ListClientConnectionsResponse, error) {
	size := cmp.Or(int(req.GetPageSize()), defaultPage)
	if size > maxPage {
		return nil, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_INVALID_FIELD,
			"page_size is %d; it must be at most %d", size, maxPage)
	}
	var after uint64
	if token := req.GetPageToken(); token != "" {
		var err error
		if after, err = wire.ParseID(token); err != nil {
			return nil, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_INVALID_FIELD,
				"page_token %q is not one that a page before gave", token)
		}
	}
	var page []logical.Snapshot
	total := 0
	for c := range s.registry.Connections() {
		snap := c.Snapshot()
		if !matches(req, snap) {
			continue
		}
		total++
		if snap.Info.ID > after {
			page = append(page, snap)
		}
	}
	slices.SortFunc(page, func(a, b logical.Snapshot) int { return cmp.Compare(a.Info.ID, b.Info.ID) })
	response := &holdfastv1.ListClientConnectionsResponse{Total: uint32(total)}
	if len(page) > size {
		page = page[:size]
		response.NextPageToken = wire.FormatID(page[size-1].Info.ID)
	}
	for _, snap := range page {
		response.ClientConnections = append(response.ClientConnections, clientConnection(snap))
	}
	return response, nil
}

func matches(req *holdfastv1.ListClientConnectionsRequest, snap logical.Snapshot) bool {
	return snap.Server != nil && fits(req.GetApplication(), snap.Application) &&
		fits(req.GetClientIngress(), snap.Info.ClientIngress) && fits(req.GetServerIngress(), snap.Server.Ingress) &&
		fits(req.GetServerId(), snap.Server.Instance.ServerID)
}

func clientConnection(snap logical.Snapshot) *holdfastv1.ClientConnection {
	return &holdfastv1.ClientConnection{
		ConnectionId: wire.FormatID(snap.Info.ID), Application: snap.Application,
		ClientIngress: snap.Info.ClientIngress, ClientAddress: snap.ClientAddress, ClientSubject: snap.ClientSubject,
		ServerId: snap.Server.Instance.ServerID, ServerConnectionId: snap.Server.ID, ServerIngress: snap.Server.Ingress,
		Epoch: snap.Epoch.String(), State: state(snap), ConnectedAt: timestamppb.New(snap.ConnectedAt),
		MessagesReceived: snap.Received, MessagesSent: snap.Sent, Resumable: snap.Resumable, Away: snap.Away,
	}
}

func state(snap logical.Snapshot) holdfastv1.ConnectionState {
	switch {
	case snap.Closing:
		return holdfastv1.ConnectionState_CONNECTION_STATE_CLOSING
	case snap.State == placement.Parked:
		return holdfastv1.ConnectionState_CONNECTION_STATE_PARKED
	case snap.Handoff == ordering.Resuming, snap.Handoff == ordering.Adopting:
		return holdfastv1.ConnectionState_CONNECTION_STATE_RESUMING
	case snap.State == placement.Opening:
		return holdfastv1.ConnectionState_CONNECTION_STATE_OPENING
	case snap.Handoff == ordering.Migrating:
		return holdfastv1.ConnectionState_CONNECTION_STATE_MIGRATING
	case snap.Handoff == ordering.Confirming:
		return holdfastv1.ConnectionState_CONNECTION_STATE_CONFIRMING
	}
	return holdfastv1.ConnectionState_CONNECTION_STATE_STABLE
}
