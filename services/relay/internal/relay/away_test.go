package relay

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
	"github.com/holdfast/holdfast/services/relay/internal/logical"
)

// views says what a relay shows of its clients: each connection, each ingress that has some, and the gauge.
func (p *pair) views(relay int) string {
	p.t.Helper()
	h := p.relays[relay]
	admin, cc := h.admin()
	defer func() { _ = cc.Close() }()
	list, err := admin.ListClientConnections(p.ctx, &holdfastv1.ListClientConnectionsRequest{})
	if err != nil {
		p.t.Fatal(err)
	}
	var clients, ingresses []string
	for _, c := range list.GetClientConnections() {
		clients = append(clients, fmt.Sprintf("%s %s %v %v", c.GetClientIngress(), c.GetEpoch(), c.GetResumable(), c.GetAway()))
	}
	slices.Sort(clients)
	in, err := admin.ListIngresses(p.ctx, &holdfastv1.ListIngressesRequest{})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, i := range in.GetIngresses() {
		if i.GetClientConnections()+i.GetClientsAway() > 0 {
			ingresses = append(ingresses, fmt.Sprintf("%s %d/%d", i.GetName(), i.GetClientsAway(), i.GetClientConnections()))
		}
	}
	return fmt.Sprintf("%q %q %q", clients, ingresses, h.shows("clients.away"))
}

func (p *pair) expectViews(what, first, second string) {
	p.t.Helper()
	synctest.Wait()
	for i, want := range []string{first, second} {
		if got := p.views(i); got != want {
			p.t.Errorf("%s, relay %d shows %s, want %s", what, i+1, got, want)
		}
	}
}

// A client whose stream is gone is shown as away until it has its connection again, at this relay or another, or the time is over.
func TestClientsThatAreAwayAreShown(t *testing.T) {
	onPair(t, nil, echo, func(t *testing.T, p *pair) {
		const none = `[] [] ""`
		plain, err := p.call(0, "a", &holdfastv1.Hello{})
		if err != nil {
			t.Fatal(err)
		}
		here, there, never := p.connect(0, "a"), p.connect(0, "a"), p.connect(0, "b")
		p.expectViews("with all of them there", `["a 1.1 false false" "a 1.1 true false" "a 1.1 true false" "b 1.1 true false"] ["a 0/3" "b 0/1"] ""`, none)
		for _, c := range []*caller{plain, here, there, never} {
			c.leave()
		}
		p.expectViews("with none of them there", `["a 1.1 true true" "a 1.1 true true" "b 1.1 true true"] ["a 2/2" "b 1/1"] "a 2, b 1"`, none)
		p.mustResume(0, "b", here.token, 0, 0)
		p.expectViews("with one back", `["a 1.1 true true" "b 1.1 true true" "b 2.1 true false"] ["a 1/1" "b 1/2"] "a 1, b 1"`, none)
		p.mustResume(1, "a", there.token, 0, 0)
		p.expectViews("with one elsewhere", `["b 1.1 true true" "b 2.1 true false"] ["b 1/2"] "b 1"`, `["a 2.1 true false"] ["a 0/1"] ""`)
		time.Sleep(32 * time.Second)
		p.expectViews("with one that stayed away", `["b 2.1 true false"] ["b 0/1"] ""`, `["a 2.1 true false"] ["a 0/1"] ""`)
	})
}

// A connection may end in the very moment in which its client's stream does: it is counted as away and uncounted, or neither.
func TestEndRacesAway(t *testing.T) {
	onPair(t, nil, echo, func(t *testing.T, p *pair) {
		for range 200 {
			c := p.connect(0, "a")
			synctest.Wait()
			for conn := range p.relays[0].relay.registry.Connections() {
				go conn.LetGo(logical.Closure{Reason: holdfastv1.CloseReason_CLOSE_REASON_RESUMED_ELSEWHERE})
			}
			c.leave()
		}
		p.expectViews("at the end", `[] [] ""`, `[] [] ""`)
	})
}
