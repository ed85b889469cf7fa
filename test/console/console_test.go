package console_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const live = `document.querySelector("#link").dataset.link === "live"`

// hidden is the expression for an element that is not to be seen.
func hidden(selector string) string {
	return fmt.Sprintf("!document.querySelector(%q)?.checkVisibility()", selector)
}

func TestNoAppServer(t *testing.T) {
	browserPath(t)
	s := newSystem(t)
	b := open(t, s.url(), 1280, 900)
	b.wait(live)
	b.text("#banner", "No app server is attached")
	b.text("#n-servers", "0")
	b.shot("no-app-server")
	app := s.startAppServer("app-1")
	b.wait(hidden("#banner"))
	b.text("#n-servers", "2")
	b.text("#news", "Server connection attached")
	// Its clients wait for it when it goes without a word.
	s.connectClients(10)
	b.text("#n-clients", "10")
	app.stop(syscall.SIGKILL)
	b.text("#banner", "No app server is attached. 10 clients wait for one to come back")
	b.text("#n-waiting", "10")
	b.shot("app-server-lost")
}

// Browsers trust a page of the loopback more than one of the network; the page needs none of that.
func TestOverTheNetwork(t *testing.T) {
	browserPath(t)
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(addresses, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast()
	})
	if at < 0 {
		t.Skip("SKIPPED: this machine has no address but the loopback's, so that the console was not looked at from elsewhere")
	}
	s := newSystemAt(t, addresses[at].(*net.IPNet).IP.String())
	b := open(t, s.url(), 1280, 900)
	b.wait(live)
	if eval[bool](b, "isSecureContext") {
		t.Error("the browser trusts the page after all; the test shows nothing")
	}
	s.startAppServer("app-1")
	b.text("#n-servers", "2")
	b.tabTo("Reload ingress a")
	b.press(kb.Enter)
	b.press(kb.Tab, chromedp.ModifierShift)
	b.press(kb.Enter)
	b.text(`.card[data-key="a"] .state`, "safe to reload")
}

// A whole reload with the keys Tab and Enter alone.
func TestReloadByKeyboard(t *testing.T) {
	browserPath(t)
	const clients = 400
	s, _ := withApp(t, clients, "--max-moves-in-flight", "4")
	b := open(t, s.url(), 1280, 900)
	b.wait(live)
	b.text("#n-clients", fmt.Sprint(clients))
	b.shot("clients")
	b.tabTo("Skip to the content")
	b.press(kb.Enter)
	b.wait(`document.activeElement.id === "main"`)
	b.tabTo("Reload ingress a")
	before := b.number("#t-ingresses tr[data-key=a] td:last-child")
	b.press(kb.Enter)
	b.wait(`document.querySelector("#confirm").open && document.activeElement.innerText === "Leave it in service"`)
	b.shot("reload-question")
	b.press(kb.Escape)
	b.wait(`!document.querySelector("#confirm").open && document.activeElement.ariaLabel === "Reload ingress a"`)
	b.press(kb.Enter)
	b.press(kb.Tab, chromedp.ModifierShift)
	b.wait(`document.activeElement.innerText === "Take it out of service"`)
	b.press(kb.Enter)
	const card = `.card[data-key="a"]`
	b.wait(`document.querySelector(".flow") !== null || Number(document.querySelector("#n-moved").textContent) > 0`)
	b.shot("reload-moving")
	b.text(card+" .state", "safe to reload")
	left := b.number("#t-ingresses tr[data-key=a] td:last-child")
	moved := before - left
	if moved < 1 || left > clients/2 {
		t.Errorf("%d were on it and %d are left", before, left)
	}
	b.text(card+" .verdict", fmt.Sprintf("%d of %d moved", moved, moved))
	b.text(card+" .left", fmt.Sprintf("%d came in through this ingress themselves", left))
	b.wait(fmt.Sprintf(`(p => p.value === %d && p.max === p.value)(document.querySelector("progress"))`, moved))
	b.text("#pauses-text", fmt.Sprintf("%d moves: half within", moved))
	b.text("#announce", "It is safe to reload")
	b.text("#news", "Reload started · ingress a")
	if sum := eval[int](b, `[...document.querySelectorAll("#t-pauses td")].reduce((n, e) => n + Number(e.textContent), 0)`); sum != moved {
		t.Errorf("the histogram has %d moves, want %d", sum, moved)
	}
	b.shot("reload-safe")
	// The focus was on a button that went away: it is near, and where a hasty Enter does nothing.
	b.wait(`document.activeElement === document.querySelector('.card[data-key="a"]')`)
	b.press(kb.Enter)
	b.press(kb.Tab)
	b.wait(`document.activeElement.ariaLabel === "Complete the reload of ingress a"`)
	b.text(card+" .state", "safe to reload")
	b.press(kb.Enter)
	b.text(card+" .state", "in service")
	b.wait(`document.activeElement === document.querySelector('.card[data-key="a"]')`)
	b.press(kb.Tab)
	b.wait(`document.activeElement.ariaLabel === "Reload ingress a"`)
	b.text("#news", "Ingress in service · ingress a")
}

func TestLookUp(t *testing.T) {
	browserPath(t)
	s, ids := withApp(t, 20)
	b := open(t, s.url(), 1280, 900)
	b.wait(live)
	b.tabTo("Connection id, 16 hexadecimal digits")
	for input, says := range map[string]string{
		"zz": "is no connection id", "0123456789abcdef": "No connection 0123456789abcdef is known", "": "Give the id",
	} {
		eval[string](b, fmt.Sprintf(`document.querySelector("#lookup-id").value = %q`, input))
		b.press(kb.Enter)
		b.text("#lookup-says", says)
	}
	if eval[string](b, "document.activeElement.id") != "lookup-id" {
		t.Error("the focus is gone from the field")
	}
	// One that was mistyped is not the only way to be unknown: spaces and capitals do not matter.
	b.do(chromedp.SetValue("#lookup-id", " "+strings.ToUpper(ids[3])+" "), chromedp.KeyEvent(kb.Enter))
	for _, want := range []string{ids[3], "echo", "stable", "b, from 127.0.0.1", "app-1"} {
		b.text("#found-list", want)
	}
	b.shot("found")
	from := eval[string](b, `document.querySelector('[data-key="Server connection"] dd').innerText`)
	epoch := eval[string](b, `document.querySelector('[data-key="Epoch"] dd').innerText`)
	b.tabTo("Move")
	b.press(kb.Enter)
	b.text("#lookup-says", "Moved to app-1/")
	b.wait(fmt.Sprintf(`(e => e && e !== %q)(document.querySelector('[data-key="Server connection"] dd').innerText)`, from))
	if after := eval[string](b, `document.querySelector('[data-key="Epoch"] dd').innerText`); epoch != "1.1" || after != "1.2" {
		t.Errorf("the epoch was %s and is %s", epoch, after)
	}
	b.tabTo("Close the connection…")
	b.press(kb.Enter)
	b.wait(`document.activeElement.innerText === "Keep it"`)
	b.press(kb.Tab, chromedp.ModifierShift)
	b.press(kb.Enter)
	b.text("#lookup-says", "No connection "+ids[3]+" is known") // it is asked for again, and has ended
	b.text("#n-clients", "19")
	b.wait(hidden("#found"))
}

// With ten thousand clients the page stays as small as with a few, and all counts are right.
func TestTenThousand(t *testing.T) {
	if testing.Short() {
		t.Skip("connects ten thousand clients")
	}
	browserPath(t)
	const clients = 10_000
	s, _ := withApp(t, 100)
	s.startAppServer("app-2")
	s.waitServers(4)
	b := open(t, s.url(), 1280, 900)
	b.wait(live)
	b.text("#n-clients", "100")
	const nodes = `document.querySelectorAll("*").length`
	small := eval[int](b, nodes)
	s.connectClients(clients - 100)
	b.text("#n-clients", "10,000")
	b.shot("ten-thousand")
	before := b.number("#t-ingresses tr[data-key=a] td:last-child")
	b.tabTo("Reload ingress a")
	b.press(kb.Enter)
	b.press(kb.Tab, chromedp.ModifierShift)
	b.press(kb.Enter)
	b.wait(`document.querySelector(".flow") !== null || Number(document.querySelector("#n-moved").textContent) > 0`)
	b.shot("ten-thousand-moving")
	b.text(`.card[data-key="a"] .state`, "safe to reload")
	b.wait(`document.querySelector(".flow") === null`)
	moved, left := b.number("#n-moved"), b.number("#t-ingresses tr[data-key=a] td:last-child")
	if missed := b.number("#missed"); before < 4000 || moved+missed < before-left || moved > before-left {
		t.Errorf("%d were on ingress a and %d are left: %d moved, %d missed", before, left, moved, missed)
	}
	if large := eval[int](b, nodes); large > small+100 {
		t.Errorf("the page has %d elements, and had %d with 100 clients", large, small)
	}
	b.shot("ten-thousand-safe")
	b.media("prefers-color-scheme", "dark")
	b.shot("ten-thousand-dark")
	b.resize(360, 800)
	b.shot("ten-thousand-narrow-dark")
}

// With hundreds of server connections and ingresses they are drawn together, and every one is counted.
func TestDrawingIsBounded(t *testing.T) {
	browserPath(t)
	s := newSystem(t)
	b := open(t, s.url(), 1280, 900)
	b.wait(live)
	b.expectFailures(true) // with no relay, no update draws over what follows
	s.relay.stop(syscall.SIGTERM)
	b.text("#banner", "The relay is away")
	type drawn struct{ Left, Rows, Apps, Clients, Logical, Nodes int }
	draw := func(servers, ingresses, applications int) drawn {
		return eval[drawn](b, fmt.Sprintf(`(async () => {
			const {model} = await import("/model.js"), {show} = await import("/topology.js");
			const sum = list => list.reduce((n, x) => n + x.count, 0), many = (n, f) => [...Array(n).keys()].map(f);
			const state = {
				relay_id: "relay-1",
				ingresses: many(%[2]d, i => ({name: "ingress-" + i, client_connections: i, draining: i === 3})),
				server_connections: many(%[1]d, i => ({id: "app/" + i, instance_id: "p" + (i >> 1), server_id: "app-" + (i >> 1),
					application: "application-" + i %% %[3]d, ingress: "ingress-" + i %% %[2]d, logical_connections: 7, draining: false})),
			};
			const m = model(state);
			show(state);
			document.body.classList.remove("stale");
			return {Left: m.left.length, Rows: m.rows.length, Apps: m.apps.length, Clients: sum(m.left), Logical: sum(m.rows),
				Nodes: document.querySelectorAll("#drawing *").length};
		})()`, servers, ingresses, applications))
	}
	for _, c := range []struct {
		servers, ingresses, applications int
		want                             drawn
	}{
		{8, 2, 1, drawn{2, 8, 4, 1, 56, 0}},
		{24, 12, 1, drawn{12, 24, 12, 66, 168, 0}},
		{500, 4, 1, drawn{4, 4, 1, 6, 3500, 0}},
		{500, 40, 3, drawn{12, 24, 4, 780, 3500, 0}},
	} {
		got := draw(c.servers, c.ingresses, c.applications)
		nodes := got.Nodes
		if got.Nodes = 0; got != c.want || nodes > 400 {
			t.Errorf("%d server connections, %d ingresses, %d applications: %+v, %d elements", c.servers, c.ingresses, c.applications, got, nodes)
		}
		b.shot(fmt.Sprintf("drawn-%d-%d-%d", c.servers, c.ingresses, c.applications))
	}
}

// contrasts lists texts whose contrast with what is behind them is under 4.5, and 3 for large ones.
const contrasts = `(() => {
	const parse = c => { const v = c.match(/[\d.]+/g).map(Number); return v.length < 4 ? [...v, 1] : v; };
	const light = ([r, g, b]) => { const f = x => (x /= 255) <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4; return .2126 * f(r) + .7152 * f(g) + .0722 * f(b); };
	const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; } return [255, 255, 255, 1]; };
	const bad = [];
	for (const e of document.querySelectorAll("body *")) {
		if (e.closest("svg") || !e.checkVisibility() || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
		const s = getComputedStyle(e), a = light(parse(s.color)), b = light(behind(e));
		const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
		if (ratio < (parseFloat(s.fontSize) >= 24 ? 3 : 4.5)) bad.push(e.textContent.trim().slice(0, 30) + ": " + ratio.toFixed(1));
	}
	return bad;
})()`

func TestDarkNarrowAndStill(t *testing.T) {
	browserPath(t)
	s, ids := withApp(t, 60)
	b := open(t, s.url(), 1280, 900)
	b.wait(live)
	b.do(chromedp.SetValue("#lookup-id", ids[0]), chromedp.Focus("#lookup-id"), chromedp.KeyEvent(kb.Enter))
	b.text("#found-list", ids[0])
	eval[any](b, `document.querySelectorAll("details").forEach(d => d.open = true)`)
	backgrounds := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		b.media("prefers-color-scheme", scheme)
		backgrounds[scheme] = eval[string](b, "getComputedStyle(document.body).backgroundColor")
		if bad := eval[[]string](b, contrasts); len(bad) > 0 {
			t.Errorf("hard to read when %s: %q", scheme, bad)
		}
		b.shot(scheme)
	}
	if backgrounds["light"] == backgrounds["dark"] {
		t.Errorf("dark is as light: %v", backgrounds)
	}
	for _, width := range []int{360, 620, 860} {
		b.resize(width, 800)
		if wide := eval[int](b, "document.documentElement.scrollWidth"); wide > width {
			t.Errorf("the page is %d wide in a window of %d", wide, width)
		}
		b.shot(fmt.Sprintf("narrow-%d", width))
	}
	b.media("prefers-reduced-motion", "reduce")
	b.wait(`matchMedia("(prefers-reduced-motion: reduce)").matches`)
	eval[any](b, `document.getElementById("move").click()`)
	b.wait(`document.querySelector(".flow path") !== null`)
	if name := eval[string](b, `getComputedStyle(document.querySelector(".flow path")).animationName`); name != "none" {
		t.Errorf("with reduced motion the dots run: %s", name)
	}
}

func TestRelayGoesAndComesBack(t *testing.T) {
	browserPath(t)
	s, _ := withApp(t, 40)
	b := open(t, s.url(), 1280, 900)
	b.wait(live)
	b.text("#n-clients", "40")
	b.expectFailures(true)
	s.relay.stop(syscall.SIGKILL)
	b.text("#banner", "The relay is away")
	b.text("#banner", "What is shown is old")
	b.text("#link", "No connection")
	b.text(".as-of", "Stale: as of")
	if !eval[bool](b, `document.body.classList.contains("stale")`) {
		t.Error("what is shown is not marked as stale")
	}
	b.text("#n-clients", "40")
	b.shot("relay-away")
	s.startRelay()
	b.wait(live)
	b.text("#n-servers", "2") // the app server comes back by itself
	b.wait(hidden("#banner"))
	b.wait(`!document.body.classList.contains("stale") && document.querySelector(".as-of").innerText === ""`)
	b.text("#n-clients", "0")
	b.expectFailures(false)
	b.shot("relay-back")

	b.expectFailures(true)
	if !s.relay.stop(syscall.SIGTERM) {
		t.Error("the page holds up the end of the relay")
	}
	b.text("#banner", "The relay is away")
}

// A relay that stands still, or a network that swallows everything, ends no stream: the page notices the silence.
func TestRelayFallsSilent(t *testing.T) {
	browserPath(t)
	s, _ := withApp(t, 40)
	b := open(t, s.url(), 1280, 900)
	b.wait(live)
	resume := func() { _ = s.relay.command.Process.Signal(syscall.SIGCONT) } // fails only when it has ended
	t.Cleanup(resume)
	if err := s.relay.command.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	b.text("#banner", "The relay has said nothing for 7 seconds. What is shown is old.")
	b.text(".as-of", "Stale: as of")
	resume()
	b.wait(live)
	b.wait(hidden("#banner"))
	b.text("#n-clients", "40")
}

func TestReadOnly(t *testing.T) {
	browserPath(t)
	s, ids := withApp(t, 10, "--read-only-console")
	b := open(t, s.url(), 1280, 900)
	b.wait(live)
	b.text("#read-only", "read-only")
	b.do(chromedp.SetValue("#lookup-id", ids[0]), chromedp.Focus("#lookup-id"), chromedp.KeyEvent(kb.Enter))
	b.text("#found-list", ids[0])
	for _, selector := range []string{`[data-action="reload"]`, "#move", "#close"} {
		if !eval[bool](b, hidden(selector)) {
			t.Errorf("%s is offered", selector)
		}
	}
	b.shot("read-only")
	b.expectFailures(true) // the browser reports the refusal that follows
	if status := eval[int](b, `fetch("/api/close", {method: "POST", headers: {"Content-Type": "application/json"},
		body: JSON.stringify({connection_id: "`+ids[0]+`"})}).then(r => r.status)`); status != http.StatusForbidden {
		t.Errorf("closed with status %d", status)
	}
}

// What stands in front of the console may want a login: the page says so, and comes back when it may.
func TestNotAllowed(t *testing.T) {
	browserPath(t)
	s, _ := withApp(t, 10)
	target, err := url.Parse(s.url())
	if err != nil {
		t.Fatal(err)
	}
	var refuse atomic.Int32
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1,
	}
	door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := int(refuse.Load()); status != 0 && strings.HasPrefix(r.URL.Path, "/api/") {
			http.Error(w, "no", status)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(door.Close)
	for status, says := range map[int32]string{http.StatusUnauthorized: "wants to know who you are", http.StatusForbidden: "You are not allowed"} {
		refuse.Store(status)
		b := visit(&browser{t: t, away: true}, door.URL, 1280, 900)
		b.text("#banner", "does not let this page in")
		b.text("#banner", says)
		b.shot(fmt.Sprintf("status-%d", status))
		refuse.Store(0)
		b.tabTo("Try now")
		b.press(kb.Enter)
		b.wait(live)
		b.text("#n-clients", "10")
	}
}
