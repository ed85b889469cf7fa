package bench

import (
	"bytes"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 4}, 4}, {[]float64{4, 1, 2, 100}, 3}} {
		if got := median(c.values); got != c.want {
			t.Errorf("%v: got %v, want %v", c.values, got, c.want)
		}
	}
}

func TestRatio(t *testing.T) {
	t.Parallel()
	if got, ok := ratio(1, 4); got != 0.25 || !ok {
		t.Errorf("1/4: got %v, %v", got, ok)
	}
	if _, ok := ratio(1, 0); ok {
		t.Error("1/0 is a ratio")
	}
}

func TestSettle(t *testing.T) {
	t.Parallel()
	c := &Cell{Rounds: []Window{
		{PerSecond: 30, RTTp50: 1, CPU: map[string]float64{"echo": 5}, RSS: map[string]float64{"echo": 70}},
		{PerSecond: 10, RTTp50: 3, CPU: map[string]float64{"echo": 7}, RSS: map[string]float64{"echo": 60}},
		{PerSecond: 20, RTTp50: 2, CPU: map[string]float64{"echo": 6}, RSS: map[string]float64{"echo": 50}},
	}}
	c.settle(4)
	if c.Median != nil {
		t.Error("a median although a round is missing")
	}
	c.settle(3)
	m := c.Median
	if m == nil || m.PerSecond != 20 || m.RTTp50 != 2 || m.CPU["echo"] != 6 || m.RSS["echo"] != 60 {
		t.Errorf("got %+v", m)
	}
}

// sample is a result in which most goals can be judged.
func sample() *Result {
	r := &Result{Skipped: map[string]string{Nginx: "nginx is not installed"}}
	add := func(subject, load string, streams int, w Window) {
		w.RSS = map[string]float64{"echo": 5 << 20}
		r.Cells = append(r.Cells, &Cell{Subject: subject, Load: load, Size: goalSize, Streams: streams, Rounds: []Window{w}, Median: &w})
	}
	for _, streams := range []int{100, 1000} {
		add(Direct, Saturation, streams, Window{PerSecond: 1000, CPU: map[string]float64{client: 4, "echo": 10}})
		add(HAProxy, Saturation, streams, Window{PerSecond: 800, CPU: map[string]float64{"haproxy": 4, "echo": 10}})
		add(Raw, Saturation, streams, Window{PerSecond: 9000, CPU: map[string]float64{"relay": 1, "echo": 1}})
		add(Holdfast, Saturation, streams, Window{PerSecond: 850, CPU: map[string]float64{"relay": 12, "appserver": 2}})
		add(Batch, Saturation, streams, Window{PerSecond: 4000, CPU: map[string]float64{"relay": 2, "appserver": 1}})
	}
	add(HAProxy, Ping, 1, Window{RTTp50: 100})
	add(Holdfast, Ping, 1, Window{RTTp50: 90})
	r.Idle = []IdleCase{{PerConnection: 100, Ratio: 1.2}, {PerConnection: 1, Ratio: 1.3}}
	r.Migration = &Moves{Before: Window{PerSecond: 100, RTTp99: 10}, During: Window{PerSecond: 95}, Moved: 3, PauseP99: 40}
	r.Slow = &SlowReader{With: 97, Without: 100}
	r.Growth = &Curve{
		Points:  []GrowthPoint{{Streams: 100, CPU: 5, RSS: 20000, MoveSeconds: 0.1}, {Streams: 1000, CPU: 6, RSS: 15000, MoveSeconds: 0.5}},
		Stopped: "before 50000 streams: they need about 9.5 GiB of memory, and 2.0 GiB is available",
	}
	r.Idle = append(r.Idle, IdleCase{Sockets: true, PerConnection: 1, Streams: 5000, Relay: 23 << 10})
	window := &Window{PerSecond: 4000, CPU: map[string]float64{"relay": 3}}
	r.Clients = []*Pair{
		{Kind: "resumable", Beside: "batches", Streams: 100, Ratios: []float64{1.1, 1.3, 1.2}, Ratio: 1.2, Median: window, BesideMedian: window},
		{Kind: "websocket", Beside: "grpc", Streams: 1000, Ratios: []float64{0.5}, Ratio: 0.5, Median: window, BesideMedian: window},
	}
	r.Resume = &Resumes{Streams: 10000, PerConnection: 100, Rounds: []ResumeRound{
		{Welcomed: 4, Asked: 3, Echoed: 5, Resent: 7, CPU: map[string]float64{"relay": 1}},
		{Welcomed: 2, Asked: 1, Echoed: 3, Resent: 9, CPU: map[string]float64{"relay": 3}},
		{Welcomed: 3.5, Asked: 2, Echoed: 4, Resent: 8, CPU: map[string]float64{"relay": 2}},
	}}
	r.Resume.settle()
	r.Goals = judge(r)
	return r
}

func TestGoals(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"throughput holdfast/direct, 100 streams": "0.85 missed", "throughput holdfast/direct, 1000 streams": "0.85 met",
		"throughput holdfast/haproxy, 100 streams": "1.06 met", "throughput holdfast/haproxy, 1000 streams": "1.06 met",
		"throughput holdfast/haproxy, 10000 streams": NotMeasured, "throughput holdfast/nginx, 100 streams": NotMeasured,
		"throughput holdfast/nginx, 1000 streams": NotMeasured, "throughput holdfast/nginx, 10000 streams": NotMeasured,
		"CPU a message app server/bare echo server, 100 streams":                        "0.20 met",
		"CPU a message app server/bare echo server, 1000 streams":                       "0.20 met",
		"throughput holdfast-batch/direct, 100 streams":                                 "4.00 met",
		"throughput holdfast-batch/direct, 1000 streams":                                "4.00 met",
		"throughput holdfast-batch/raw, 100 streams":                                    "0.44 missed",
		"throughput holdfast-batch/raw, 1000 streams":                                   "0.44 missed",
		"RTT p50 holdfast/haproxy, one stream, one message under way":                   "0.90 met",
		"memory of an idle client relay/bare echo server, 100 streams a TCP connection": "1.20 met",
		"memory of an idle client relay/bare echo server, one stream a TCP connection":  "1.30 missed",
		"throughput while connections are moved/before":                                 "0.95 met",
		"p99 pause of a move/RTT p99 before":                                            "4.00 met",
		"throughput beside a client that reads nothing/without it":                      "0.97 missed",
		"relay CPU a message resumable/plain, 100 streams":                              "1.20 missed",
		"relay CPU a message resumable/plain, 1000 streams":                             NotMeasured,
		"relay CPU a message WebSocket/gRPC, 100 TCP connections":                       NotMeasured,
		"relay CPU a message WebSocket/gRPC, 1000 TCP connections":                      "0.50 met",
		"memory of an idle client over WebSocket, KiB":                                  "23.00 met",
		"10000 clients resume at another relay, s from the kill of theirs":              "3.50 missed",
	}
	verdicts := judge(sample())
	if len(verdicts) != len(want) {
		t.Errorf("%d verdicts, want %d", len(verdicts), len(want))
	}
	for _, v := range verdicts {
		got := v.Verdict
		if v.Measured != nil {
			got = strings.TrimSpace(short2(*v.Measured) + " " + v.Verdict)
		}
		if got != want[v.Goal] {
			t.Errorf("%s: got %s, want %s", v.Goal, got, want[v.Goal])
		}
	}
	for _, v := range judge(&Result{}) {
		if v.Verdict != NotMeasured || v.Measured != nil {
			t.Errorf("nothing was measured, and yet: %+v", v)
		}
	}
}

func TestWriteSaysFailuresFirst(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Failures = []string{"raw, saturation, 100 streams, 64 bytes: a message was doubled"}
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(b.String(), "FAILED: raw, saturation, 100 streams, 64 bytes: a message was doubled\n") {
		t.Error("the failure does not come first")
	}
	for _, want := range []string{
		"not to be relied on", "SKIPPED: nginx: nginx is not installed", "VERDICT", "0.850", "not measured",
		"DIRECT", "appserver 2.00, relay 12.00", "90 µs / 0 µs", "Growth stopped before 50000",
		"5000 clients over WebSocket", "resumable / batches", "1.100 to 1.300", "3.00 / 3.00", "3.500 s", "relay 2.00 s",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if r.Err() == nil {
		t.Error("a failure is no error")
	}
	if err := sample().Err(); err != nil {
		t.Errorf("missed goals are an error: %v", err)
	}
}
