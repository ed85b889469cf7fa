package doctor

import (
	"context"
	"net"
	"strings"
)

// maxNumbers is how many network addresses of a host name are told.
const maxNumbers = 8

// accepts looks whether the address resolves and takes a connection.
func (p *patient) accepts(ctx context.Context) Finding {
	const check = "accepts"
	ctx, cancel := p.step(ctx)
	defer cancel()
	host, port, _ := net.SplitHostPort(p.address) // check has seen to it
	numbers, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return failed(check, asIs("mend the name or the name server: clients and app servers look it up too"), "the name does not resolve: %v", err)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return failed(check, Change{
			What: "start the ingress, have it listen on this address, and let clients through to it",
			// Where an ingress listens on the loopback only, everybody else is refused.
			Nginx: "listen " + port + " http2;", HAProxy: "bind :" + port + " proto h2", Envoy: "address: 0.0.0.0 and port_value: " + port + " in the listener",
		}, "does not accept a connection: %v", err)
	}
	_ = conn.Close()
	told := numbers[:min(len(numbers), maxNumbers)]
	if len(told) == 1 && told[0] == host {
		return ok(check, "accepts connections")
	}
	return ok(check, "resolves to %s, and accepts connections", strings.Join(told, ", "))
}
