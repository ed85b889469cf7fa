package bench

import (
	"context"
	"errors"
	"fmt"
)

// Pair is what clients of one kind cost the relay beside those of another, which do the same through the same relay in turn with them.
type Pair struct {
	// Kind and Beside say what is compared.
	Kind   string `json:"kind"`
	Beside string `json:"beside"`
	// PerConnection is how many streams share a TCP connection.
	PerConnection int `json:"streams_per_connection"`
	Streams       int `json:"streams"`
	Inflight      int `json:"inflight"`

	Rounds       []Window `json:"rounds"`
	BesideRounds []Window `json:"beside_rounds"`
	// Ratios has the relay's CPU a message with Kind by that with Beside, of each round; Ratio is their median.
	Ratios []float64 `json:"ratios"`
	Ratio  float64   `json:"ratio"`
	// Median and BesideMedian have the median of each figure by itself.
	Median       *Window `json:"median"`
	BesideMedian *Window `json:"beside_median"`
	// Alone is how many responses with a receipt and no message came for each message, over all rounds.
	Alone float64 `json:"receipts_alone_per_message"`
}

// kind is a kind of clients.
type kind struct {
	name string
	dial dialer
	// sockets: it comes to the relay's other address.
	sockets bool
}

// The kinds that are compared. Those of the first pair differ in numbers, receipts and tokens alone: one codec on the client's side,
// batches both. Those of the second have a TCP connection each, as browsers do, and one message in a gRPC message or a frame.
var (
	resumable  = kind{name: "resumable", dial: dialResumable}
	batching   = kind{name: "batches", dial: dialOwnBatch}
	webSocket  = kind{name: "websocket", dial: dialSocket, sockets: true}
	plainAlone = kind{name: "grpc", dial: dialPlain}
)

// pairs are what is compared.
var pairs = []struct {
	kinds         [2]kind
	perConnection int
}{{[2]kind{resumable, batching}, streamsPerConnection}, {[2]kind{webSocket, plainAlone}, 1}}

// clients compares what kinds of clients cost the relay.
func (r *run) clients(ctx context.Context) (err error) {
	stage, done, err := r.stage(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	s, sockets, err := stage.theatre.buildWithSockets(stage.ctx)
	if err != nil {
		return err
	}
	for _, pair := range pairs {
		for _, streams := range r.cfg.ClientStreams {
			p := &Pair{
				Kind: pair.kinds[0].name, Beside: pair.kinds[1].name, PerConnection: pair.perConnection, Streams: streams,
				Inflight: inflightFor(r.cfg.Inflight, goalSize),
			}
			var targets [2]*subject
			for i, k := range pair.kinds {
				address := s.address
				if k.sockets {
					address = sockets
				}
				targets[i] = s.as(k.name, address, k.dial)
			}
			err := r.pair(stage.ctx, p, targets)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				r.fail(fmt.Errorf("clients, %s beside %s, %d streams: %w", p.Kind, p.Beside, streams, err))
				continue
			}
			r.result.Clients = append(r.result.Clients, p)
			r.say("clients: %s, %d streams, %d a TCP connection: relay CPU %.2f µs a message, %s %.2f: ratio %.3f", p.Kind, streams,
				p.PerConnection, p.Median.CPU["relay"], p.Beside, p.BesideMedian.CPU["relay"], p.Ratio)
		}
	}
	return nil
}

// pair measures both kinds in turn; which one comes first changes from round to round.
func (r *run) pair(ctx context.Context, p *Pair, targets [2]*subject) error {
	alone, messages := uint64(0), uint64(0)
	for round := range r.cfg.ClientRounds {
		var windows [2]Window
		for turn := range targets {
			i := (round + turn) % len(targets)
			o := order{
				target: targets[i], streams: p.Streams, streamsConnection: p.PerConnection, size: goalSize, inflight: p.Inflight,
				patience: r.cfg.Patience,
			}
			var f *fleet
			w, err := measure(ctx, o, r.cfg.Warmup, r.cfg.ClientDuration, func(begun *fleet) { f = begun; f.saturate() })
			if err != nil {
				return err
			}
			windows[i] = w
			if i == 0 {
				alone, messages = alone+f.receiptsAlone(), messages+f.checked()
			}
		}
		p.Rounds, p.BesideRounds = append(p.Rounds, windows[0]), append(p.BesideRounds, windows[1])
		of, ok := ratio(windows[0].CPU["relay"], windows[1].CPU["relay"])
		if !ok {
			return fmt.Errorf("the relay used no CPU time that could be seen in %s; measure for longer", r.cfg.ClientDuration)
		}
		p.Ratios = append(p.Ratios, of)
	}
	p.Ratio, p.Median, p.BesideMedian = median(p.Ratios), medians(p.Rounds), medians(p.BesideRounds)
	p.Alone, _ = ratio(float64(alone), float64(messages))
	return nil
}

// checked returns how many echoes came. The fleet has ended.
func (f *fleet) checked() (n uint64) {
	for _, l := range f.lanes {
		n += l.tape.checked
	}
	return n
}
