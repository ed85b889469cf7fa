package app

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/holdfast/holdfast/pkg/tlsfiles"
)

// tlsRefresh is how often the files are looked at for a change.
const tlsRefresh = 30 * time.Second

// dialOptions returns the options for the server connections, none for plaintext, and what ends the reading of files.
func (c *Config) dialOptions() ([]grpc.DialOption, func(), error) {
	if c.TLSCA == "" {
		return nil, func() {}, nil
	}
	source, err := tlsfiles.Open(tlsfiles.Files{Cert: c.TLSCert, Key: c.TLSKey, CA: c.TLSCA, Refresh: tlsRefresh})
	if err != nil {
		return nil, nil, err
	}
	config, err := source.Client(c.TLSServerName)
	if err != nil {
		source.Close()
		return nil, nil, err
	}
	return []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(config))}, source.Close, nil
}
