package progress

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

const barWidth = 40

// Bar shows a bar on a terminal.
type Bar struct {
	container *mpb.Progress
	bar       *mpb.Bar
	beside    atomic.Pointer[string]
}

// NewBar returns a Shower that draws a bar.
func NewBar(out io.Writer, ingress string) *Bar {
	b := &Bar{container: mpb.New(mpb.WithOutput(out), mpb.WithWidth(barWidth), mpb.WithAutoRefresh())}
	b.beside.Store(new(string))
	b.bar = b.container.AddBar(
		0,
		mpb.PrependDecorators(decor.Name("ingress "+ingress+": "), decor.CountersNoUnit("%d of %d moved")),
		mpb.AppendDecorators(
			decor.Any(func(decor.Statistics) string { return *b.beside.Load() }),
			decor.Elapsed(decor.ET_STYLE_GO),
		),
	)
	return b
}

// Show draws the bar anew.
func (b *Bar) Show(p *holdfastv1.ReloadIngressResponse) error {
	beside := besideBar(p)
	b.beside.Store(&beside)
	b.bar.SetTotal(int64(p.GetPlanned()), false)
	b.bar.SetCurrent(int64(p.GetMoved()))
	if p.GetDone() {
		b.bar.SetTotal(int64(p.GetMoved()), true)
	}
	return nil
}

// besideBar is what stands beside the bar.
func besideBar(p *holdfastv1.ReloadIngressResponse) string {
	words := fmt.Sprintf("%d waiting ", stuck(p))
	if asked := p.GetClientsAsked(); asked > 0 {
		words += fmt.Sprintf("%d of %d clients moved ", p.GetClientsMoved(), asked)
	}
	return words
}

// End leaves the last state of the bar on the terminal.
func (b *Bar) End() {
	b.bar.Abort(false) // Has no effect on a bar that is complete.
	b.container.Wait()
}
