package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// page is a page in a real browser that uses the client library. Exceptions in it fail the test.
type page struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	thrown []string // under mu
}

// files serves the page and the library, as any web server would.
func files(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/client/", http.StripPrefix("/client/", http.FileServer(http.Dir("../../clients/js"))))
	mux.Handle("/", http.FileServer(http.Dir("testdata")))
	mux.HandleFunc("/favicon.ico", http.NotFound)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

func open(t *testing.T, url string) *page {
	t.Helper()
	path := find(t, "chromium", "chromium-browser", "google-chrome")
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.DisableGPU, chromedp.Flag("disable-dev-shm-usage", true),
	}
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	p := &page{t: t}
	ctx, end := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(options...), chromedp.WithListener(p.hear))
	p.ctx = ctx
	t.Cleanup(end)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // it waits for the browser
	t.Cleanup(p.noExceptions)
	// The browser lives for as long as the context of the first action, which therefore has no time limit.
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("the browser does not open the page: %v", err)
	}
	waitFor(t, "the page has loaded the library", func() bool { return eval[bool](p, "window.seen?.ready === true") })
	return p
}

func (p *page) hear(event any) {
	if e, ok := event.(*runtime.EventExceptionThrown); ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.thrown = append(p.thrown, e.ExceptionDetails.Text+" "+e.ExceptionDetails.Exception.Description)
	}
}

func (p *page) noExceptions() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.thrown {
		p.t.Errorf("the page threw: %s", e)
	}
}

// eval returns the value of an expression of JavaScript in the page.
func eval[T any](p *page, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("the browser: %s: %v", expression, err)
	}
	return value
}

// seen is what the page has seen so far.
type seen struct {
	Sent, Received int
	Faults         []string
	Events         []event
	Ended          *struct{ Reason, Error string }
}

type event struct {
	Type, Relay, Ingress, Error string
	Broken                      bool
}

func (p *page) seen() seen { return eval[seen](p, "seen") }

// where is what carries the page's connection.
type where struct {
	Relay, Ingress string
	Connected      bool
}

func (p *page) where() where { return eval[where](p, "where()") }

// more waits until so many messages more have come back.
func (p *page) more(n int) {
	p.t.Helper()
	want := p.seen().Received + n
	waitFor(p.t, fmt.Sprintf("%d messages have come back", want), func() bool { return eval[int](p, "seen.received") >= want })
}

// A page sends numbered messages and gets each back while its ingress is reloaded, its relay is killed and its socket is cut:
// none is missing, none comes twice, all are in order.
func TestPageNeverNotices(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser and takes half a minute")
	}
	find(t, "chromium", "chromium-browser", "google-chrome")
	server := files(t)
	host, _, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := newSystem(t, host+":*")
	p := open(t, server.URL+"/page.html")
	addresses, err := json.Marshal([]string{"ws://" + s.ingresses["a"].sockets, "ws://" + s.ingresses["b"].sockets})
	if err != nil {
		t.Fatal(err)
	}
	eval[any](p, fmt.Sprintf("begin(%s)", addresses))
	p.more(100)

	// Its own ingress is reloaded: it has moved before that happens, and its stream was never gone.
	first := p.where()
	s.takeOut(s.ingresses[first.Ingress])
	waitFor(t, "the page has left the ingress", func() bool { return p.where().Ingress != first.Ingress })
	s.reload(s.ingresses[first.Ingress])
	s.complete(s.ingresses[first.Ingress])
	p.more(100)
	if x := p.seen(); slices.ContainsFunc(x.Events, func(e event) bool { return e.Broken }) {
		t.Errorf("the page lost its stream in a reload that was announced: %+v", x.Events)
	}

	// Its relay is killed, and comes back later.
	second := p.where()
	s.relays[second.Relay].stop(syscall.SIGKILL)
	waitFor(t, "another relay carries the page", func() bool { w := p.where(); return w.Connected && w.Relay != second.Relay })
	p.more(100)
	s.restart(second.Relay)

	// Its socket is cut: what carries it in the ingress is killed.
	recovered := p.recovered()
	s.killWorkers(s.ingresses[p.where().Ingress])
	waitFor(t, "the page has recovered", func() bool { return p.recovered() > recovered })
	p.more(100)

	// Its ingress is reloaded and nobody says so: the socket is cut when the old worker's time is over.
	recovered = p.recovered()
	s.reload(s.ingresses[p.where().Ingress])
	waitFor(t, "the page has recovered", func() bool { return p.recovered() > recovered })
	p.more(100)

	// Its relay shuts down, as in a deployment.
	last := p.where()
	s.relays[last.Relay].stop(syscall.SIGTERM)
	waitFor(t, "another relay carries the page", func() bool { w := p.where(); return w.Connected && w.Relay != last.Relay })
	p.more(100)
	p.finish()
}

func (p *page) recovered() int {
	return eval[int](p, `seen.events.filter(e => e.type === "recovered").length`)
}

// finish has the page stop and close, and judges what it has seen.
func (p *page) finish() {
	p.t.Helper()
	eval[any](p, "finish()")
	waitFor(p.t, "everything that was sent has come back", func() bool { return eval[bool](p, "seen.received >= seen.sent") })
	eval[any](p, "leave()")
	x := p.seen()
	if x.Ended == nil || x.Ended.Reason != "CLIENT_GONE" || x.Ended.Error != "" {
		p.t.Errorf("it ended with %+v", x.Ended)
	}
	if x.Sent < 500 || x.Received != x.Sent || len(x.Faults) > 0 {
		p.t.Errorf("%d were sent and %d came back: %q", x.Sent, x.Received, x.Faults)
	}
	if slices.ContainsFunc(x.Events, func(e event) bool { return e.Type == "lost" }) {
		p.t.Errorf("the page was told that its connection is lost: %+v", x.Events)
	}
	p.t.Logf("%d messages sent and %d back, through %+v", x.Sent, x.Received, x.Events)
}
