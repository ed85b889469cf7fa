package ingress

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// address is a peer's address in the words of its transport.
type address string

func (address) Network() string  { return "test" }
func (a address) String() string { return string(a) }

// from returns the context of a stream from the address, with a header for each name. No address, no peer.
func from(from string, names ...string) context.Context {
	md := metadata.MD{}
	md.Append(Header, names...)
	ctx := metadata.NewIncomingContext(context.Background(), md)
	if from == "" {
		return ctx
	}
	return peer.NewContext(ctx, &peer.Peer{Addr: address(from)})
}

func TestIdentify(t *testing.T) {
	networks, err := ParseNetworks([]string{"10.1.0.0/16", "2001:db8::/32", "127.0.0.1/32", "fe80::/10"})
	if err != nil {
		t.Fatal(err)
	}
	identifier := NewIdentifier(networks, nil)
	for _, c := range []struct {
		name    string
		address string
		headers []string
		want    string
		ignored bool
	}{
		{"trusted IPv4", "10.1.2.3:50", []string{"a"}, "a", false},
		{"trusted IPv4 seen by an IPv6 listener", "[::ffff:10.1.2.3]:50", []string{"a"}, "a", false},
		{"trusted IPv6", "[2001:db8::1]:50", []string{"a"}, "a", false},
		{"trusted link-local IPv6 with a zone", "[fe80::1%eth0]:50", []string{"a"}, "a", false},
		{"last address of a network", "10.1.255.255:50", []string{"a"}, "a", false},
		{"first address after it", "10.2.0.0:50", []string{"a"}, Direct, true},
		{"untrusted IPv4", "192.0.2.1:50", []string{"a"}, Direct, true},
		{"untrusted IPv4 seen by an IPv6 listener", "[::ffff:192.0.2.1]:50", []string{"a"}, Direct, true},
		{"untrusted IPv6", "[2001:db9::1]:50", []string{"a"}, Direct, true},
		{"one trusted address only", "127.0.0.2:50", []string{"a"}, Direct, true},
		{"address of no IP network", "@socket", []string{"a"}, Direct, true},
		{"no peer", "", []string{"a"}, Direct, true},
		{"no header", "10.1.2.3:50", nil, Direct, false},
		{"no header, untrusted", "192.0.2.1:50", nil, Direct, false},
		{"two headers", "10.1.2.3:50", []string{"a", "b"}, Direct, true},
		{"the same header twice", "10.1.2.3:50", []string{"a", "a"}, Direct, true},
		{"empty name", "10.1.2.3:50", []string{""}, Direct, true},
		{"direct claimed by header", "10.1.2.3:50", []string{"direct"}, Direct, true},
		{"name with a space", "10.1.2.3:50", []string{"a b"}, Direct, true},
		{"name with a control character", "10.1.2.3:50", []string{"a\n"}, Direct, true},
		{"name that is not ASCII", "10.1.2.3:50", []string{"ä"}, Direct, true},
		{"name with a delete character", "10.1.2.3:50", []string{"\x7f"}, Direct, true},
		{"all printable ASCII", "10.1.2.3:50", []string{"!a-Z_0.9~"}, "!a-Z_0.9~", false},
		{"longest name", "10.1.2.3:50", []string{strings.Repeat("x", MaxName)}, strings.Repeat("x", MaxName), false},
		{"too long a name", "10.1.2.3:50", []string{strings.Repeat("x", MaxName+1)}, Direct, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := identifier.Identify(from(c.address, c.headers...))
			if got.Ingress != c.want || len(got.Ignored) > 0 != c.ignored || got.Address != c.address {
				t.Errorf("got %+v, want ingress %q, ignored %v, address %q", got, c.want, c.ignored, c.address)
			}
		})
	}
}

func TestIdentifyTrustsNobodyByDefault(t *testing.T) {
	if got := NewIdentifier(nil, nil).Identify(from("127.0.0.1:50", "a")); got.Ingress != Direct || len(got.Ignored) == 0 {
		t.Errorf("got %+v", got)
	}
}

func TestParseNetworks(t *testing.T) {
	got, err := ParseNetworks([]string{"10.1.2.3/8", "::1/128"})
	want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for _, bad := range []string{"10.0.0.1", "10.0.0.0/33", "::/129", "", " 10.0.0.0/8", "localhost/8", "10.0.0.0/8,::1/128"} {
		_, err := ParseNetworks([]string{"127.0.0.0/8", bad})
		if err == nil || !strings.Contains(err.Error(), `"`+bad+`"`) || !strings.Contains(err.Error(), "10.0.0.0/8") {
			t.Errorf("%q: the error %v must name the value and show the notation", bad, err)
		}
	}
}

// A listener for both families gives IPv4 peers their mapped form, and so may an operator who copies it from a log.
// Peers of an IPv4 network have IPv4 addresses here, so that the network written as IPv6 would match none.
func TestMappedNetworkIsRefused(t *testing.T) {
	if _, err := ParseNetworks([]string{"::ffff:10.0.0.0/104"}); err == nil || !strings.Contains(err.Error(), "::ffff:10.0.0.0/104") {
		t.Errorf("got %v, want an error with the value", err)
	}
}
