package doctor

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// preface is how an HTTP/2 connection begins: the fixed words, and an empty SETTINGS frame.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

const (
	frameHeader          = 9
	frameSettings        = 4
	maxSettings          = 16 << 10
	maxConcurrentStreams = 3
)

// http2 looks whether HTTP/2 is spoken: in plaintext from the first byte on, or agreed on by ALPN.
func (p *patient) http2(ctx context.Context) Finding {
	const check = "http2"
	ctx, cancel := p.step(ctx)
	defer cancel()
	if !p.TLS {
		return p.judgePlain(ctx, check)
	}
	conn, err := p.handshake(ctx)
	if err != nil {
		if a := p.preface(ctx); a.err == nil || a.text != "" {
			return failed(check, adviseTLS, "no TLS: it speaks plaintext (%s)", a)
		}
		return failed(check, adviseTLS, "the TLS handshake fails: %v", err)
	}
	defer conn.Close()
	state := conn.ConnectionState()
	if state.NegotiatedProtocol != "h2" {
		return failed(check, adviseALPN, "TLS, but ALPN agrees on %q and not on \"h2\"", state.NegotiatedProtocol)
	}
	if a := converse(ctx, conn); a.err != nil {
		return failed(check, adviseALPN, "%s, with ALPN h2, but then no HTTP/2: %s", tls.VersionName(state.Version), a)
	} else {
		return ok(check, "%s, ALPN h2, %s", tls.VersionName(state.Version), a)
	}
}

func (p *patient) judgePlain(ctx context.Context, check string) Finding {
	a := p.preface(ctx)
	if a.err == nil {
		return ok(check, "plaintext, %s", a)
	}
	if conn, err := p.handshake(ctx); err == nil {
		_ = conn.Close()
		return failed(check, asIs("run the doctor with --tls, and have clients and app servers speak TLS here as well"),
			"speaks TLS, and no plaintext (%s)", a)
	}
	return failed(check, adviseListenHTTP2, "speaks no HTTP/2: %s", a)
}

// handshake opens a TLS connection with whatever certificate there is.
func (p *patient) handshake(ctx context.Context) (*tls.Conn, error) {
	config := p.tlsConfig(p.address, false)
	config.NextProtos = []string{"h2", "http/1.1"} // So that an ingress that lacks h2 says so, and does not hang up.
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	return conn.(*tls.Conn), nil
}

// preface begins HTTP/2 in plaintext.
func (p *patient) preface(ctx context.Context) answer {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.address)
	if err != nil {
		return answer{err: err}
	}
	defer conn.Close()
	return converse(ctx, conn)
}

// answer is what came for the preface.
type answer struct {
	streams uint32 // SETTINGS_MAX_CONCURRENT_STREAMS; 0 when it is not limited
	text    string // the first line, when it was no HTTP/2
	err     error
}

func (a answer) String() string {
	switch {
	case a.text != "":
		return fmt.Sprintf("it answers %q", a.text)
	case a.err != nil:
		return a.err.Error()
	case a.streams == 0:
		return "HTTP/2 with any number of streams on a connection"
	}
	return fmt.Sprintf("HTTP/2 with %d streams on a connection", a.streams)
}

var errNoHTTP2 = errors.New("the answer is no HTTP/2")

// converse begins HTTP/2 on a connection and reads the first frame, which must be SETTINGS.
func converse(ctx context.Context, conn net.Conn) answer {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if _, err := io.WriteString(conn, preface); err != nil {
		return answer{err: err}
	}
	var head [frameHeader]byte
	n, err := io.ReadFull(conn, head[:])
	if n == 0 {
		return answer{err: fmt.Errorf("no answer: %w", err)}
	}
	length := binary.BigEndian.Uint32(append([]byte{0}, head[:3]...))
	if err != nil || head[3] != frameSettings || length > maxSettings {
		return answer{text: firstLine(head[:n], conn), err: errNoHTTP2}
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(conn, body); err != nil {
		return answer{err: fmt.Errorf("SETTINGS with no end: %w", err)}
	}
	return answer{streams: setting(body, maxConcurrentStreams)}
}

// setting returns the value of a setting in the body of a SETTINGS frame, 0 when it is not there.
func setting(body []byte, which uint16) uint32 {
	for ; len(body) >= 6; body = body[6:] {
		if binary.BigEndian.Uint16(body) == which {
			return binary.BigEndian.Uint32(body[2:])
		}
	}
	return 0
}

// firstLine returns the start of what is no HTTP/2, for people. It waits for the rest for a moment only.
func firstLine(begun []byte, conn net.Conn) string {
	_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	rest := make([]byte, 64)
	n, _ := conn.Read(rest)
	line, _, _ := strings.Cut(string(begun)+string(rest[:n]), "\n")
	return strings.TrimSpace(line)
}
