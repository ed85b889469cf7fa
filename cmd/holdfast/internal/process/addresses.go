package process

import (
	"errors"
	"net"
)

// FreeAddresses returns loopback addresses, HOST:PORT, that are free at the moment.
func FreeAddresses(n int) ([]string, error) {
	var errs []error
	var addresses []string
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			errs = append(errs, err)
			continue
		}
		defer listener.Close() // Not before all are chosen, so that they differ.
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, errors.Join(errs...)
}
