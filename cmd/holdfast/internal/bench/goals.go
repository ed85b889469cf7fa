package bench

// goalSize is the size of the messages that the goals are about.
const goalSize = 64

// The outcomes of a goal.
const (
	Met         = "met"
	Missed      = "missed"
	NotMeasured = "not measured"
)

// goal is a ratio that the relay is to reach.
type goal struct {
	name string
	// least or most is the bound; the other one is 0.
	least, most float64
	measured    func(*Result) (float64, bool)
}

// Verdict is how a goal came out.
type Verdict struct {
	Goal  string  `json:"goal"`
	Least float64 `json:"least,omitempty"`
	Most  float64 `json:"most,omitempty"`
	// Measured is nil when there was nothing to compute it from.
	Measured *float64 `json:"measured"`
	Verdict  string   `json:"verdict"`
}

// goals has all goals; the messages have 64 bytes and the load is saturation unless the name says something else.
var goals = []goal{
	{name: "throughput holdfast/direct, 100 streams", least: 0.90, measured: throughput(Holdfast, Direct, 100)},
	{name: "throughput holdfast/direct, 1000 streams", least: 0.80, measured: throughput(Holdfast, Direct, 1000)},
	{name: "throughput holdfast/haproxy, 100 streams", least: 1, measured: throughput(Holdfast, HAProxy, 100)},
	{name: "throughput holdfast/haproxy, 1000 streams", least: 1, measured: throughput(Holdfast, HAProxy, 1000)},
	{name: "throughput holdfast/haproxy, 10000 streams", least: 1, measured: throughput(Holdfast, HAProxy, 10000)},
	{name: "throughput holdfast/nginx, 100 streams", least: 1, measured: throughput(Holdfast, Nginx, 100)},
	{name: "throughput holdfast/nginx, 1000 streams", least: 1.5, measured: throughput(Holdfast, Nginx, 1000)},
	{name: "throughput holdfast/nginx, 10000 streams", least: 3, measured: throughput(Holdfast, Nginx, 10000)},
	{name: "CPU a message app server/bare echo server, 100 streams", most: 0.20, measured: backendCPU(100)},
	{name: "CPU a message app server/bare echo server, 1000 streams", most: 0.20, measured: backendCPU(1000)},
	{name: "throughput holdfast-batch/direct, 100 streams", least: 3, measured: throughput(Batch, Direct, 100)},
	{name: "throughput holdfast-batch/direct, 1000 streams", least: 3, measured: throughput(Batch, Direct, 1000)},
	{name: "throughput holdfast-batch/raw, 100 streams", least: 0.5, measured: throughput(Batch, Raw, 100)},
	{name: "throughput holdfast-batch/raw, 1000 streams", least: 0.5, measured: throughput(Batch, Raw, 1000)},
	{name: "RTT p50 holdfast/haproxy, one stream, one message under way", most: 1, measured: pingRTT},
	{name: "memory of an idle client relay/bare echo server, 100 streams a TCP connection", most: 1.25, measured: idleRatio(streamsPerConnection)},
	{name: "memory of an idle client relay/bare echo server, one stream a TCP connection", most: 1.25, measured: idleRatio(1)},
	{name: "throughput while connections are moved/before", least: 0.90, measured: moveThroughput},
	{name: "p99 pause of a move/RTT p99 before", most: 5, measured: movePause},
	{name: "throughput beside a client that reads nothing/without it", least: 0.98, measured: slowRatio},
	{name: "relay CPU a message resumable/plain, 100 streams", most: 1.15, measured: pairRatio(resumable.name, 100)},
	{name: "relay CPU a message resumable/plain, 1000 streams", most: 1.15, measured: pairRatio(resumable.name, 1000)},
	{name: "relay CPU a message WebSocket/gRPC, 100 TCP connections", most: 0.6, measured: pairRatio(webSocket.name, 100)},
	{name: "relay CPU a message WebSocket/gRPC, 1000 TCP connections", most: 0.6, measured: pairRatio(webSocket.name, 1000)},
	{name: "memory of an idle client over WebSocket, KiB", most: 24, measured: idleSocket},
	{name: "10000 clients resume at another relay, s from the kill of theirs", most: 3, measured: resumeTime(10000)},
}

// judge says how each goal came out.
func judge(r *Result) []Verdict {
	verdicts := make([]Verdict, 0, len(goals))
	for _, g := range goals {
		v := Verdict{Goal: g.name, Least: g.least, Most: g.most, Verdict: NotMeasured}
		if measured, ok := g.measured(r); ok {
			v.Measured, v.Verdict = &measured, g.verdict(measured)
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

func (g goal) verdict(measured float64) string {
	if measured < g.least || (g.most > 0 && measured > g.most) {
		return Missed
	}
	return Met
}

// compare returns the ratio of a figure of two subjects in the same cell.
func compare(r *Result, over, under, load string, streams int, figure func(*Window, string) float64) (float64, bool) {
	a, b := r.cell(over, load, goalSize, streams), r.cell(under, load, goalSize, streams)
	if a == nil || b == nil {
		return 0, false
	}
	return ratio(figure(a, over), figure(b, under))
}

func throughput(over, under string, streams int) func(*Result) (float64, bool) {
	return func(r *Result) (float64, bool) {
		return compare(r, over, under, Saturation, streams, func(w *Window, _ string) float64 { return w.PerSecond })
	}
}

// backendCPU compares what the application's machine pays for a message.
func backendCPU(streams int) func(*Result) (float64, bool) {
	return func(r *Result) (float64, bool) {
		return compare(r, Holdfast, Direct, Saturation, streams, func(w *Window, subject string) float64 {
			if subject == Holdfast {
				return w.CPU["appserver"]
			}
			return w.CPU["echo"]
		})
	}
}

func pingRTT(r *Result) (float64, bool) {
	return compare(r, Holdfast, HAProxy, Ping, 1, func(w *Window, _ string) float64 { return w.RTTp50 })
}

func idleRatio(streamsPerConnection int) func(*Result) (float64, bool) {
	return func(r *Result) (float64, bool) {
		for _, c := range r.Idle {
			if c.PerConnection == streamsPerConnection && !c.Sockets {
				return c.Ratio, c.Ratio > 0
			}
		}
		return 0, false
	}
}

func moveThroughput(r *Result) (float64, bool) {
	if r.Migration == nil {
		return 0, false
	}
	return ratio(r.Migration.During.PerSecond, r.Migration.Before.PerSecond)
}

func movePause(r *Result) (float64, bool) {
	if r.Migration == nil || r.Migration.Moved == 0 {
		return 0, false
	}
	return ratio(r.Migration.PauseP99, r.Migration.Before.RTTp99)
}

func slowRatio(r *Result) (float64, bool) {
	if r.Slow == nil {
		return 0, false
	}
	return ratio(r.Slow.With, r.Slow.Without)
}

// pairRatio compares a kind of clients with the one beside it.
func pairRatio(kind string, streams int) func(*Result) (float64, bool) {
	return func(r *Result) (float64, bool) {
		for _, p := range r.Clients {
			if p.Kind == kind && p.Streams == streams {
				return p.Ratio, true
			}
		}
		return 0, false
	}
}

func idleSocket(r *Result) (float64, bool) {
	for _, c := range r.Idle {
		if c.Sockets {
			return c.Relay / (1 << 10), true
		}
	}
	return 0, false
}

func resumeTime(streams int) func(*Result) (float64, bool) {
	return func(r *Result) (float64, bool) {
		if r.Resume == nil || r.Resume.Streams != streams {
			return 0, false
		}
		return r.Resume.Median.Welcomed, true
	}
}
