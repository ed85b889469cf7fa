package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/client"
	"github.com/holdfast/holdfast/pkg/wire"
)

// passing are the reasons after which a client resumes; all others are final.
var passing = map[string]bool{
	"RELAY_SHUTDOWN": true, "NO_APP_SERVER": true, "OVERLOADED": true, "TOO_MANY_CONNECTIONS": true, "CONNECTION_RATE": true,
	"HANDSHAKE_TIMEOUT": true, "RESUMED_ELSEWHERE": true, "IMPOSSIBLE_NUMBER": true,
}

// tokens: those after which it resumes when it can get another token.
var tokens = map[string]bool{"UNAUTHENTICATED": true, "TOKEN_EXPIRED": true}

// everyError returns an error of each reason of the protocol with which a stream can end, by name.
func everyError() map[string]error {
	all := make(map[string]error)
	for n := range holdfastv1.ErrorReason_name {
		if r := holdfastv1.ErrorReason(n); n > 0 {
			all[wire.ReasonName(r)] = wire.Errorf(r, "as the test says")
		}
	}
	for n := range holdfastv1.CloseReason_name {
		if r := holdfastv1.CloseReason(n); n > 0 && r != holdfastv1.CloseReason_CLOSE_REASON_APPLICATION_CLOSED {
			all[wire.CloseReasonName(r)] = wire.CloseStatus(r, "as the test says")
		}
	}
	return all
}

func wireError(reason holdfastv1.ErrorReason) error { return wire.Errorf(reason, "as the test says") }

func TestWhatAStreamEndsWith(t *testing.T) {
	for name, err := range everyError() {
		t.Run(name, func(t *testing.T) {
			run(t, both, nil, func(t *testing.T, w *world) {
				w.stream(1).send(1, "came before")
				settle()
				w.stream(1).finish(err)
				pass(time.Second)
				w.receives("came before")
				if passing[name] {
					pass(time.Second)
					w.expect("2>welcomed 2>consumed1")
					w.alive(w.stream(2), 1, 2)
					return
				}
				why := w.lost(client.Reason(name))
				if why.Detail != "as the test says" || wire.ErrorReasonOf(why) != name {
					t.Errorf("%s: %q, %v", name, why.Detail, why.Err)
				}
				pass(time.Minute)
				if n := len(w.attemptsSoFar()); n != 1 {
					t.Errorf("the client tried again: %d attempts", n)
				}
				if err := w.conn.Close(t.Context()); !errors.Is(err, why) {
					t.Errorf("Close: %v", err)
				}
			})
		})
	}
}

func TestWhatAResumeIsRefusedWith(t *testing.T) {
	for name, err := range everyError() {
		t.Run(name, func(t *testing.T) {
			run(t, both, nil, func(t *testing.T, w *world) {
				w.answers(func(a attempt, welcome *holdfastv1.Welcome) (*holdfastv1.Welcome, error) {
					if a.n == 2 {
						return nil, err
					}
					return welcome, nil
				})
				w.home.cut()
				pass(10 * time.Second)
				if passing[name] {
					w.expect("2>welcomed")
					w.alive(w.stream(2), 1, 1)
					return
				}
				w.lost(client.Reason(name))
			})
		})
	}
}

func TestWhatAHelloIsRefusedWith(t *testing.T) {
	for name, err := range everyError() {
		t.Run(name, func(t *testing.T) {
			bubble(t, both, nil, func(t *testing.T, w *world) {
				w.answers(func(a attempt, welcome *holdfastv1.Welcome) (*holdfastv1.Welcome, error) {
					if a.n == 1 {
						return nil, err
					}
					return welcome, nil
				})
				conn, dialErr := client.Dial(t.Context(), w.config)
				if !passing[name] {
					isClosed(t, dialErr, client.Reason(name))
					return
				}
				if dialErr != nil {
					t.Fatal(dialErr)
				}
				if err := conn.Close(t.Context()); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		})
	}
}

func TestANewTokenMayHelp(t *testing.T) {
	counted := func(_ *world, c *client.Config) {
		n := 0
		c.Token = func(context.Context) (string, error) {
			n++
			return fmt.Sprint("jwt-", n), nil
		}
	}
	for name := range tokens {
		run(t, both, counted, func(t *testing.T, w *world) {
			w.stream(1).finish(everyError()[name])
			pass(time.Second)
			w.expect("2>welcomed")
			w.answers(func(a attempt, welcome *holdfastv1.Welcome) (*holdfastv1.Welcome, error) {
				if a.n == 3 || a.n >= 5 {
					return nil, everyError()[name]
				}
				return welcome, nil
			})
			w.stream(2).finish(everyError()[name])
			pass(time.Minute)
			w.expect("3>welcomed")
			w.stream(3).finish(nil)
			pass(time.Minute)
			w.lost(client.Reason(name)) // as two fresh ones in a row are refused
			for i, a := range w.attemptsSoFar() {
				if want := fmt.Sprint("Bearer jwt-", i+1); a.authorization != want {
					t.Errorf("attempt %d showed %q, want %q", a.n, a.authorization, want)
				}
			}
			if n := len(w.attemptsSoFar()); n != 6 {
				t.Errorf("there were %d attempts, want 6", n)
			}
		})
	}
}

func TestATokenThatIsNotToBeHadIsAskedForAgain(t *testing.T) {
	fails := func(_ *world, c *client.Config) {
		n := 0
		c.Token = func(context.Context) (string, error) {
			if n++; n <= 3 {
				return "", errors.New("the issuer is away")
			}
			return "jwt", nil
		}
	}
	run(t, both, fails, func(t *testing.T, w *world) {
		if a := w.attemptsSoFar(); len(a) != 1 || a[0].authorization != "Bearer jwt" {
			t.Errorf("the attempts are %v", a)
		}
	})
}

// TestErrorsOfTheWayAreNotFinal has an ingress, or whatever stands there, refuse in words that are not of the protocol.
func TestErrorsOfTheWayAreNotFinal(t *testing.T) {
	for _, code := range []codes.Code{
		codes.Unavailable, codes.Internal, codes.Unimplemented, codes.PermissionDenied, codes.Unknown, codes.DeadlineExceeded, codes.OK,
	} {
		run(t, both, nil, func(t *testing.T, w *world) {
			w.stream(1).finish(status.Error(code, "from a proxy"))
			pass(time.Second)
			w.expect("2>welcomed")
			w.alive(w.stream(2), 1, 1)
		})
	}
	run(t, both, nil, func(t *testing.T, w *world) {
		w.stream(1).finish(status.Error(codes.Unauthenticated, "from a proxy"))
		settle()
		w.lost(client.ReasonUnauthenticated)
	})
}

func TestItGivesUpInTheEnd(t *testing.T) {
	for given, want := range map[time.Duration]time.Duration{0: 90 * time.Second, 20 * time.Second: 20 * time.Second} {
		set := func(_ *world, c *client.Config) { c.GiveUpAfter = given }
		run(t, both, set, func(t *testing.T, w *world) {
			w.home.refuse(true)
			w.away.refuse(true)
			w.home.cut()
			settle()
			waiting := begin(w.receive)
			pass(want - time.Millisecond)
			select {
			case r := <-waiting:
				t.Fatalf("it gave up early: %v", r.err)
			default:
			}
			pass(time.Millisecond)
			isClosed(t, done(t, waiting).err, client.ReasonGaveUp)
			if why := w.lost(client.ReasonGaveUp); !strings.Contains(why.Detail, "connection refused") {
				t.Errorf("the detail is %q", why.Detail)
			}
		})
	}
}

func TestItDoesNotGiveUpWhileAStreamLives(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		w.home.refuse(true)
		w.away.refuse(true)
		w.stream(1).reconnect(holdfastv1.ReconnectReason_RECONNECT_REASON_INGRESS_RELOAD, 0)
		pass(time.Hour)
		w.alive(w.stream(1), 1, 1)
		w.away.refuse(false)
		pass(10 * time.Second)
		w.expect("2>welcomed+consumed1")
	})
}

func TestDialGivesUpWithItsContext(t *testing.T) {
	bubble(t, both, nil, func(t *testing.T, w *world) {
		w.ingresses["a"].refuse(true)
		w.ingresses["b"].refuse(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := client.Dial(ctx, w.config)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("Dial: %v", err)
		}
	})
	bubble(t, both, nil, func(t *testing.T, w *world) { // while the relay does not answer
		w.answers(func(attempt, *holdfastv1.Welcome) (*holdfastv1.Welcome, error) { return nil, nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := client.Dial(ctx, w.config); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Dial: %v", err)
		}
	})
}

// TestBackoff has every address refuse, and looks at the times between rounds.
func TestBackoff(t *testing.T) {
	set := func(_ *world, c *client.Config) { c.MinBackoff, c.MaxBackoff = 200*time.Millisecond, 3*time.Second }
	run(t, both, set, func(t *testing.T, w *world) {
		pass(time.Minute) // it has proved itself
		w.answers(func(attempt, *holdfastv1.Welcome) (*holdfastv1.Welcome, error) {
			return nil, wireError(holdfastv1.ErrorReason_ERROR_REASON_OVERLOADED)
		})
		w.home.cut()
		pass(time.Minute)
		attempts := w.attemptsSoFar()[1:]
		for i, want := 1, 200*time.Millisecond; i < len(attempts); i++ {
			if d := attempts[i].at.Sub(attempts[i-1].at); d < want/2 || d > want*3/2 {
				t.Errorf("%v passed before attempt %d, want about %v", d, i+1, want)
			}
			want = min(2*want, 3*time.Second)
		}
		if n := len(attempts); n < 15 || n > 45 {
			t.Errorf("there were %d attempts in a minute", n)
		}
		if a := addresses(attempts); strings.Contains(a, "a a") || strings.Contains(a, "b b") {
			t.Errorf("the attempts were at %s; want them in turn", a)
		}
	})
}

// TestAddressesThatAreDeadAreAllTriedAtOnce: a path that is not good is no reason to wait with the others.
func TestAddressesThatAreDeadAreAllTriedAtOnce(t *testing.T) {
	run(t, []string{"a", "b", "c", "d"}, nil, func(t *testing.T, w *world) {
		pass(time.Minute)
		for _, i := range w.ingresses {
			i.refuse(i != w.away)
		}
		w.home.cut()
		pass(10 * time.Second)
		if r := w.recovered(); r.Ingress != w.away.name || r.Took != 0 {
			t.Errorf("recovered: %+v", r)
		}
	})
}

// TestStreamsThatBreakAtOnceAreNotReplacedAtOnce: a relay that fails late is not flooded.
func TestStreamsThatBreakAtOnceAreNotReplacedAtOnce(t *testing.T) {
	run(t, both, nil, func(t *testing.T, w *world) {
		for began := time.Now(); time.Since(began) < time.Minute; pass(time.Millisecond) {
			if s := w.stream(w.streamCount()); !s.isOver() {
				s.finish(status.Error(codes.Unavailable, "broken"))
			}
		}
		if n := w.streamCount(); n < 10 || n > 30 {
			t.Errorf("there were %d streams in a minute", n)
		}
	})
}

// TestARefusedMoveLeavesTheStreamThatWorks: who refuses may be a relay with other keys.
func TestARefusedMoveLeavesTheStreamThatWorks(t *testing.T) {
	for name, err := range everyError() {
		run(t, both, nil, func(t *testing.T, w *world) {
			w.answers(func(attempt, *holdfastv1.Welcome) (*holdfastv1.Welcome, error) { return nil, err })
			w.stream(1).reconnect(holdfastv1.ReconnectReason_RECONNECT_REASON_INGRESS_RELOAD, 0)
			pass(time.Minute)
			if n := len(w.attemptsSoFar()); n < 10 {
				t.Errorf("%s: there were only %d attempts", name, n)
			}
			w.sent("still here")
			w.expect("1>1:still here")
			w.stream(1).send(1, "here too")
			settle()
			w.receives("here too")
			w.home.cut()
			pass(time.Minute)
			if passing[name] && name != "IMPOSSIBLE_NUMBER" {
				w.answers(nil)
				pass(10 * time.Second)
				w.expect("2>welcomed+consumed1")
				return
			}
			want := client.Reason(name)
			if name == "IMPOSSIBLE_NUMBER" {
				want = client.ReasonProtocolError
			}
			w.lost(want)
		})
	}
}
