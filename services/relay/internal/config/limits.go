package config

import "time"

// Limits bound what clients may take. What is over one is refused or closed with a typed reason and counted; 0 means no limit.
type Limits struct {
	MaxConnections            int           `default:"0" help:"Client connections in all, 1 to 10000000; 0 means no limit."`
	MaxConnectionsPerAddress  int           `default:"0" help:"Client connections from one network address, 1 to 10000000; 0 means no limit. Behind an ingress the address is the one that it forwards in x-forwarded-for."`
	MaxConnectionsPerIdentity int           `default:"0" help:"Client connections of one subject of the tokens, 1 to 10000000; 0 means no limit."`
	ConnectionRate            int           `default:"0" help:"New client connections a second in all, 1 to 1000000; as many may come at once. 0 means no limit."`
	MessageRate               int           `default:"0" help:"Messages a second from one client, 1 to 1000000; as many may come at once. A client that sends more is closed, a resumable one slowed down. 0 means no limit."`
	HandshakeTimeout          time.Duration `default:"10s" help:"For how long a stream may say nothing at its beginning, 100ms to 10m."`
	IdleTimeout               time.Duration `default:"0s" help:"After what time a client connection with no message either way is closed, 1s to 24h; 0s means never."`
	MaxRetainedBytes          int64         `default:"0" help:"Bytes that are held for all connections, each bounded by its window, above which new connections are refused, 1048576 to 1099511627776; 0 means no limit."`
	MaxMemoryBytes            int64         `default:"0" help:"Memory above 90 percent of which, without what the next collection frees, new connections are refused, 134217728 to 1099511627776; 0 means GOMEMLIMIT when that is set, else no limit."`
}

func (l *Limits) check() error {
	const most = 10_000_000
	return checkRanges(
		orZero(l.MaxConnections, number("max-connections", l.MaxConnections, 1, most)),
		orZero(l.MaxConnectionsPerAddress, number("max-connections-per-address", l.MaxConnectionsPerAddress, 1, most)),
		orZero(l.MaxConnectionsPerIdentity, number("max-connections-per-identity", l.MaxConnectionsPerIdentity, 1, most)),
		orZero(l.ConnectionRate, number("connection-rate", l.ConnectionRate, 1, 1_000_000)),
		orZero(l.MessageRate, number("message-rate", l.MessageRate, 1, 1_000_000)),
		duration("handshake-timeout", l.HandshakeTimeout, 100*time.Millisecond, 10*time.Minute),
		orZero(l.IdleTimeout, duration("idle-timeout", l.IdleTimeout, time.Second, 24*time.Hour)),
		orZero(l.MaxRetainedBytes, number("max-retained-bytes", l.MaxRetainedBytes, 1<<20, 1<<40)),
		orZero(l.MaxMemoryBytes, number("max-memory-bytes", l.MaxMemoryBytes, 128<<20, 1<<40)),
	)
}
