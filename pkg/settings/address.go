package settings

import (
	"net"
	"net/netip"
)

// IsLoopback reports whether only this machine reaches the address, HOST:PORT. A name other than localhost counts as reached by others.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
