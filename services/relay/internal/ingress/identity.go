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
	// Address is the network address of the client: of the peer, or the one that a trusted ingress forwards.
	Address string
	// Host is what the client is counted by: its IP address, or the /64 network of an IPv6 one; empty when it is not known.
	Host string
	// Proxied says that a trusted ingress stands in between, so that what TLS says of the peer is said of the ingress.
	Proxied bool
	// Identity is whom the ingress found in the certificate that it checked; empty when it says nothing of that.
	Identity string
	// Ignored has a reason for each header that was there although the peer is not trusted, or whose value is unusable.
	Ignored []string
}

// Identifier reads origins. It is safe for concurrent use.
type Identifier struct {
	trusted, vouching []netip.Prefix
}

// NewIdentifier returns an Identifier that believes peers in the trusted networks when they name an ingress and an address, and those
// in the vouching networks when they name an identity.
func NewIdentifier(trusted, vouching []netip.Prefix) *Identifier {
	return &Identifier{trusted, vouching}
}

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
	trusted := contains(i.trusted, addr)
	if name, ok := header(ctx, Header, "INGRESS_HEADER_IGNORED", trusted, validName, &o); ok {
		o.Ingress = name
	}
	if identity, ok := header(ctx, IdentityHeader, "IDENTITY_HEADER_IGNORED", contains(i.vouching, addr), Printable, &o); ok {
		o.Identity = identity
	}
	o.Proxied = o.Ingress != Direct || o.Identity != ""
	known := !o.Proxied // whose address it is
	if forwarded := metadata.ValueFromIncomingContext(ctx, AddressHeader); len(forwarded) > 0 {
		// What stands before the last entry of the last header anybody can have written.
		last := forwarded[len(forwarded)-1]
		address, ok := canonical(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:]))
		if ok && trusted {
			o.Address, o.Proxied, known = address, true, true
		} else {
			o.Ignored = append(o.Ignored, "FORWARDED_HEADER_IGNORED")
		}
	}
	if known {
		o.Host = hostOf(o.Address)
	}
	return o
}

// header returns the value of a header when there is one and it is to be believed.
func header(ctx context.Context, name, reason string, trusted bool, valid func(string) bool, o *Origin) (string, bool) {
	values := metadata.ValueFromIncomingContext(ctx, name)
	if len(values) == 0 {
		return "", false
	}
	if len(values) != 1 || !trusted || !valid(values[0]) {
		o.Ignored = append(o.Ignored, reason)
		return "", false
	}
	return values[0], true
}

// canonical returns an IP address, with a port or without, as this program writes it. One with a zone is none: a zone may have any bytes.
func canonical(address string) (string, bool) {
	if ip, err := netip.ParseAddr(strings.Trim(address, "[]")); err == nil {
		return ip.Unmap().String(), ip.Zone() == ""
	}
	ap, err := netip.ParseAddrPort(address)
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()).String(), err == nil && ap.Addr().Zone() == ""
}

// ipOf returns the IP address of an address with or without a port; not a valid one when there is none.
func ipOf(address string) netip.Addr {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		ap, _ := netip.ParseAddrPort(address)
		ip = ap.Addr()
	}
	return ip.Unmap().WithZone("")
}

// hostOf returns what an address is counted by: whoever has one IPv6 address mostly has all of its /64.
func hostOf(address string) string {
	ip := ipOf(address)
	switch {
	case !ip.IsValid():
		return ""
	case ip.Is4():
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}

func contains(networks []netip.Prefix, addr net.Addr) bool {
	if addr == nil {
		return false
	}
	ip := ipOf(addr.String())
	for _, p := range networks {
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
