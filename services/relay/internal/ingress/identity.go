// Package ingress knows through which ingress a stream came in, and which ingresses are being reloaded.
package ingress

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// Direct names the way of a stream that came in through no ingress.
const Direct = "direct"

// Header is the request header by which an ingress names itself.
const Header = "x-ingress-id"

// maxName bounds the name of an ingress, in bytes.
const maxName = 128

// Origin is where a stream came from.
type Origin struct {
	// Ingress is the name of the ingress, or Direct.
	Ingress string
	// Address is the network address of the peer: the ingress's own when there is one.
	Address string
	// Ignored says that the header was there but the peer is not trusted, or the value unusable.
	Ignored bool
}

// Identifier reads origins. It is safe for concurrent use.
type Identifier struct {
	trusted []netip.Prefix
}

// NewIdentifier returns an Identifier that believes the header from peers in the trusted networks only.
func NewIdentifier(trusted []netip.Prefix) *Identifier { return &Identifier{trusted: trusted} }

// ParseNetworks reads networks in CIDR notation.
func ParseNetworks(cidrs []string) ([]netip.Prefix, error) {
	networks := make([]netip.Prefix, 0, len(cidrs))
	for _, s := range cidrs {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("trusted network %q: want CIDR notation, such as 10.0.0.0/8: %w", s, err)
		}
		if p.Addr().Is4In6() {
			return nil, fmt.Errorf("trusted network %q is an IPv4 network written as IPv6; write it as IPv4, such as 10.0.0.0/8", s)
		}
		networks = append(networks, p.Masked())
	}
	return networks, nil
}

// Identify returns the origin of the stream whose context it is given.
func (i *Identifier) Identify(ctx context.Context) Origin {
	o := Origin{Ingress: Direct}
	var addr net.Addr
	if p, ok := peer.FromContext(ctx); ok {
		addr = p.Addr
		o.Address = addr.String()
	}
	names := metadata.ValueFromIncomingContext(ctx, Header)
	if len(names) == 0 {
		return o
	}
	if name := names[0]; len(names) == 1 && validName(name) && i.trusts(addr) {
		o.Ingress = name
	} else {
		o.Ignored = true
	}
	return o
}

func (i *Identifier) trusts(addr net.Addr) bool {
	if addr == nil {
		return false
	}
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return false
	}
	ip := ap.Addr().Unmap().WithZone("")
	for _, p := range i.trusted {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

func validName(name string) bool {
	if name == "" || name == Direct || len(name) > maxName {
		return false
	}
	for _, c := range []byte(name) {
		if c < '!' || c > '~' {
			return false
		}
	}
	return true
}
