package appserver

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
)

// target is where a server connection leads.
type target struct {
	name string // as it is configured
	// address is the one that is meant of those that the name has; empty when gRPC is to resolve the name itself.
	address string
}

// String is for the log.
func (t target) String() string {
	if t.address == "" {
		return t.name
	}
	return t.name + " at " + t.address
}

// dial prepares a connection. It is for the name, whichever of its addresses it leads to: that is what a certificate is for.
func (t target) dial(options []grpc.DialOption) (*grpc.ClientConn, error) {
	if t.address == "" {
		return grpc.NewClient(t.name, options...)
	}
	return grpc.NewClient(pinnedScheme+":///"+t.name, append(options, grpc.WithResolvers(pinned(t.address)))...)
}

const pinnedScheme = "holdfast-pinned"

// pinned resolves whatever name to one address.
type pinned string

// Scheme implements resolver.Builder.
func (pinned) Scheme() string { return pinnedScheme }

// Build implements resolver.Builder.
func (p pinned) Build(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	return p, cc.UpdateState(resolver.State{Addresses: []resolver.Address{{Addr: string(p)}}})
}

// ResolveNow implements resolver.Resolver.
func (pinned) ResolveNow(resolver.ResolveNowOptions) {}

// Close implements resolver.Resolver.
func (pinned) Close() {}
