package ordering

// plan is what the explorer runs through every interleaving of.
type plan struct {
	name string
	// messages are what each side pushes. Their kinds and first bytes tell them apart.
	messages [2][]Message
	// moves is how often the connection is moved, to any other wire each time.
	moves int
	// window is the window of both directions, in bytes.
	window int
	// floor is the least number of states: less means that the plan lost some of its worlds.
	floor int
	// lazy makes taking a message a step of its own; else it happens as the message arrives. The worlds of
	// a lazy plan include those of the same plan that is not.
	lazy bool
	// forget lets the owners let go of an end as soon as it is done.
	forget bool
}

// wideWindow holds the messages of any plan, tightWindow two small ones and not one large.
const (
	wideWindow  = 1 << 20
	tightWindow = 2 * (1 + MessageOverhead)
)

var fullPlans = []plan{
	{name: "messages", messages: both(3, 3), moves: 2, window: wideWindow, lazy: true, floor: 1_400_000},
	{name: "close", messages: both(2, 2, Close), moves: 2, window: tightWindow, floor: 750_000},
	{name: "half close", messages: [2][]Message{
		{small('a'), {Kind: HalfClose}, {Kind: Close}}, {small('p'), {Kind: Close}},
	}, moves: 2, window: tightWindow, floor: 170_000},
	{name: "window", messages: [2][]Message{
		{large('a'), small('b'), small('c'), {Kind: Close}}, {large('p'), small('q'), small('r')},
	}, moves: 2, window: tightWindow, floor: 230_000},
	{name: "moves", messages: both(2, 2), moves: 3, window: wideWindow, floor: 100_000},
	{name: "forget", messages: both(1, 1, Close), moves: 2, window: tightWindow, lazy: true, forget: true, floor: 120_000},
}

// reducedPlans are small and still catch every mutant.
var reducedPlans = []plan{
	{name: "few messages", messages: both(2, 2), moves: 2, window: wideWindow, lazy: true, floor: 80_000},
	{name: "large and close", messages: [2][]Message{
		{large('a'), {Kind: Close}}, {large('p'), small('q'), {Kind: Close}},
	}, moves: 2, window: tightWindow, floor: 55_000},
	{name: "forget early", messages: both(1, 0, Close), moves: 1, window: tightWindow, forget: true, floor: 8_000},
}

// both gives the relay and the app so many small messages, and then the same ends.
func both(fromRelay, fromApp int, ends ...MessageKind) [2][]Message {
	return [2][]Message{smalls('a', fromRelay, ends), smalls('p', fromApp, ends)}
}

func smalls(first byte, n int, ends []MessageKind) []Message {
	ms := make([]Message, 0, n+len(ends))
	for i := range n {
		ms = append(ms, small(first+byte(i)))
	}
	for _, kind := range ends {
		ms = append(ms, Message{Kind: kind})
	}
	return ms
}

func small(content byte) Message { return Message{Kind: Binary, Payload: []byte{content}} }

// large makes a message that passes the tight window alone.
func large(content byte) Message {
	m := Message{Kind: Text, Payload: make([]byte, tightWindow)}
	m.Payload[0] = content
	return m
}

// steps lists all that can ever happen in the plan's worlds.
func (p *plan) steps() []step {
	var steps []step
	for _, s := range []side{relay, app} {
		steps = append(steps, pushStep{s})
		for by := range wire(wires) {
			steps = append(steps, deliverStep{s, by}, pullStep{s, by})
		}
		if p.lazy {
			steps = append(steps, takeStep{s})
		}
		if p.forget {
			steps = append(steps, forgetStep{s})
		}
	}
	for by := range wire(wires) {
		steps = append(steps, migrateStep{by})
	}
	return steps
}
