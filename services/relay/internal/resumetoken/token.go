// Package resumetoken signs and verifies the tokens with which resumable clients come back, to any relay that has the keys.
package resumetoken

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/wire"
)

const (
	// audience keeps these tokens apart from those that say who a client is.
	audience = "holdfast-resume"
	// maxToken bounds a token, in bytes. Names as people give them make one of a tenth of that.
	maxToken = 4 << 10
)

// Claims are what a token says, and all that a relay needs to know of a connection to take it.
type Claims struct {
	Connection  uint64
	Application string
	ServerID    string
	InstanceID  string
	// Nonce tells apart two processes that were given one InstanceID.
	Nonce uint64
	// Subject is the user; empty when clients show no token of their own.
	Subject string
	// Generation is of the epoch in which the token was given.
	Generation uint32
	// Expires is until when the token is good; of whole seconds.
	Expires time.Time
}

// payload is how they stand in a token. Numbers of 64 bits are in hexadecimal: JSON's are not exact.
type payload struct {
	Audience    string           `json:"aud"`
	Expires     *jwt.NumericDate `json:"exp"`
	Subject     string           `json:"sub,omitempty"`
	Connection  string           `json:"c"`
	Application string           `json:"a"`
	ServerID    string           `json:"s"`
	InstanceID  string           `json:"i"`
	Nonce       string           `json:"n"`
	Generation  uint32           `json:"g"`
}

// They are what package jwt asks for. It is told to check none of them: that is done here, where the caller says what time it is.

func (p *payload) GetExpirationTime() (*jwt.NumericDate, error) { return p.Expires, nil }
func (p *payload) GetIssuedAt() (*jwt.NumericDate, error)       { return nil, nil }
func (p *payload) GetNotBefore() (*jwt.NumericDate, error)      { return nil, nil }
func (p *payload) GetIssuer() (string, error)                   { return "", nil }
func (p *payload) GetSubject() (string, error)                  { return p.Subject, nil }
func (p *payload) GetAudience() (jwt.ClaimStrings, error)       { return jwt.ClaimStrings{p.Audience}, nil }

var parser = jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithoutClaimsValidation())

// Sign returns a token that says the claims.
func (k *Keys) Sign(c Claims) (string, error) {
	p := &payload{
		Audience: audience, Expires: jwt.NewNumericDate(c.Expires), Subject: c.Subject, Connection: strconv.FormatUint(c.Connection, 16),
		Application: c.Application, ServerID: c.ServerID, InstanceID: c.InstanceID, Nonce: strconv.FormatUint(c.Nonce, 16),
		Generation: c.Generation,
	}
	if _, err := p.claims(); err != nil {
		return "", fmt.Errorf("a resume token cannot say this: %w", err)
	}
	first := k.ring()[0]
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, p)
	t.Header["kid"] = first.id
	token, err := t.SignedString(first.secret)
	if err != nil {
		return "", fmt.Errorf("signing a resume token: %w", err)
	}
	if len(token) > maxToken {
		return "", fmt.Errorf("a resume token of %d bytes; %d are allowed: the names of the app server or the client's subject are too long",
			len(token), maxToken)
	}
	return token, nil
}

// Verify returns what the token says. Its error has the reason RESUME_TOKEN_INVALID or RESUME_TOKEN_EXPIRED, and does not say the token.
func (k *Keys) Verify(token string, now time.Time) (Claims, error) {
	if len(token) > maxToken {
		return Claims{}, invalid("it has %d bytes; want %d at most", len(token), maxToken)
	}
	var p payload
	if _, err := parser.ParseWithClaims(token, &p, k.key); err != nil {
		return Claims{}, invalid("%v", err)
	}
	c, err := p.claims()
	if err != nil {
		return Claims{}, invalid("%v", err)
	}
	if !now.Before(c.Expires) {
		return Claims{}, wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_RESUME_TOKEN_EXPIRED,
			"the resume token was good until %s; connect anew", c.Expires.UTC().Format(time.RFC3339))
	}
	return c, nil
}

// key returns the secret that the token was signed with, as it says.
func (k *Keys) key(t *jwt.Token) (any, error) {
	id, ok := t.Header["kid"].(string)
	if !ok {
		return nil, errors.New("it names no key (kid)")
	}
	if secret := k.ring().find(id); secret != nil {
		return secret, nil
	}
	return nil, errors.New("the key that it names (kid) does not hold here")
}

// claims checks that nothing is missing.
func (p *payload) claims() (Claims, error) {
	c := Claims{Application: p.Application, ServerID: p.ServerID, InstanceID: p.InstanceID, Subject: p.Subject, Generation: p.Generation}
	if p.Audience != audience {
		return Claims{}, fmt.Errorf("its audience (aud) is %q; want %q", p.Audience, audience)
	}
	var err error
	if c.Connection, err = strconv.ParseUint(p.Connection, 16, 64); err != nil || c.Connection == 0 {
		return Claims{}, errors.New("it names no connection (c)")
	}
	if c.Nonce, err = strconv.ParseUint(p.Nonce, 16, 64); err != nil {
		return Claims{}, errors.New("it names no process of an app server (n)")
	}
	switch {
	case p.Application == "":
		return Claims{}, errors.New("it names no application (a)")
	case p.ServerID == "" || p.InstanceID == "":
		return Claims{}, errors.New("it names no app server (s, i)")
	case p.Generation == 0:
		return Claims{}, errors.New("it names no generation (g)")
	case p.Expires == nil:
		return Claims{}, errors.New("it never expires (exp)")
	}
	c.Expires = p.Expires.Time
	return c, nil
}

func invalid(format string, args ...any) error {
	return wire.Errorf(holdfastv1.ErrorReason_ERROR_REASON_RESUME_TOKEN_INVALID, "the resume token is not good: "+format, args...)
}
