package ordering

// plan is what the explorer runs through every interleaving of.
type plan struct {
	name string
	// messages are what each side pushes. Their kinds and first bytes tell them apart.
	messages [2][]Message
	// moves is how often the connection is moved, to any other wire each time.
	moves int
	// cuts is how many wires are cut, and timeouts how often whatever goes on is given up, at any moment.
	cuts, timeouts int
	// window is the window of both directions, in bytes.
	window int
	// floor is the least number of states: less means that the plan lost some of its worlds.
	floor int
	// lazy makes taking a message a step of its own; else it happens as the message arrives. The worlds of
	// a lazy plan include those of the same plan that is not.
	lazy bool
	// forget has the owners let go of an end as soon as it is done; what arrives for it then is answered as unknown.
	forget bool
	// exact keeps in flight what is stale, and apart tells worlds apart that differ only in which wire is which. Both are
	// there to prove that to do else loses nothing.
	exact, apart bool
	// amnesia has the app take an Open for a connection that it has let go of as one for a new connection.
	amnesia bool
}

// wideWindow holds the messages of any plan, tightWindow two small ones and not one large.
const (
	wideWindow  = 1 << 20
	tightWindow = 2 * (1 + MessageOverhead)
)

var fullPlans = []plan{
	{name: "messages", messages: both(3, 3), moves: 2, window: wideWindow, lazy: true, floor: 500_000},
	{name: "close", messages: both(2, 2, Close), moves: 2, window: tightWindow, floor: 260_000},
	{name: "half close", messages: [2][]Message{
		{small('a'), {Kind: HalfClose}, {Kind: Close}}, {small('p'), {Kind: Close}},
	}, moves: 2, window: tightWindow, floor: 60_000},
	{name: "window", messages: [2][]Message{
		{large('a'), small('b'), small('c'), {Kind: Close}}, {large('p'), small('q'), small('r')},
	}, moves: 2, window: tightWindow, floor: 80_000},
	{name: "moves", messages: both(2, 2), moves: 3, window: wideWindow, floor: 28_000},
	{name: "forget", messages: both(1, 1, Close), moves: 2, window: tightWindow, lazy: true, forget: true, floor: 24_000},
	{name: "losses", messages: both(1, 1), moves: 2, cuts: 2, timeouts: 2, window: wideWindow, floor: 4_300_000},
	{name: "loss", messages: both(2, 2), moves: 1, cuts: 1, timeouts: 1, window: wideWindow, floor: 2_000_000},
	{name: "loss and close", messages: both(1, 1, Close), moves: 1, cuts: 1, timeouts: 1, window: tightWindow, forget: true, floor: 3_100_000},
	{name: "loss and half close", messages: [2][]Message{
		{large('a'), {Kind: HalfClose}}, {large('p'), {Kind: Close}},
	}, moves: 1, cuts: 1, timeouts: 1, window: tightWindow, floor: 1_700_000},
	{name: "loss and slow owners", messages: both(2, 2), moves: 1, cuts: 1, window: wideWindow, lazy: true, floor: 310_000},
}

// reducedPlans are small, those first in which most is found, and catch every mutant.
var reducedPlans = []plan{
	{name: "forget early", messages: both(1, 0, Close), moves: 1, window: tightWindow, forget: true, floor: 1_600},
	{name: "few messages", messages: both(2, 2), moves: 2, window: wideWindow, lazy: true, floor: 29_000},
	{name: "large and close", messages: [2][]Message{
		{large('a'), {Kind: Close}}, {large('p'), small('q'), {Kind: Close}},
	}, moves: 2, window: tightWindow, floor: 20_000},
	{name: "loss and forget", messages: both(1, 1, Close), cuts: 1, window: tightWindow, forget: true, floor: 10_000},
	{name: "loss after half close", messages: [2][]Message{
		{small('a'), {Kind: HalfClose}, {Kind: Close}}, {{Kind: HalfClose}},
	}, moves: 1, timeouts: 1, window: tightWindow, floor: 65_000},
	{name: "loss of few", messages: both(1, 1), moves: 1, cuts: 1, timeouts: 1, window: wideWindow, lazy: true, floor: 90_000},
}

// deepPlans are for `make explore`. One at a time they take 6 minutes, and the last 4 GB of memory.
var deepPlans = []plan{
	{name: "slow owners", messages: both(2, 2), moves: 1, cuts: 1, timeouts: 1, window: wideWindow, lazy: true, floor: 3_200_000},
	{name: "three moves", messages: both(1, 1), moves: 3, cuts: 1, timeouts: 1, window: wideWindow, floor: 240_000},
	{name: "three timeouts", messages: both(1, 1), moves: 1, cuts: 1, timeouts: 3, window: wideWindow, floor: 1_900_000},
	{name: "two moves", messages: both(2, 2), moves: 2, cuts: 1, timeouts: 1, window: wideWindow, floor: 4_500_000},
	{name: "two timeouts", messages: both(2, 2), moves: 1, cuts: 1, timeouts: 2, window: wideWindow, floor: 12_100_000},
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
	}
	for by := range wire(wires) {
		steps = append(steps, migrateStep{by})
	}
	return append(steps, p.lossSteps()...)
}

// lossSteps lists what can happen when paths break.
func (p *plan) lossSteps() []step {
	if p.cuts+p.timeouts == 0 {
		return nil
	}
	steps := []step{timeoutStep{}}
	for by := range wire(wires) {
		steps = append(steps, cutStep{by}, loseStep{by}, noticeStep{by}, resumeStep{by})
	}
	return steps
}
