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
	stuck     atomic.Uint32
}

// NewBar returns a Shower that draws a bar.
func NewBar(out io.Writer, ingress string) *Bar {
	b := &Bar{container: mpb.New(mpb.WithOutput(out), mpb.WithWidth(barWidth), mpb.WithAutoRefresh())}
	b.bar = b.container.AddBar(
		0,
		mpb.PrependDecorators(decor.Name("ingress "+ingress+": "), decor.CountersNoUnit("%d of %d moved")),
		mpb.AppendDecorators(
			decor.Any(func(decor.Statistics) string { return fmt.Sprintf("%d waiting ", b.stuck.Load()) }),
			decor.Elapsed(decor.ET_STYLE_GO),
		),
	)
	return b
}

// Show draws the bar anew.
func (b *Bar) Show(p *holdfastv1.ReloadIngressResponse) error {
	b.stuck.Store(stuck(p))
	b.bar.SetTotal(int64(p.GetPlanned()), false)
	b.bar.SetCurrent(int64(p.GetMoved()))
	if p.GetDone() {
		b.bar.SetTotal(int64(p.GetMoved()), true)
	}
	return nil
}

// End leaves the last state of the bar on the terminal.
func (b *Bar) End() {
	b.bar.Abort(false) // Has no effect on a bar that is complete.
	b.container.Wait()
}
