package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// soon is the time before the end of a certificate from which on it is a warning.
const soon = 14 * 24 * time.Hour

// certificate looks at the certificate as a client does: its chain, its name and its times.
func (p *patient) certificate(ctx context.Context) Finding {
	ctx, cancel := p.step(ctx)
	defer cancel()
	conn, err := p.handshake(ctx)
	if err != nil {
		return failed("certificate", adviseTLS, "the TLS handshake fails: %v", err)
	}
	defer conn.Close()
	return judgeCertificate(conn.ConnectionState().PeerCertificates, p.roots, p.serverName(p.address), time.Now())
}

// judgeCertificate judges the chain that a server sent, its own certificate first. No roots means those of the system.
func judgeCertificate(chain []*x509.Certificate, roots *x509.CertPool, name string, now time.Time) Finding {
	const check = "certificate"
	if len(chain) == 0 {
		return failed(check, certificateAt("give the ingress a certificate"), "the ingress has none")
	}
	own := chain[0]
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	ends := own.NotAfter.UTC().Format(time.DateOnly)
	if err := own.VerifyHostname(name); err != nil {
		return failed(check, certificateAt(fmt.Sprintf("use a certificate for %s, or the name that clients use: --server-name", name)),
			"it is for %s, and not for %s", names(own), name)
	}
	_, err := own.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now})
	invalid := x509.CertificateInvalidError{}
	switch {
	case err == nil && own.NotAfter.Sub(now) < soon:
		return warning(check, certificateAt("renew the certificate"), "for %s, from %s; it ends on %s, in %s",
			names(own), own.Issuer, ends, left(own.NotAfter.Sub(now)))
	case err == nil:
		return ok(check, "for %s, from %s, good until %s", names(own), own.Issuer, ends)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && now.After(invalid.Cert.NotAfter):
		return failed(check, certificateAt("renew the certificate"), "that of %s expired on %s",
			invalid.Cert.Subject, invalid.Cert.NotAfter.UTC().Format(time.DateOnly))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return failed(check, certificateAt("use a certificate that is good already, or set the clock here"), "that of %s is not good before %s",
			invalid.Cert.Subject, invalid.Cert.NotBefore.UTC().Format(time.DateOnly))
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return failed(check, certificateAt("send the whole chain, or name the authority with --ca, to clients and app servers as well"),
			"it is from %s, which is not trusted here", own.Issuer)
	}
	return failed(check, certificateAt("use a certificate that clients can verify"), "it does not verify: %v", err)
}

// names returns the names that a certificate is for.
func names(c *x509.Certificate) string {
	all := c.DNSNames
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no name"
	}
	return strings.Join(all, ", ")
}

// left writes what is left of a time, in days when there are some.
func left(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
	}
	return d.Round(time.Minute).String()
}
