package admin

import (
	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
)

// Reloads returns the progress of each reload under way, in the order of the ingresses' names.
func (s *Service) Reloads() []*holdfastv1.ReloadIngressResponse {
	var all []*holdfastv1.ReloadIngressResponse
	for _, p := range s.evacuator.Reloads() {
		all = append(all, progressResponse(p))
	}
	return all
}

// ClientConnection returns one logical connection by its id, as ListClientConnections lists it. The error has the reason
// INVALID_FIELD or UNKNOWN_CONNECTION.
func (s *Service) ClientConnection(name string) (*holdfastv1.ClientConnection, error) {
	c, err := s.connection(name)
	if err != nil {
		return nil, err
	}
	snap := c.Snapshot()
	if snap.Server == nil { // it ended since
		return nil, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_UNKNOWN_CONNECTION, "no connection %s is known", name)
	}
	return clientConnection(snap), nil
}
