package appserver_test

import (
	"errors"
	"testing"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/pkg/appserver"
)

// A path that is about to go is said to be so, and replaced before any time has passed, while its stream works on.
// However that becomes known, the connections on it can be moved to the replacement.
func TestPathAboutToGo(t *testing.T) {
	for name, tell := range map[string]func(w *world, a *stream){
		"GOAWAY of the ingress": func(w *world, _ *stream) { w.ingresses["a"].reload() },
		"word of the relay": func(_ *world, a *stream) {
			a.sendMessage(&holdfastv1.AttachResponse{Draining: &holdfastv1.DrainingMessage{Detail: "about to go"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			connected(t, nil, func(t *testing.T, w *world, a, b *stream, x *session) {
				began := time.Now()
				tell(w, a)
				w.expect("a>draining")
				replacement := w.stream("a", 2)
				if waited := time.Since(began); waited != 0 {
					t.Errorf("it was replaced after %v", waited)
				}
				if a.isOver() || w.server.Attached() != 3 {
					t.Errorf("the old one is over: %v; %d server connections are live", a.isOver(), w.server.Attached())
				}
				w.alive(a, x, 1, 1)
				time.Sleep(10 * time.Minute) // it may take its time
				w.alive(a, x, 1, 2)

				replacement.send(migrate(2), data(3, 2, "three"))
				w.expect("a>withack@2")
				a.send(ack(2))
				w.expect("a2>receipt2@2")
				x.receives(t, "three")
				pause()
				w.take()
				a.finish(nil)
				pause()
				if x.ctx.Err() != nil || len(w.attemptsSoFar()) != 3 || w.server.Attached() != 2 {
					t.Errorf("after the old one went: %v, %d attempts, %d live", x.ctx.Err(), len(w.attemptsSoFar()), w.server.Attached())
				}
				x.sent(t, "tre")
				w.expect("a2>data3@2(tre)")
				w.alive(b, w.open(b, 2), 2, 1)
			})
		})
	}
}

// An ingress may be reloaded as often as one likes.
func TestEveryReloadIsAnsweredAtOnce(t *testing.T) {
	run(t, []string{"a"}, func(w *world, _ *appserver.Config) { w.react = endDrained }, func(t *testing.T, w *world) {
		for n := range 5 {
			time.Sleep(time.Minute)
			w.ingresses["a"].reload()
			settle()
			if attempts := w.attemptsSoFar(); len(attempts) != n+2 || w.server.Attached() != 1 {
				t.Errorf("after reload %d: %d attempts, %d server connections are live", n+1, len(attempts), w.server.Attached())
			}
		}
	})
}

// It is said once, however often it is heard.
func TestDrainingIsSaidOnce(t *testing.T) {
	run(t, []string{"a", "b"}, nil, func(t *testing.T, w *world) {
		a := w.stream("a", 1)
		w.ingresses["a"].reload()
		settle() // the replacement is there, behind the reload
		for range 3 {
			a.sendMessage(&holdfastv1.AttachResponse{Draining: &holdfastv1.DrainingMessage{}})
		}
		w.expect("a>draining")
		if n := len(w.attemptsSoFar()); n != 3 {
			t.Errorf("%d attempts for 2 server connections and a replacement", n)
		}
	})
}

// The replacement comes in through a proxy that is not there for a moment.
func TestReplacementIsRedialled(t *testing.T) {
	connected(t, func(w *world, _ *appserver.Config) {
		w.script = func(a attempt) (*holdfastv1.HandshakeResponseMessage, error) {
			if a.n >= 3 && a.n <= 5 {
				return nil, errors.New("not yet")
			}
			return w.welcome(a.ingress), nil
		}
	}, func(t *testing.T, w *world, a, _ *stream, x *session) {
		w.ingresses["a"].reload()
		time.Sleep(time.Second)
		jittered(t, w.gaps()[2:])
		w.expect("a>draining")
		if n := len(w.attemptsSoFar()); n != 6 {
			t.Errorf("%d attempts", n)
		}
		w.alive(a, x, 1, 1)
	})
}
