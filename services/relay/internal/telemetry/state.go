package telemetry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// State is what the gauges show. It is made anew at each collection, from what its owners count anyway: nobody walks over the
// connections for it.
type State struct {
	// Servers counts server connections, and the logical connections on them.
	Servers []Servers
	// AppServers counts the processes of app servers.
	AppServers map[AppServers]int
	// Clients counts client connections by ingress, Away those of them whose client's stream is gone.
	Clients, Away map[string]int
	// Parked is how many logical connections no server connection carries.
	Parked int
	// Moves are the open ones by mode.
	Moves map[string]OpenMoves
	// Retained is what was sent to app servers and not acknowledged, Buffered what waits for clients, in bytes of the windows.
	Retained, Buffered int64
}

// Servers are the server connections that have these in common.
type Servers struct {
	Application, Ingress string
	Draining             bool
	// Connections is how many there are, Logical how many logical connections they carry.
	Connections, Logical int
}

// AppServers are the processes of app servers that have these in common.
type AppServers struct {
	Application string
	Ingresses   Ingresses
}

// Ingresses says through how many ingresses the server connections of one app server came in, but for those that drain.
type Ingresses string

// The values of Ingresses.
const (
	// NoIngress: all came straight to the relay.
	NoIngress Ingresses = "none"
	// OneIngress: a reload of that ingress takes them all.
	OneIngress Ingresses = "one"
	// SeveralIngresses: at least one is left when any ingress goes.
	SeveralIngresses Ingresses = "several"
)

// OpenMoves are the moves of one mode that are open.
type OpenMoves struct {
	Count int
	// Oldest is for how long the one that is open for longest has been; a resume counts from when the loss was noticed.
	Oldest time.Duration
}

// gauges are the instruments of a State.
type gauges struct {
	logical, parked, clients, away, servers, appServers, open metric.Int64ObservableUpDownCounter
	retained, buffered                                        metric.Int64ObservableUpDownCounter
	oldest                                                    metric.Float64ObservableGauge
}

// Observe has the gauges show what take returns. It is called at each collection, from any goroutine.
func (c *Counters) Observe(take func() State) error {
	var g gauges
	var errs []error
	upDown := func(into *metric.Int64ObservableUpDownCounter, name, unit, description string) {
		var err error
		*into, err = c.meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
	}
	upDown(&g.logical, "holdfast.relay.logical_connections", "{connection}",
		"Logical connections, by application and the ingress of the server connection that carries them.")
	upDown(&g.parked, "holdfast.relay.parked_connections", "{connection}", "Logical connections that no server connection carries.")
	upDown(&g.clients, "holdfast.relay.client_connections", "{connection}", "Client connections, by ingress.")
	upDown(&g.away, "holdfast.relay.clients.away", "{client}",
		"Resumable clients whose stream is gone and whose connection waits for them, by the ingress that they came in through.")
	upDown(&g.servers, "holdfast.relay.server_connections", "{connection}",
		"Server connections, by application, ingress and whether they are draining.")
	upDown(&g.appServers, "holdfast.relay.app_servers", "{process}",
		"Processes of app servers, by application and through how many ingresses their server connections came in.")
	upDown(&g.open, "holdfast.relay.moves.open", "{move}", "Moves that are open, by mode.")
	upDown(&g.retained, "holdfast.relay.retained", "By", "Sent to app servers and not acknowledged yet.")
	upDown(&g.buffered, "holdfast.relay.buffered", "By", "Received from app servers and not taken by clients yet.")
	var err error
	g.oldest, err = c.meter.Float64ObservableGauge("holdfast.relay.moves.oldest_age", metric.WithUnit("s"),
		metric.WithDescription("Age of the move that is open for longest, by mode; 0 when none is."))
	if err := errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("making the gauges: %w", err)
	}
	_, err = c.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		c.show(o, &g, take())
		return nil
	}, g.logical, g.parked, g.clients, g.away, g.servers, g.appServers, g.open, g.retained, g.buffered, g.oldest)
	if err != nil {
		return fmt.Errorf("making the gauges: %w", err)
	}
	return nil
}

// show shows a state. Names that have no label of their own are added up first.
func (c *Counters) show(o metric.Observer, g *gauges, s State) {
	logical, servers := make(sums), make(sums)
	for _, group := range s.Servers {
		app := application.String(c.applications.Of(group.Application))
		in := ingress.String(c.ingresses.Of(group.Ingress))
		servers.add(group.Connections, app, in, draining.Bool(group.Draining))
		logical.add(group.Logical, app, in)
	}
	clients, away := make(sums), make(sums)
	for name, n := range s.Clients {
		clients.add(n, ingress.String(c.ingresses.Of(name)))
	}
	for name, n := range s.Away {
		away.add(n, ingress.String(c.ingresses.Of(name)))
	}
	appServers := make(sums)
	for group, n := range s.AppServers {
		appServers.add(n, application.String(c.applications.Of(group.Application)), ingresses.String(string(group.Ingresses)))
	}
	logical.show(o, g.logical)
	servers.show(o, g.servers)
	clients.show(o, g.clients)
	away.show(o, g.away)
	appServers.show(o, g.appServers)
	for name, moves := range s.Moves {
		with := metric.WithAttributes(mode.String(name))
		o.ObserveInt64(g.open, int64(moves.Count), with)
		o.ObserveFloat64(g.oldest, moves.Oldest.Seconds(), with)
	}
	o.ObserveInt64(g.parked, int64(s.Parked))
	o.ObserveInt64(g.retained, s.Retained)
	o.ObserveInt64(g.buffered, s.Buffered)
}

// sums adds up by attributes.
type sums map[attribute.Set]int

func (s sums) add(n int, attributes ...attribute.KeyValue) { s[attribute.NewSet(attributes...)] += n }

func (s sums) show(o metric.Observer, instrument metric.Int64Observable) {
	for attributes, n := range s {
		o.ObserveInt64(instrument, int64(n), metric.WithAttributeSet(attributes))
	}
}
