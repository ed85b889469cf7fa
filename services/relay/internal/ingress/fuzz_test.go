package ingress

import (
	"net/netip"
	"testing"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// Whatever stands in the headers: a stranger is direct and its own address, and what is believed of others is printable.
func FuzzIdentify(f *testing.F) {
	for _, s := range []string{"", "a", "direct", "192.0.2.1", "x, 192.0.2.1:5", "[::1]:1", "fe80::1%eth0", "a\nb", "\xff", ",", "192.0.2.1,"} {
		f.Add(s, s, s, true)
		f.Add(s, "fe80::1%\xff", "b", false)
	}
	networks := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, name, forwarded, identity string, trusted bool) {
		from := "192.0.2.9:1"
		if trusted {
			from = "10.0.0.1:1"
		}
		md := metadata.MD{Header: {name}, AddressHeader: {forwarded}, IdentityHeader: {identity}}
		ctx := peer.NewContext(metadata.NewIncomingContext(t.Context(), md), &peer.Peer{Addr: address(from)})
		o := NewIdentifier(networks, networks).Identify(ctx)
		if !trusted && (o.Ingress != Direct || o.Address != from || o.Host != "192.0.2.9" || o.Identity != "" || len(o.Ignored) != 3) {
			t.Errorf("a stranger is seen as %+v", o)
		}
		if o.Ingress != Direct && !Printable(o.Ingress) || o.Identity != "" && !Printable(o.Identity) {
			t.Errorf("believed: %+v", o)
		}
		if !Printable(o.Address) {
			t.Errorf("the address is %q", o.Address)
		}
		_, err := netip.ParseAddr(o.Host)
		if _, noNetwork := netip.ParsePrefix(o.Host); o.Host != "" && err != nil && noNetwork != nil {
			t.Errorf("the host is %q", o.Host)
		}
	})
}
