package doctor

import (
	"crypto/rand"
	"errors"
	"fmt"
)

const (
	// chunk is the size of the messages of the long stream, and longStream what it carries: more than the 1 MiB at which
	// nginx ends a body by default. Both in bytes.
	chunk      = 64 << 10
	longStream = 1<<20 + 8*chunk
)

// echo looks whether the application echoes, which more checks need. One small message is all that another application gets.
func (p *patient) echo(s *session) Finding {
	const check = "echo"
	if p.NoMessages {
		return skipped(check, "--no-messages was given")
	}
	err := s.echo([]byte("holdfast doctor " + rand.Text()))
	switch {
	case err == nil:
		p.echoes = true
		return ok(check, "the application %q echoes", p.welcome.GetApplication())
	case errors.Is(err, errNoEcho):
		return skipped(check, "the application %q does not echo; what needs an echo is left out (the sample application echoes)", p.welcome.GetApplication())
	}
	return failed(check, asIs("look at the log of the application, and try the sample application, which echoes"),
		"the stream ended at the first message: %s", words(err))
}

// longStream carries more over one stream than the body of a request may have by default.
func (p *patient) longStream(s *session) Finding {
	payload := random(min(chunk, int(s.welcome.GetMaxMessageBytes())))
	sent := 0
	for ; sent < longStream; sent += len(payload) {
		if err := s.echo(payload); err != nil {
			return judgeLongStream(sent, err)
		}
	}
	return judgeLongStream(sent, nil)
}

func judgeLongStream(sent int, err error) Finding {
	const check = "long-stream"
	if err == nil {
		return ok(check, "a stream carries %s from the client, and back", size(sent))
	}
	return failed(check, adviseBody, "the stream was cut after %s from the client: %s", size(sent), words(err))
}

// largeMessage carries one message as large as the relay lets it be.
func (p *patient) largeMessage(s *session) Finding {
	const check = "large-message"
	limit := int(s.welcome.GetMaxMessageBytes())
	if limit <= 0 || limit > maxReceive {
		return skipped(check, "the relay gives a limit of %s, which the doctor does not try", size(limit))
	}
	if err := s.echo(random(limit)); err != nil {
		return failed(check, adviseMessage, "a message of %s, the relay's limit, does not come back: %s", size(limit), words(err))
	}
	return ok(check, "a message of %s, the relay's limit, goes and comes back", size(limit))
}

func random(n int) []byte {
	payload := make([]byte, n)
	_, _ = rand.Read(payload) // Never fails.
	return payload
}

// size writes a number of bytes for people.
func size(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
