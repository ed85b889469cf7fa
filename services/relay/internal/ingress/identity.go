// Package ingress knows through which ingress a stream came in, and which ingresses are being reloaded.
package ingress

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// Direct names the way of a stream that came in through no ingress.
const Direct = "direct"

// Headers that an ingress sets. Those of a peer that is not trusted are ignored.
const (
	// Header is the one by which an ingress names itself.
	Header = "x-ingress-id"
	// AddressHeader has the address of the client; the ingress adds the last one.
	AddressHeader = "x-forwarded-for"
	// IdentityHeader has the identity that the ingress found in the certificate that it checked.
	IdentityHeader = "x-holdfast-identity"
)

// MaxName bounds names of ingresses and app servers, and identities, in bytes.
const MaxName = 128

// Origin is where a stream came from.
type Origin struct {
	// Ingress is the name of the ingress, or Direct.
	Ingress string
	// Address is the network address of the peer: of the client itself when it came in directly or the ingress forwards it, else of
	// the ingress.
	Address string
	// Host is the IP address of the client itself, empty when it is not known.
	Host string
	// Identity is whom the ingress found in the certificate that it checked; empty when it says nothing of that.
	Identity string
	// Ignored has a reason for each header that was there although the peer is not trusted, or whose value is unusable.
	Ignored []string
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
	trusted := i.trusts(addr)
	if name, ok := i.header(ctx, Header, "INGRESS_HEADER_IGNORED", trusted, validName, &o); ok {
		o.Ingress = name
	}
	if identity, ok := i.header(ctx, IdentityHeader, "IDENTITY_HEADER_IGNORED", trusted, Printable, &o); ok {
		o.Identity = identity
	}
	forwarded, ok := i.header(ctx, AddressHeader, "FORWARDED_HEADER_IGNORED", trusted, nil, &o)
	host := netip.Addr{}
	switch last := strings.TrimSpace(forwarded[strings.LastIndexByte(forwarded, ',')+1:]); {
	case ok:
		var err error
		if host, err = hostOf(last); err != nil {
			o.Ignored = append(o.Ignored, "FORWARDED_HEADER_IGNORED")
			break
		}
		o.Address = last
	case o.Ingress == Direct:
		host, _ = hostOf(o.Address)
	}
	if host.IsValid() {
		o.Host = host.String()
	}
	return o
}

// header returns the value of a header when there is one and it is to be believed.
func (i *Identifier) header(ctx context.Context, name, reason string, trusted bool, valid func(string) bool, o *Origin) (string, bool) {
	values := metadata.ValueFromIncomingContext(ctx, name)
	if len(values) == 0 {
		return "", false
	}
	if len(values) != 1 || !trusted || valid != nil && !valid(values[0]) {
		o.Ignored = append(o.Ignored, reason)
		return "", false
	}
	return values[0], true
}

// hostOf returns the IP address of an address with or without a port.
func hostOf(address string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(strings.Trim(address, "[]"))
	if err != nil {
		var ap netip.AddrPort
		if ap, err = netip.ParseAddrPort(address); err != nil {
			return netip.Addr{}, err
		}
		ip = ap.Addr()
	}
	return ip.Unmap().WithZone(""), nil
}

func (i *Identifier) trusts(addr net.Addr) bool {
	if addr == nil {
		return false
	}
	ip, err := hostOf(addr.String())
	if err != nil {
		return false
	}
	for _, p := range i.trusted {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

func validName(name string) bool { return name != Direct && Printable(name) }

// Printable reports whether the value is 1 to MaxName bytes of ASCII with no space.
func Printable(value string) bool {
	if value == "" || len(value) > MaxName {
		return false
	}
	for _, c := range []byte(value) {
		if c < '!' || c > '~' {
			return false
		}
	}
	return true
}
