package hostile_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/protobuf/encoding/protowire"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// resumeAttacks are attacks by clients that may come in, on resumable connections of others and on their own.
func resumeAttacks() (all []attack) {
	for _, over := range transports {
		for _, some := range [][]attack{badTokens(over), badResumes(over), badNumbers(over), badFrames(over), floodsOfResumes(over)} {
			for _, c := range some {
				c.name = "resumable over " + over.name + ": " + c.name
				all = append(all, c)
			}
		}
	}
	return all
}

// payload returns what a token says, to be changed.
func (c *caller) payload() (header map[string]any, said jwt.MapClaims) {
	c.a.t.Helper()
	t, _, err := jwt.NewParser().ParseUnverified(c.token, jwt.MapClaims{})
	if err != nil {
		c.a.t.Fatal(err)
	}
	return t.Header, t.Claims.(jwt.MapClaims)
}

// badTokens are resumes with a token that is not good. The owner goes on as if nothing had been.
func badTokens(over transport) []attack {
	with := func(name, want string, token func(c *caller) string) attack {
		return attack{name, want, func(a *arm) error {
			c := a.owner(over)
			_, err := c.resume(token(c), "", c.heard, 0)
			c.speak()
			return err
		}}
	}
	signed := func(name, want string, change func(header map[string]any, said jwt.MapClaims)) attack {
		return with(name, want, func(c *caller) string {
			header, said := c.payload()
			change(header, said)
			return c.a.signer.sign(jwt.SigningMethodHS256, c.a.resumeKey, header, said)
		})
	}
	const invalid = "RESUME_TOKEN_INVALID"
	return []attack{
		with("no token", invalid, func(*caller) string { return "" }),
		with("garbage for a token", invalid, func(*caller) string { return "garbage" }),
		with("a token of a megabyte", invalid, func(*caller) string { return strings.Repeat("x", 1<<19) }),
		with("a token with its signature taken away", invalid, func(c *caller) string { return c.token[:strings.LastIndexByte(c.token, '.')+1] }),
		with("a token with a part of another", invalid, func(c *caller) string {
			mine, others := strings.Split(c.token, "."), strings.Split(c.a.owner(over).token, ".")
			return mine[0] + "." + others[1] + "." + mine[2]
		}),
		with("a token that is signed by another key", invalid, func(c *caller) string {
			header, said := c.payload()
			return c.a.signer.sign(jwt.SigningMethodHS256, bytes.Repeat([]byte("x"), 32), header, said)
		}),
		with("a token that is not signed", invalid, func(c *caller) string {
			header, said := c.payload()
			header["alg"] = "none"
			return c.a.signer.sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, header, said)
		}),
		with("the token of its user for a resume token", invalid, func(c *caller) string { return c.a.signer.good(c.subject) }),
		signed("a token that names another key", invalid, func(header map[string]any, _ jwt.MapClaims) { header["kid"] = "../../etc/passwd" }),
		signed("a token for another purpose", invalid, func(_ map[string]any, said jwt.MapClaims) { said["aud"] = audience }),
		signed("a token that never expires", invalid, func(_ map[string]any, said jwt.MapClaims) { delete(said, "exp") }),
		signed("a token of no connection", invalid, func(_ map[string]any, said jwt.MapClaims) { said["c"] = "0" }),
		signed("an expired token", "RESUME_TOKEN_EXPIRED", func(_ map[string]any, said jwt.MapClaims) { said["exp"] = time.Now().Unix() - 1 }),
		signed("a token of an app server that is not there", "NO_APP_SERVER", func(_ map[string]any, said jwt.MapClaims) { said["s"] = "app-2" }),
		signed("a token of a process that is not there", "NO_APP_SERVER", func(_ map[string]any, said jwt.MapClaims) { said["n"] = "1" }),
		signed("a token of a connection that is not there", "UNKNOWN_CONNECTION", func(_ map[string]any, said jwt.MapClaims) { said["c"] = "dead" }),
		{"a resume token for the token of its user", "UNAUTHENTICATED", func(a *arm) error {
			c := a.owner(over)
			l, err := over.dial(a, c.token)
			if err == nil {
				next := &caller{link: l, a: a}
				next.request(&holdfastv1.ConnectRequest{Hello: &holdfastv1.Hello{Resumable: true}})
				err = next.end()
			}
			c.speak()
			return err
		}},
		{"the resume token of another user", "RESUME_TOKEN_FOREIGN", func(a *arm) error {
			c := a.owner(over)
			_, err := c.resume(c.token, "thief", c.heard, 0)
			c.speak()
			return err
		}},
		{"a replayed token", "RESUME_TOKEN_REPLAYED", func(a *arm) error {
			c := a.owner(over)
			next := c.mustResume()
			_, err := next.resume(c.token, "", c.heard, 0)
			next.speak()
			return err
		}},
	}
}

// badResumes are hellos with a good token, and something beside it that cannot be.
func badResumes(over transport) []attack {
	claims := func(name string, received, consumed uint64) attack {
		return attack{name, "IMPOSSIBLE_NUMBER", func(a *arm) error {
			c := a.owner(over)
			c.speak()
			c.request(&holdfastv1.ConnectRequest{ConsumedSeq: 1})
			for seen := false; !seen; { // the application has the receipt by the time at which it has what follows
				c.speak()
				_, err := c.resume(c.token, "", 0, 0)
				seen = outcome(err) == "IMPOSSIBLE_NUMBER"
				if err == nil {
					a.t.Fatal("it is believed that it has acknowledged nothing")
				}
			}
			_, err := c.resume(c.token, "", received, consumed)
			c.mustResume()
			return err
		}}
	}
	hello := func(name, want string, change func(*holdfastv1.Hello)) attack {
		return attack{name, want, func(a *arm) error {
			c := a.owner(over)
			h := &holdfastv1.Hello{Resume: &holdfastv1.ResumeRequest{Token: c.token, ReceivedSeq: c.heard}}
			change(h)
			_, err := a.call(over, c.subject, h)
			c.speak()
			return err
		}}
	}
	return []attack{
		claims("a client that has received the future", 1000, 1),
		claims("a client that has received all there can be", 1<<64-1, 1),
		claims("a client that has consumed what it has not received", 2, 1<<64-1),
		claims("a client that has received less than it acknowledged", 0, 0),
		hello("another application beside the token", "INVALID_FIELD", func(h *holdfastv1.Hello) { h.Application = "rogue" }),
		hello("a megabyte of an application beside the token", "INVALID_FIELD", func(h *holdfastv1.Hello) {
			h.Application = strings.Repeat("x", 1<<19)
		}),
	}
}

// badNumbers are requests that end the stream and nothing else: the owner comes anew and goes on.
func badNumbers(over transport) []attack {
	sends := func(name, want string, m ...*holdfastv1.ConnectRequest) attack {
		return attack{name, want, func(a *arm) error {
			c := a.owner(over)
			for _, m := range m {
				c.request(m)
			}
			err := c.end()
			c.mustResume()
			return err
		}}
	}
	item := &holdfastv1.ClientMessage{Content: &holdfastv1.ClientMessage_Text{Text: "x"}}
	const impossible, unexpected = "IMPOSSIBLE_NUMBER", "UNEXPECTED_MESSAGE"
	return []attack{
		sends("a gap", impossible, numbered(3)),
		sends("the last number there is", impossible, numbered(1<<64-1)),
		sends("a batch from the last number on", impossible, &holdfastv1.ConnectRequest{
			FirstSeq: 1<<64 - 1, Messages: []*holdfastv1.ClientMessage{item, item, item},
		}),
		sends("a receipt for the future", impossible, &holdfastv1.ConnectRequest{ConsumedSeq: 2}),
		sends("a receipt for all there can be", impossible, &holdfastv1.ConnectRequest{ConsumedSeq: 1<<64 - 1}),
		sends("no number", unexpected, text("x")),
		sends("a number of nothing", unexpected, &holdfastv1.ConnectRequest{FirstSeq: 2}),
		sends("nothing at all", unexpected, &holdfastv1.ConnectRequest{}),
		sends("a second hello", unexpected, &holdfastv1.ConnectRequest{Hello: &holdfastv1.Hello{Resumable: true}}),
		sends("text beside messages", unexpected, &holdfastv1.ConnectRequest{
			FirstSeq: 2, Content: text("x").Content, Messages: []*holdfastv1.ClientMessage{item},
		}),
		sends("a message over the limit", "MESSAGE_TOO_LARGE", &holdfastv1.ConnectRequest{FirstSeq: 2, Content: text(strings.Repeat("x", 1<<20+1)).Content}),
		{"numbers from a plain client", unexpected, func(a *arm) error {
			l, err := over.dial(a, a.signer.good("rude"))
			if err != nil {
				return err
			}
			c := &caller{link: l, a: a}
			c.request(hello("echo"))
			c.request(numbered(1))
			return c.end()
		}},
		{"a message after its own close", "none|" + unexpected, func(a *arm) error {
			c := a.owner(over)
			c.request(&holdfastv1.ConnectRequest{FirstSeq: 2, Messages: []*holdfastv1.ClientMessage{
				{Content: &holdfastv1.ClientMessage_Close{Close: &holdfastv1.ClientClose{Detail: strings.Repeat("x", 1<<19)}}}, item,
			}})
			return c.end()
		}},
	}
}

// badFrames are bytes that are no request.
func badFrames(over transport) []attack {
	malformed, notUTF8 := "Internal", "Internal"
	if over.name == "WebSocket" {
		malformed, notUTF8 = "MALFORMED_MESSAGE", "UNEXPECTED_MESSAGE"
	}
	sends := func(name, want, b string) attack {
		return attack{name, want, func(a *arm) error {
			c := a.owner(over)
			_ = c.send([]byte(b)) // the end of the stream says why
			err := c.end()
			c.mustResume()
			return err
		}}
	}
	attacks := []attack{
		sends("garbage", malformed, "\xff\xff\xffgarbage"),
		sends("a length of 2^63", malformed, string(protowire.AppendVarint(protowire.AppendTag(nil, 4, protowire.BytesType), 1<<63))),
		sends("text that is not UTF-8", notUTF8, "\x28\x02\x12\x02\xff\xfe"),
		sends("text that is not UTF-8 in a batch", notUTF8, "\x28\x02\x22\x04\x0a\x02\xff\xfe"),
		sends("a quarter of a million empty messages", malformed+"|UNEXPECTED_MESSAGE", strings.Repeat("\x22\x02\x0a\x00", 1<<18)),
	}
	if over.name != "WebSocket" {
		return attacks
	}
	return append(attacks, attack{"a text frame", "MALFORMED_MESSAGE", func(a *arm) error {
		c := a.owner(over)
		if err := c.link.(socketLink).conn.Write(a.ctx, 1, []byte("hello")); err != nil {
			return err
		}
		err := c.end()
		c.mustResume()
		return err
	}}, sends("a frame of 4 MiB", "MESSAGE_TOO_LARGE", strings.Repeat("x", 4<<20)))
}

// floodsOfResumes are many resumes.
func floodsOfResumes(over transport) []attack {
	const coming, leaving = 400, 200
	return []attack{
		{"a resume while the old stream sends", "RESUMED_ELSEWHERE", func(a *arm) error {
			c := a.owner(over)
			for range 5 {
				var sending sync.WaitGroup
				old, first, half := c, c.said+1, make(chan struct{})
				sending.Go(func() {
					for seq := first; seq < first+80; seq++ { // 80 in a round stay below the rate
						if seq == first+40 {
							close(half)
						}
						old.request(numbered(seq))
					}
				})
				<-half
				next, err := old.resume(old.token, "", old.heard, 0)
				sending.Wait()
				if err != nil {
					return err
				}
				if err := old.end(); outcome(err) != "RESUMED_ELSEWHERE" {
					return err
				}
				for c, c.said = next, next.welcome.GetReceivedSeq(); c.said < first+79; {
					c.say()
				}
				if err := c.hear(c.said); err != nil {
					return err
				}
				time.Sleep(time.Second / 4) // what it may send in a second is bounded
			}
			return refusal("RESUMED_ELSEWHERE")
		}},
		{"hundreds of resumes at once with one token", "RESUMED_ELSEWHERE|TOO_MANY_CONNECTIONS", func(a *arm) error {
			c := a.owner(over)
			var mu sync.Mutex
			ends := make(map[string]int)
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for range coming / 8 {
						l, err := over.dial(a, a.signer.good(c.subject))
						if err == nil {
							next := &caller{link: l, a: a}
							next.request(&holdfastv1.ConnectRequest{Hello: &holdfastv1.Hello{
								Resume: &holdfastv1.ResumeRequest{Token: c.token, ReceivedSeq: c.heard},
							}})
							_, err = next.response()
							next.leave()
						}
						mu.Lock()
						ends[outcome(err)]++
						mu.Unlock()
					}
				})
			}
			all.Wait()
			a.t.Log(ends)
			for reason := range ends {
				if !slices.Contains([]string{"none", "RESUMED_ELSEWHERE", "TOO_MANY_CONNECTIONS"}, reason) {
					return fmt.Errorf("one ended with %s", reason)
				}
			}
			c.mustResume()
			return c.end()
		}},
		{"hundreds that come and leave of one identity", "TOO_MANY_CONNECTIONS", func(a *arm) error {
			let, err := 0, error(nil)
			for range leaving {
				var c *caller
				if c, err = a.call(over, "fleeting "+over.name, &holdfastv1.Hello{Application: "echo", Resumable: true}); err == nil {
					c.leave()
					let++
				}
			}
			if let < perIdentity || let > 10*perIdentity { // each is counted for as long as its connection waits for it
				a.t.Errorf("%d of %d were let in", let, leaving)
			}
			a.owner(over).speak()
			return err
		}},
	}
}
