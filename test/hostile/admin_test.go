package hostile_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/channelz/grpc_channelz_v1"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// operate calls the admin listener with headers and returns what that ended with.
func (a *arm) operate(headers ...string) error {
	conn := a.dialAdmin()
	defer conn.Close()
	_, err := holdfastv1.NewAdminServiceClient(conn).ListIngresses(metadata.AppendToOutgoingContext(a.ctx, headers...),
		&holdfastv1.ListIngressesRequest{})
	return err
}

// get asks the admin listener for a page.
func (a *arm) get(change func(*http.Request)) error {
	transport := &http.Transport{TLSClientConfig: a.tls(), DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(a.ctx, http.MethodGet, "https://"+a.admin+"/", nil)
	if err != nil {
		return err
	}
	change(r)
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return refusal(fmt.Sprintf("HTTP %d", resp.StatusCode))
}

// metrics returns the metrics page, as an operator gets it.
func (a *arm) metrics() (string, error) {
	transport := &http.Transport{TLSClientConfig: a.tls(), DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(a.ctx, http.MethodGet, "https://"+a.admin+"/metrics", nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = refusal(fmt.Sprintf("HTTP %d", resp.StatusCode))
	}
	return string(b), err
}

// adminAttacks are attacks on the admin listener, and on it from the other.
func adminAttacks(st *stage) []attack {
	asOperator := func(name, want string, call func(a *arm, c holdfastv1.AdminServiceClient) error) attack {
		return attack{"operator: " + name, want, func(a *arm) error {
			conn := a.dialAdmin()
			defer conn.Close()
			a.ctx = authorized(a.ctx, adminToken)
			return call(a, holdfastv1.NewAdminServiceClient(conn))
		}}
	}
	return []attack{
		{"admin: no token", "UNAUTHENTICATED", func(a *arm) error { return a.operate() }},
		{"admin: a wrong token", "UNAUTHENTICATED", func(a *arm) error { return a.operate(bearer("wrong-token-of-operators")...) }},
		{"admin: the beginning of the token", "UNAUTHENTICATED", func(a *arm) error { return a.operate(bearer(adminToken[:8])...) }},
		{"admin: an empty token", "UNAUTHENTICATED", func(a *arm) error { return a.operate(bearer("")...) }},
		{"admin: the token of a client", "UNAUTHENTICATED", func(a *arm) error { return a.operate(bearer(st.signer.good("mallory"))...) }},
		{"admin: the token in another scheme", "UNAUTHENTICATED", func(a *arm) error { return a.operate("authorization", "Digest "+adminToken) }},
		{"admin: events with no token", "UNAUTHENTICATED", func(a *arm) error {
			conn := a.dialAdmin()
			defer conn.Close()
			w, err := holdfastv1.NewAdminServiceClient(conn).WatchEvents(a.ctx, &holdfastv1.WatchEventsRequest{})
			if err == nil {
				_, err = w.Recv()
			}
			return err
		}},
		{"admin: channelz with no token", "UNAUTHENTICATED", func(a *arm) error {
			conn := a.dialAdmin()
			defer conn.Close()
			_, err := grpc_channelz_v1.NewChannelzClient(conn).GetServers(a.ctx, &grpc_channelz_v1.GetServersRequest{})
			return err
		}},
		{"admin: plaintext", "Unavailable", func(a *arm) error {
			conn, err := grpc.NewClient(a.admin, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = holdfastv1.NewAdminServiceClient(conn).ListIngresses(authorized(a.ctx, adminToken), &holdfastv1.ListIngressesRequest{})
			return err
		}},
		{"admin: a page with no token", "HTTP 401", func(a *arm) error { return a.get(func(*http.Request) {}) }},
		{"admin: a page with a wrong password", "HTTP 401", func(a *arm) error {
			return a.get(func(r *http.Request) { r.SetBasicAuth("operator", "wrong") })
		}},
		{"admin: a page with a wrong token", "HTTP 401", func(a *arm) error {
			return a.get(func(r *http.Request) { r.Header.Set("Authorization", "Bearer wrong") })
		}},
		{"admin: from the application port", "Unimplemented", func(a *arm) error {
			_, err := holdfastv1.NewAdminServiceClient(a.dial(way{})).ListIngresses(authorized(a.ctx, adminToken), &holdfastv1.ListIngressesRequest{})
			return err
		}},
		{"admin: channelz from the application port", "Unimplemented", func(a *arm) error {
			_, err := grpc_channelz_v1.NewChannelzClient(a.dial(way{})).GetServers(authorized(a.ctx, adminToken), &grpc_channelz_v1.GetServersRequest{})
			return err
		}},
		{"admin: clients on its port", "UNAUTHENTICATED|Unimplemented", func(a *arm) error {
			conn := a.dialAdmin()
			defer conn.Close()
			st, err := holdfastv1.NewClientConnectionServiceClient(conn).Connect(authorized(a.ctx, a.signer.good("mallory")))
			if err != nil {
				return err
			}
			_, err = st.Recv()
			return err
		}},
		asOperator("an id that is none", "INVALID_FIELD|UNKNOWN_CONNECTION", func(a *arm, c holdfastv1.AdminServiceClient) error {
			_, err := c.CloseConnection(a.ctx, &holdfastv1.CloseConnectionRequest{ConnectionId: "' OR 1=1 --"})
			return err
		}),
		asOperator("an ingress that nobody knows", "UNKNOWN_INGRESS", func(a *arm, c holdfastv1.AdminServiceClient) error {
			w, err := c.ReloadIngress(a.ctx, &holdfastv1.ReloadIngressRequest{Ingress: "../../etc"})
			if err == nil {
				_, err = w.Recv()
			}
			return err
		}),
		asOperator("a page of four billion", "INVALID_FIELD", func(a *arm, c holdfastv1.AdminServiceClient) error {
			_, err := c.ListClientConnections(a.ctx, &holdfastv1.ListClientConnectionsRequest{PageSize: 1<<32 - 1})
			return err
		}),
		asOperator("a page token that is none", "INVALID_FIELD", func(a *arm, c holdfastv1.AdminServiceClient) error {
			_, err := c.ListClientConnections(a.ctx, &holdfastv1.ListClientConnectionsRequest{PageToken: "\x00"})
			return err
		}),
	}
}

// transportAttacks are below gRPC. What is wanted is that the relay lets go, within a bound.
func transportAttacks() []attack {
	closes := func(name, send string) attack {
		return attack{"transport: " + name, "let go", func(a *arm) error {
			c, err := fromAbroad(a.ctx, a.address)
			if err != nil {
				return err
			}
			defer c.Close()
			return a.untilClosed(c, send)
		}}
	}
	overTLS := func(name string, protocols []string, send string) attack {
		return attack{"transport: " + name, "let go", func(a *arm) error {
			config := a.tls()
			config.NextProtos = protocols
			plain, err := (&net.Dialer{}).DialContext(a.ctx, "tcp", a.address)
			if err != nil {
				return err
			}
			defer plain.Close()
			config.ServerName = "127.0.0.1"
			c := tls.Client(plain, config)
			if c.HandshakeContext(a.ctx) != nil {
				return refusal("let go")
			}
			return a.untilClosed(c, send)
		}}
	}
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	settings := "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	ping := "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678"
	return []attack{
		closes("silence instead of a TLS handshake", ""),
		closes("HTTP/1 in plaintext", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		closes("HTTP/2 in plaintext", preface+settings),
		closes("half of a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
		closes("noise", string(bytes.Repeat([]byte{0xa5}, 4096))),
		overTLS("no ALPN", nil, preface+settings),
		overTLS("ALPN for HTTP/1", []string{"http/1.1"}, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		overTLS("silence after the TLS handshake", []string{"h2"}, ""),
		overTLS("HTTP/1 after the TLS handshake", []string{"h2"}, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		overTLS("a frame that is too large", []string{"h2"}, preface+settings+"\xff\xff\xff\x00\x00\x00\x00\x00\x01"),
		overTLS("a window that overflows", []string{"h2"}, preface+settings+"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\xff\xff"+
			"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\xff\xff"+"\x00\x00\x01\x04\x00\x00\x00\x00\x00x"),
		overTLS("a flood of pings", []string{"h2"}, preface+settings+string(bytes.Repeat([]byte(ping), 100))),
		overTLS("headers that are no HPACK", []string{"h2"}, preface+settings+"\x00\x00\x04\x01\x05\x00\x00\x00\x01\xff\xff\xff\xff"),
		overTLS("a header block with no end", []string{"h2"}, preface+settings+"\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82"+
			"\x00\x00\x01\x01\x00\x00\x00\x00\x03\x82"),
		{"transport: an old version of TLS", "let go", func(a *arm) error {
			config := a.tls()
			config.MinVersion, config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
			c, err := (&tls.Dialer{Config: config}).DialContext(a.ctx, "tcp", a.address)
			if err != nil {
				return refusal("let go")
			}
			defer c.Close()
			return nil
		}},
		{"transport: two thousand streams that are reset at once", "the relay serves", func(a *arm) error {
			conn := a.dial(way{})
			for range 2000 {
				ctx, reset := context.WithCancel(authorized(a.ctx, a.signer.good("resetter")))
				_, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, connectMethod)
				reset()
				if err != nil {
					return err
				}
			}
			return a.serves()
		}},
		{"transport: two hundred connections that say nothing", "the relay serves", func(a *arm) error {
			for range 200 {
				c, err := fromAbroad(a.ctx, a.address)
				if err != nil {
					return err
				}
				defer c.Close()
			}
			return a.serves()
		}},
	}
}

// serves reports that a client of good standing is let in.
func (a *arm) serves() error {
	st := a.hold(bearer(a.signer.good("other")))
	_ = st.CloseSend()
	return refusal("the relay serves")
}

// untilClosed sends and reads until the relay closes the connection.
func (a *arm) untilClosed(c io.ReadWriter, send string) error {
	if _, err := io.WriteString(c, send); err != nil {
		return refusal("let go")
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_, _ = io.Copy(io.Discard, c)
	}()
	select {
	case <-closed:
		return refusal("let go")
	case <-a.ctx.Done():
		_ = c.(io.Closer).Close()
		<-closed
		return a.ctx.Err()
	}
}
