package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// cells measures all cells. The subjects take turns within each round, so that what the machine does beside hits
// all of them.
func (r *run) cells(ctx context.Context) error {
	stage, done, err := r.stage(ctx)
	if err != nil {
		return err
	}
	return errors.Join(r.cellsOn(stage.ctx, stage.theatre), done())
}

func (r *run) cellsOn(ctx context.Context, t *theatre) error {
	subjects, err := r.buildSubjects(ctx, t)
	if err != nil {
		return err
	}
	for _, size := range r.cfg.Sizes {
		for _, streams := range r.cfg.Streams {
			for _, load := range []string{Saturation, Half, Ping} {
				if load == Ping && streams != 1 {
					continue
				}
				if err := r.cell(ctx, subjects, load, size, streams); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// buildSubjects starts the subjects, and says aloud which ones it has to leave out.
func (r *run) buildSubjects(ctx context.Context, t *theatre) ([]*subject, error) {
	var subjects []*subject
	for _, name := range Subjects {
		if !slices.Contains(r.cfg.Subjects, name) {
			continue
		}
		s, err := t.build(ctx, name)
		if missing := new(notInstalled); errors.As(err, &missing) {
			r.skip(name, missing.Error())
			continue
		}
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, s)
	}
	return subjects, nil
}

// cell measures one cell with every subject.
func (r *run) cell(ctx context.Context, subjects []*subject, load string, size, streams int) error {
	var cells []*Cell
	for _, s := range subjects {
		c := &Cell{Subject: s.name, Load: load, Size: size, Streams: streams, Rounds: []Window{}}
		switch load {
		case Saturation:
			c.Inflight = inflightFor(r.cfg.Inflight, size)
		case Ping:
			c.Inflight = 1
		case Half:
			if full := r.result.cell(s.name, Saturation, size, streams); full != nil {
				c.Rate = full.PerSecond / 2
			}
		}
		cells = append(cells, c)
	}
	r.result.Cells = append(r.result.Cells, cells...)
	failed := map[string]bool{}
	for round := range r.cfg.Rounds {
		for turn := range subjects {
			i := (turn + round) % len(subjects)
			c := cells[i]
			if failed[c.Subject] || (load == Half && c.Rate == 0) {
				continue // With no throughput there is no half of it.
			}
			w, err := r.window(ctx, subjects[i], c)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				failed[c.Subject] = true
				r.fail(fmt.Errorf("%s: %w", c.name(), err))
				continue
			}
			c.Rounds = append(c.Rounds, w)
		}
	}
	for _, c := range cells {
		c.settle(r.cfg.Rounds)
	}
	r.sayCells(cells)
	return nil
}

// window measures one cell once.
func (r *run) window(ctx context.Context, s *subject, c *Cell) (Window, error) {
	o := order{target: s, streams: c.Streams, size: c.Size, inflight: max(c.Inflight, 1), patience: r.cfg.Patience}
	return measure(ctx, o, r.cfg.Warmup, r.cfg.Duration, func(f *fleet) {
		if c.Load == Half {
			f.pace(c.Rate)
		} else {
			f.saturate()
		}
	})
}
