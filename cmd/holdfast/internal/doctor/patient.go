package doctor

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// patient is one address under examination. It is used by one goroutine at a time.
type patient struct {
	*doctor
	address string

	// conn is the one gRPC connection to the address; nil until HTTP/2 was seen there.
	conn *grpc.ClientConn
	// welcome is what a plain hello was answered with; nil until then.
	welcome *holdfastv1.Welcome
	// echoes says that the application was seen to echo.
	echoes bool
}

// examine makes the quick checks, each as far as the ones before it let it.
func (p *patient) examine(ctx context.Context) {
	if !p.run(p.accepts(ctx)) || !p.run(p.http2(ctx)) {
		return
	}
	verified := true
	if p.TLS {
		verified = p.run(p.certificate(ctx))
	}
	if p.Token != "" && !verified {
		p.run(skipped("health", "the certificate cannot be trusted, so that the token is not sent and nothing more is asked here"))
		return
	}
	if err := p.dial(verified); err != nil {
		p.run(failed("health", asIs("mend the address"), "gRPC does not take the address: %v", err))
		return
	}
	if !p.run(p.health(ctx)) {
		return
	}
	p.run(p.adminPort(ctx))
	p.talk(ctx)
}

// run takes a finding down and reports whether the next check has something to stand on.
func (p *patient) run(f Finding) bool {
	p.tell(p.address, f)
	return f.Outcome == OK || f.Outcome == Warning
}

func (p *patient) dial(verified bool) error {
	security := insecure.NewCredentials()
	if p.TLS {
		security = credentials.NewTLS(p.tlsConfig(p.address, verified))
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(security), grpc.WithNoProxy(), grpc.WithUserAgent("holdfast-doctor"),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReceive)),
	}
	if p.Token != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer{p.Token, p.TLS}))
	}
	var err error
	p.conn, err = grpc.NewClient("passthrough:///"+p.address, options...)
	return err
}

func (p *patient) close() {
	if p.conn != nil {
		_ = p.conn.Close()
	}
}

// talk makes the checks that talk to the application.
func (p *patient) talk(ctx context.Context) {
	s, err := p.open(ctx)
	if !p.run(judgeWelcome(err)) {
		return
	}
	defer s.close()
	p.welcome = s.welcome
	p.run(p.spoofing(ctx))
	f := p.echo(s)
	p.run(f)
	if !p.echoes {
		p.run(skipped("long-stream", "needs an application that echoes"))
		p.run(skipped("large-message", "needs an application that echoes"))
		return
	}
	if !p.run(p.longStream(s)) {
		p.run(skipped("large-message", "no stream carries that much: see long-stream"))
		return
	}
	p.run(p.largeMessage(s))
}

// bearer sends a token with each call.
type bearer struct {
	token  string
	secure bool
}

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

// RequireTransportSecurity lets a token go in plaintext only where the addresses are meant to speak it.
func (b bearer) RequireTransportSecurity() bool { return b.secure }

var errNoWelcome = errors.New("the first message is no welcome")
