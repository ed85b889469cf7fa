package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// browser is a tab of a real browser. It fails the test when the page complains.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu sync.Mutex
	// Guarded by mu. away: requests may fail, as the relay is away or does not let the page in.
	complaints []string
	away       bool
}

// open opens the page in a window of that size.
func open(t *testing.T, url string, width, height int) *browser {
	t.Helper()
	return visit(&browser{t: t}, url, width, height)
}

func visit(b *browser, url string, width, height int) *browser {
	t := b.t
	t.Helper()
	path := browserPath(t)
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.WindowSize(width, height), chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true),
	}
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, end := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(options...), chromedp.WithListener(b.hear))
	b.ctx = ctx
	t.Cleanup(end)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // it waits for the browser
	t.Cleanup(b.noComplaints)
	// The browser lives for as long as the context of the first action, which therefore has no time limit.
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(int64(width), int64(height)), chromedp.Navigate(url)); err != nil {
		t.Fatalf("the browser does not open the page: %v", err)
	}
	return b
}

// hear notes what the page complains of: exceptions, errors in the browser's console, and breaches of its policy.
func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, e.ExceptionDetails.Text+" "+e.ExceptionDetails.Exception.Description)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			raw, _ := json.Marshal(e.Args)
			b.complaints = append(b.complaints, string(raw))
		}
	case *log.EventEntryAdded:
		// The browser itself reports each request that fails; no page can keep it from that.
		expected := b.away && e.Entry.Source == log.EntrySourceNetwork && strings.Contains(e.Entry.URL, "/api/")
		if (e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning) && !expected {
			b.complaints = append(b.complaints, fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, e.Entry.URL))
		}
	}
}

// expectFailures says whether requests may fail.
func (b *browser) expectFailures(may bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = may
}

func (b *browser) noComplaints() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		b.t.Errorf("the page complains: %s", c)
	}
	b.complaints = nil
}

// do runs actions.
func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	run(b, chromedp.Steps(actions...))
}

// run runs an action and returns its value.
func run[T any](b *browser, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 2*patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		b.t.Fatalf("the browser: %v", err)
	}
	return value
}

// eval returns the value of an expression of JavaScript in the page.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	return run(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// wait waits until the expression is true, and says what the page shows when it does not become so.
func (b *browser) wait(expression string) {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !eval[bool](b, expression) {
		if <-tick.C; time.Now().After(deadline) {
			b.shot("in-vain")
			b.t.Fatalf("waited %v in vain for this: %s\nThe page says:\n%s", patience, expression, eval[string](b, "document.body.innerText"))
		}
	}
}

// text waits until the element has the text.
func (b *browser) text(selector, want string) {
	b.t.Helper()
	b.wait(fmt.Sprintf("document.querySelector(%q)?.innerText.includes(%q) ?? false", selector, want))
}

// press presses a key, with no mouse anywhere.
func (b *browser) press(key string, modifiers ...chromedp.Modifier) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(key, chromedp.KeyModifiers(modifiers...)))
}

// tabTo presses Tab until the element with that label, or text, has the focus. Each element on the way must show its focus.
func (b *browser) tabTo(label string) {
	b.t.Helper()
	const most = 80
	var on []string
	for range most {
		b.press(kb.Tab)
		focus := eval[struct {
			Label string
			Shown bool
		}](b, `(() => {
			const e = document.activeElement, s = getComputedStyle(e);
			return {Label: e.getAttribute("aria-label") ?? e.labels?.[0]?.innerText ?? e.innerText ?? "",
				Shown: e === document.body || (s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2)};
		})()`)
		on = append(on, strings.TrimSpace(focus.Label))
		if !focus.Shown {
			b.t.Errorf("%q does not show its focus", focus.Label)
		}
		if strings.TrimSpace(focus.Label) == label {
			return
		}
	}
	b.t.Fatalf("Tab does not lead to %q; it leads to %q", label, on)
}

// shot keeps a picture of the whole page among the artifacts of the test.
func (b *browser) shot(name string) {
	b.t.Helper()
	// What glides or fades comes to rest first; what runs for ever runs on.
	b.wait(`(async () => {
		const drawn = () => document.querySelector("#drawing").innerHTML + document.querySelector("#pauses").innerHTML;
		const before = drawn();
		await new Promise(then => requestAnimationFrame(() => requestAnimationFrame(then)));
		return before === drawn();
	})()`)
	b.wait(`document.getAnimations().every(a => a.effect.getTiming().iterations === Infinity || a.playState === "finished")`)
	png := run(b, chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(b.t.ArtifactDir(), name+".png"), png, 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// media sets what the user prefers, such as prefers-color-scheme and dark.
func (b *browser) media(feature, value string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: feature, Value: value}},
	})
	if err != nil {
		b.t.Fatalf("the browser: %v", err)
	}
}

// number returns the number in the text of an element.
func (b *browser) number(selector string) int {
	b.t.Helper()
	return eval[int](b, fmt.Sprintf("Number(document.querySelector(%q).textContent.replace(/[^0-9]/g, ''))", selector))
}

// resize makes the window another size.
func (b *browser) resize(width, height int) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(int64(width), int64(height)))
	b.wait(fmt.Sprintf(`window.innerWidth === %d && document.querySelector("#drawing svg").viewBox.baseVal.width <= %d`, width, width))
}
