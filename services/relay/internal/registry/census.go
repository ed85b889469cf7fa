package registry

import (
	"github.com/holdfast/holdfast/services/relay/internal/ingress"
	"github.com/holdfast/holdfast/services/relay/internal/serverconn"
	"github.com/holdfast/holdfast/services/relay/internal/telemetry"
)

// Census adds to the state what is connected. It looks at each server connection, and at no logical one.
func (r *Registry) Census(s *telemetry.State) {
	s.Clients, s.Away = r.Clients()
	groups := make(map[telemetry.Servers]*telemetry.Servers)
	carried := 0
	r.mu.Lock()
	s.AppServers = r.appServersLocked()
	for _, c := range r.paths {
		key := telemetry.Servers{Application: c.Instance.Application, Ingress: c.Ingress, Draining: r.drainingLocked(c)}
		g := groups[key]
		if g == nil {
			g = &telemetry.Servers{Application: key.Application, Ingress: key.Ingress, Draining: key.Draining}
			groups[key] = g
		}
		load := c.Load()
		g.Connections++
		g.Logical += load
		carried += load
	}
	r.mu.Unlock()
	for _, g := range groups {
		s.Servers = append(s.Servers, *g)
	}
	// Between the two counts one may have opened or settled.
	s.Parked = max(r.connections.len()-carried, 0)
}

func (r *Registry) drainingLocked(c *serverconn.Conn) bool {
	return c.Draining() || r.reloadingLocked(c.Ingress)
}

// appServersLocked counts the processes by through how many ingresses they are reached. One all of whose server connections
// drain is about to go, or has others on their way, and is not counted.
func (r *Registry) appServersLocked() map[telemetry.AppServers]int {
	through := make(map[serverconn.Instance]map[string]bool)
	for _, c := range r.paths {
		if r.drainingLocked(c) {
			continue
		}
		if through[c.Instance] == nil {
			through[c.Instance] = make(map[string]bool)
		}
		through[c.Instance][c.Ingress] = true
	}
	counts := make(map[telemetry.AppServers]int)
	for instance, names := range through {
		how := telemetry.SeveralIngresses
		switch {
		case len(names) == 1 && names[ingress.Direct]:
			how = telemetry.NoIngress
		case len(names) == 1:
			how = telemetry.OneIngress
		}
		counts[telemetry.AppServers{Application: instance.Application, Ingresses: how}]++
	}
	return counts
}
