package console

import (
	"context"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
)

// state is what the relay looks like. It has counts and no logical connection, so that its size does not grow with theirs.
type state struct {
	Time     time.Time `json:"time"`
	RelayID  string    `json:"relay_id"`
	ReadOnly bool      `json:"read_only"`
	picture
}

// picture is what changes of a state.
type picture struct {
	Ingresses         []ingressView `json:"ingresses"`
	ServerConnections []serverView  `json:"server_connections"`
	Reloads           []reloadView  `json:"reloads"`
}

type ingressView struct {
	Name               string     `json:"name"`
	Draining           bool       `json:"draining"`
	ReturnsAt          *time.Time `json:"returns_at,omitempty"`
	ServerConnections  uint32     `json:"server_connections"`
	ClientConnections  uint32     `json:"client_connections"`
	ClientsAway        uint32     `json:"clients_away"`
	LogicalConnections uint32     `json:"logical_connections"`
}

type serverView struct {
	ID                 string    `json:"id"`
	Application        string    `json:"application"`
	ServerID           string    `json:"server_id"`
	InstanceID         string    `json:"instance_id"`
	Ingress            string    `json:"ingress"`
	Address            string    `json:"address"`
	Draining           bool      `json:"draining"`
	LogicalConnections uint32    `json:"logical_connections"`
	AttachedAt         time.Time `json:"attached_at"`
}

type reloadView struct {
	Ingress string     `json:"ingress"`
	Planned uint32     `json:"planned"`
	Moved   uint32     `json:"moved"`
	Closed  uint32     `json:"closed"`
	Left    []leftView `json:"left"`
	// ClientsAsked counts the resumable clients that were asked to move, ClientsMoved those that have.
	ClientsAsked uint32 `json:"clients_asked"`
	ClientsMoved uint32 `json:"clients_moved"`
	// Elapsed is in milliseconds.
	Elapsed   int64      `json:"elapsed_ms"`
	Done      bool       `json:"done"`
	Safe      bool       `json:"safe"`
	ReturnsAt *time.Time `json:"returns_at,omitempty"`
}

type leftView struct {
	Reason      string `json:"reason"`
	Connections uint32 `json:"connections"`
}

type connectionView struct {
	ID               string    `json:"id"`
	Application      string    `json:"application"`
	State            string    `json:"state"`
	Epoch            string    `json:"epoch"`
	ClientIngress    string    `json:"client_ingress"`
	ClientAddress    string    `json:"client_address"`
	ServerID         string    `json:"server_id"`
	ServerConnection string    `json:"server_connection_id"`
	ServerIngress    string    `json:"server_ingress"`
	Resumable        bool      `json:"resumable"`
	Away             bool      `json:"away"`
	ConnectedAt      time.Time `json:"connected_at"`
	Received         uint64    `json:"messages_received"`
	Sent             uint64    `json:"messages_sent"`
}

// look asks the admin service. Its cost is that of the ingresses and server connections, not of the logical connections.
func (c *Console) look(ctx context.Context) (picture, error) {
	ingresses, err := c.admin.ListIngresses(ctx, &holdfastv1.ListIngressesRequest{})
	if err != nil {
		return picture{}, err
	}
	servers, err := c.admin.ListServerConnections(ctx, &holdfastv1.ListServerConnectionsRequest{})
	if err != nil {
		return picture{}, err
	}
	p := picture{ // no list is null in JSON
		Ingresses: []ingressView{}, ServerConnections: []serverView{}, Reloads: []reloadView{},
	}
	for _, i := range ingresses.GetIngresses() {
		p.Ingresses = append(p.Ingresses, ingressView{
			i.GetName(), i.GetDraining(), moment(i.GetReturnsAt()),
			i.GetServerConnections(), i.GetClientConnections(), i.GetClientsAway(), i.GetLogicalConnections(),
		})
	}
	for _, s := range servers.GetServerConnections() {
		p.ServerConnections = append(p.ServerConnections, serverView{
			s.GetServerConnectionId(), s.GetApplication(), s.GetServerId(), s.GetInstanceId(), s.GetIngress(), s.GetAddress(),
			s.GetDraining(), s.GetLogicalConnections(), s.GetAttachedAt().AsTime(),
		})
	}
	for _, r := range c.admin.Reloads() {
		p.Reloads = append(p.Reloads, viewReload(r))
	}
	return p, nil
}

func (c *Console) stateOf(p picture) state {
	return state{time.Now().UTC(), c.config.RelayID, c.config.ReadOnly, p}
}

func (c *Console) getState(w http.ResponseWriter, r *http.Request) {
	p, err := c.look(r.Context())
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, c.stateOf(p))
}

// findConnections answers with the connection that has the id, in a list that is empty when there is none: for a page that asks
// again and again, the end of a connection is no error.
func (c *Console) findConnections(w http.ResponseWriter, r *http.Request) {
	all := []connectionView{}
	found, err := c.admin.ClientConnection(r.URL.Query().Get("id"))
	switch {
	case err == nil:
		all = append(all, viewConnection(found))
	case wire.ErrorReasonOf(err) != wire.ReasonName(holdfastv1.ErrorReason_ERROR_REASON_UNKNOWN_CONNECTION):
		refuse(w, err)
		return
	}
	answer(w, http.StatusOK, map[string][]connectionView{"connections": all})
}

func viewConnection(found *holdfastv1.ClientConnection) connectionView {
	return connectionView{
		found.GetConnectionId(), found.GetApplication(), name(found.GetState().String(), "CONNECTION_STATE_"), found.GetEpoch(),
		found.GetClientIngress(), found.GetClientAddress(), found.GetServerId(), found.GetServerConnectionId(),
		found.GetServerIngress(), found.GetResumable(), found.GetAway(), found.GetConnectedAt().AsTime(), found.GetMessagesReceived(), found.GetMessagesSent(),
	}
}

func viewReload(r *holdfastv1.ReloadIngressResponse) reloadView {
	v := reloadView{
		r.GetIngress(), r.GetPlanned(), r.GetMoved(), r.GetClosed(),
		[]leftView{},
		r.GetClientsAsked(), r.GetClientsMoved(),
		r.GetElapsed().AsDuration().Milliseconds(), r.GetDone(), r.GetSafeToReload(), moment(r.GetReturnsAt()),
	}
	for _, l := range r.GetLeft() {
		v.Left = append(v.Left, leftView{name(l.GetReason().String(), "LEFT_REASON_"), l.GetConnections()})
	}
	return v
}

// name returns the name of a value of an enum as the API has it, such as "in_handoff".
func name(value, prefix string) string { return strings.ToLower(strings.TrimPrefix(value, prefix)) }

func moment(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	at := t.AsTime()
	return &at
}
