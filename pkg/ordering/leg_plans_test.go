package ordering

var fullLegPlans = []legPlan{
	{name: "joins", up: ups(1), down: downs(1), joins: 2, paths: 2, window: wideWindow, floor: 50_000},
	{name: "links", up: ups(1), down: downs(1), joins: 1, linkCuts: 1, paths: 2, window: wideWindow, floor: 410_000},
	{name: "paths", up: ups(1), down: downs(1), joins: 1, pathCuts: 1, paths: 3, window: wideWindow, floor: 73_000},
	{name: "deaths", up: ups(1), down: downs(1), joins: 1, deaths: 1, paths: 3, window: wideWindow, floor: 30_000},
	{
		name: "large", up: []Message{large('a'), small('b')}, down: []Message{large('p'), small('q')},
		joins: 1, paths: 2, window: tightWindow, lazy: true, floor: 43_000,
	},
	{name: "close", up: ups(0, HalfClose, Close), down: downs(1, Close), joins: 1, paths: 2, window: tightWindow, floor: 200_000},
	{name: "timeouts", joins: 1, timeouts: 1, abandons: 1, paths: 3, window: wideWindow, floor: 170_000},
	{name: "timeouts and moves", down: downs(1), joins: 1, timeouts: 1, moves: 1, paths: 3, window: wideWindow, floor: 92_000},
	{name: "abandons", joins: 1, abandons: 2, paths: 2, window: wideWindow, floor: 125_000},
	{name: "theft", down: downs(1), joins: 2, thefts: 1, paths: 2, window: wideWindow, floor: 150_000},
	{name: "thefts", joins: 3, thefts: 1, paths: 2, window: wideWindow, floor: 105_000},
}

// reducedLegPlans are small and catch every mutant.
var reducedLegPlans = []legPlan{
	{name: "window up", up: ups(4), joins: 1, paths: 2, window: tightWindow, lazy: true, floor: 8_000},
	{name: "window down", down: downs(4), joins: 1, paths: 2, window: tightWindow, lazy: true, floor: 25_000},
	{name: "slow writers", up: ups(1), down: downs(1), joins: 1, paths: 2, window: wideWindow, slow: true, lazy: true, floor: 13_000},
	{name: "close up", up: ups(1, HalfClose, Close), joins: 1, paths: 2, window: tightWindow, lazy: true, floor: 10_000},
	{name: "close down", down: downs(1, Close), joins: 1, paths: 2, window: tightWindow, lazy: true, floor: 6_800},
	{name: "path and link", up: ups(1), linkCuts: 1, pathCuts: 1, paths: 3, window: wideWindow, floor: 10_000},
	{name: "link and path", down: downs(1), linkCuts: 1, pathCuts: 1, paths: 3, window: wideWindow, floor: 14_000},
	{name: "move", up: ups(1), down: downs(1), joins: 1, moves: 1, paths: 3, window: wideWindow, floor: 35_000},
	{name: "abandon", down: downs(1), joins: 1, abandons: 1, paths: 2, window: wideWindow, floor: 42_000},
	{name: "timeout", up: ups(1), down: downs(1), joins: 1, timeouts: 1, paths: 2, window: wideWindow, floor: 58_000},
	{name: "late receipt", up: ups(1), joins: 1, timeouts: 1, paths: 2, window: wideWindow, lazy: true, floor: 4_200},
	{name: "thief", joins: 2, thefts: 1, paths: 2, window: wideWindow, floor: 6_800},
	{name: "slow joins", down: downs(2), joins: 2, paths: 2, window: wideWindow, slow: true, floor: 190_000},
}

// deepLegPlans are for `make explore`.
var deepLegPlans = []legPlan{
	{name: "abandons and messages", up: ups(1), down: downs(2), joins: 1, abandons: 1, paths: 2, window: wideWindow},
	{name: "abandons and paths", down: downs(1), joins: 1, pathCuts: 1, abandons: 1, paths: 3, window: wideWindow},
}

// ups and downs are small messages of the client and of the app, with the ends after them.
func ups(n int, ends ...MessageKind) []Message   { return smalls('a', n, ends) }
func downs(n int, ends ...MessageKind) []Message { return smalls('p', n, ends) }
