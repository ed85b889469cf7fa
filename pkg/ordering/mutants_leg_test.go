package ordering

// legMutants break a rule that only the client's leg needs.
var legMutants = []mutant{
	{"a generation belongs to one end: the app takes any", []edit{
		{"responder.go", "case f.Epoch.Generation() <= newest:", "case newest == 0:"},
	}},
	{"a generation belongs to one end: the app takes an equal one", []edit{
		{"responder.go", "case f.Epoch.Generation() <= newest:", "case f.Epoch.Generation() < newest:"},
	}},
	{"a generation belongs to one end: a relay's end asks again for the same", []edit{
		{"initiator.go", "i.adopt(target, i.epoch.Generation()+1)", "i.adopt(target, i.epoch.Generation())"},
	}},
	{"a generation belongs to one end: another end of the relay asks for the same", []edit{
		{"initiator.go", "FirstOf(max(token, newest))", "FirstOf(token)"},
	}},
	{"an end that is outrun asks for a higher generation", []edit{
		{"initiator.go", "case f.Refusal == Outrun && f.Generation >= i.epoch.Generation():", "case false:"},
	}},
	{"what was not adopted is asked for again: it is resumed", []edit{
		{"initiator.go", "if !i.placed() {\n\t\ti.adopt", "if false {\n\t\ti.adopt"},
	}},
	{"an older token is refused once a newer one was taken", []edit{
		{"responder.go", "case f.Generation < r.welcomed:", "case false:"},
	}},
	{"that a Welcome was taken is said: not to the app", []edit{
		{"end.go", "Welcomed: e.welcomed}", "Welcomed: false}"},
	}},
	{"that a Welcome was taken is said: not at once", []edit{
		{"initiator.go", "i.welcomed, i.Inbox.confirm = true, true", "i.welcomed = true"},
	}},
	{"that a Welcome was taken is said: not again after a resume", []edit{
		{"end.go", "e.Inbox.confirm = e.Inbox.confirm || e.welcomed", "_ = e"},
	}},
	{"that a Welcome was taken is said: not by the client", []edit{
		{"client.go", "c.told, true\n", "c.told, false\n"},
	}},
	{"that a Welcome was taken is a fact: not any", []edit{
		{"responder.go", "r.welcomed = max(r.welcomed, f.Epoch.Generation())", ""},
	}},
	{"a generation that has lost the connection changes nothing", []edit{
		{"responder.go", "if f.Epoch.Generation() < r.epoch.Generation() {\n\t\treturn r.receiveOutdated(path, f)\n\t}", ""},
	}},
	{"who has lost the connection is told", []edit{
		{"responder.go", "r.reply(r.path, r.epoch, f.Epoch.Generation(), TakenOver)", ""},
	}},
	{"who has lost the connection is told: not when it resumes", []edit{
		{"responder.go", "case Migrate, Resume, Open:\n\t\tr.reply(path, f.Epoch, r.epoch.Generation(), TakenOver)", "case Migrate, Resume, Open:"},
	}},
	{"who has lost the connection lets go", []edit{
		{
			"initiator.go", "case f.Refusal == TakenOver && f.Generation > i.epoch.Generation():",
			"case f.Refusal == TakenOver && f.Generation > i.epoch.Generation():\n\t\treturn Taken, nil",
		},
	}},
	{"what was ever sent may have been received", []edit{
		{"outbox.go", "received > o.top {", "received > o.sent {"},
	}},
	{"what was ever sent may have been received: a replay forgets it", []edit{
		{"outbox.go", "o.top = max(o.top, o.sent)", "o.top = o.sent"},
	}},
	{"the app replays to who adopts", []edit{
		{"responder.go", "_ = r.replay(f.Received)", "r.Outbox.Resume()"},
	}},
	{"the answer says what was received: what was consumed", []edit{
		{"responder.go", "Received: r.Inbox.received, Ended", "Received: r.Inbox.consumed, Ended"},
	}},
	{"the answer says what was consumed: what was received", []edit{
		{"responder.go", "answer.Consumed = r.Inbox.receipt()", "answer.Consumed = r.Inbox.received"},
	}},
	{"the answer says what ended the direction", []edit{
		{"responder.go", ", Ended: r.Inbox.ended()", ""},
	}},
	{"the answer says the window", []edit{
		{"responder.go", "uint32(r.Inbox.window), ", "1, "},
	}},
	{"the answer says what is outstanding", []edit{
		{"responder.go", "uint32(r.Inbox.outstanding)", "0"},
	}},
	{"the answer says what is outstanding: the relay's end does not count it", []edit{
		{"outbox.go", "o.bytes, o.baseBytes = outstanding, outstanding", ""},
	}},
	{"the answer says where to begin", []edit{
		{"initiator.go", "i.Outbox.takeOver(f.Consumed, f.Received, int(f.Outstanding), f.Ended)", ""},
	}},
	{"the answer ends the pause of who adopts", []edit{
		{"initiator.go", "i.Outbox.Resume()\n\t\ti.settle()", "i.settle()"},
	}},
	{"a late answer is no breach: its receipt is one", []edit{
		{"initiator.go", "err != nil && i.placed() {", "err != nil {"},
	}},
	{"a late answer is no breach: a receipt after it is one", []edit{
		{"initiator.go", "if !i.placed() {\n\t\treturn v, nil\n\t}", ""},
	}},
	{"an end that adopts begins where the client is", []edit{
		{"initiator.go", "i.Inbox.takeOver(received, consumed)", ""},
	}},
	{"a client's receipt is taken by number", []edit{
		{"initiator.go", "i.Inbox.takeOver(received, consumed)\n\ti.Number()", "i.Inbox.takeOver(received, consumed)"},
	}},
	{"a client's receipt is taken by number: what was received before counts", []edit{
		{"inbox.go", "counted := max(in.consumed, in.base)", "counted := in.consumed"},
	}},
	{"what was sent before is acknowledged together: each alone", []edit{
		{"outbox.go", "if consumed < o.base {", "if consumed < o.base {\n\t\t\to.acked = max(o.acked, consumed)"},
	}},
	{"what was sent before is acknowledged together: it counts on", []edit{
		{"outbox.go", "o.bytes -= o.baseBytes\n", ""},
	}},
	{"what was sent before is not retained", []edit{
		{"outbox.go", "int(o.sent - max(o.acked, o.base))", "int(o.sent - o.acked)"},
	}},
}

// clientMutants break a rule of the client's end.
var clientMutants = []mutant{
	{"a Hello says what was received: what was consumed", []edit{
		{"client.go", "true, c.Inbox.received\n", "true, c.Inbox.consumed\n"},
	}},
	{"a Hello says what was consumed: what was received", []edit{
		{"client.go", "min(c.Inbox.consumed, c.told), c.Inbox", "c.told, c.Inbox"},
	}},
	{"a Hello says what was consumed: that is no receipt", []edit{
		{"client.go", "c.Inbox.report(c.said, c.saidBytes)", ""},
	}},
	{"a Hello asks for a Close again", []edit{
		{"client.go", "if c.Inbox.closed > c.Inbox.reported {", "if false {"},
	}},
	{"nothing is acknowledged until the Welcome", []edit{
		{"client.go", "return !c.asked && c.Inbox", "return c.Inbox"},
	}},
	{"nothing is acknowledged that another link brought", []edit{
		{"client.go", "return !c.asked && c.Inbox.consumed <= c.via", "return !c.asked"},
	}},
	{"nothing is acknowledged that another link brought: not with the Welcome either", []edit{
		{"client.go", "if c.acknowledges() {", "if true {"},
	}},
	{"what a link has brought is acknowledged", []edit{
		{"client.go", "c.via = max(c.via, f.Seq)", ""},
	}},
	{"the Welcome fences the old link", []edit{
		{"client.go", "link != c.link && link != c.joining:", "link == c.joining && link != c.link:"},
		{"client.go", "case link != c.link:\n\t\treturn 0", "case false:\n\t\treturn 0"},
	}},
	{"the Welcome says from where to replay", []edit{
		{"client.go", "if err := c.Outbox.Rewind(f.Received); err != nil {", "if err := error(nil); err != nil {"},
	}},
	{"the Welcome has a receipt", []edit{
		{"client.go", "return Taken, c.Outbox.Acknowledge(f.Consumed)\n}\n", "return Taken, nil\n}\n"},
	}},
}

// guardMutants are to legMutants and clientMutants what equalMutants are to the others: no run tells them apart from the
// protocol. The unit tests do.
var guardMutants = []mutant{
	// Whoever it asked finds that it was freed, and is refused; nobody waits for that.
	{"nothing is acknowledged until the Welcome: only until the link is left", []edit{
		{"client.go", "c.joining, c.greet = 0, false\n", "c.joining, c.greet, c.asked = 0, false, false\n"},
	}},
	// The client sends nothing before its Welcome, and there is nothing to say in a receipt that the Adopt does not say.
	{"who adopts pauses until it knows where to begin", []edit{
		{"initiator.go", "i.Outbox.Pause()\n\ti.sendControl(path, Frame{\n", "i.sendControl(path, Frame{\n"},
	}},
	// The relay gives each end frames of its own generation only, and lets go of one that is dismissed.
	{"a refusal of an older generation is none", []edit{
		{"initiator.go", "case f.Epoch.Generation() < i.epoch.Generation():\n\t\treturn StaleEpoch, nil", ""},
	}},
	{"a dismissed end takes nothing", []edit{
		{"initiator.go", "i.Park()\n\ti.state, i.refusal", "i.state, i.refusal"},
	}},
	{"a dismissed end is not resumed", []edit{
		{"initiator.go", "target == 0 || i.state == Dismissed", "target == 0"},
	}},
	// Only an end whose client gave up on it asks for that, and the client comes anew.
	{"what was freed is not adopted", []edit{
		{"responder.go", "case f.Consumed > f.Received || r.Outbox.canRewind(f.Received) != nil:", "case false:"},
	}},
	// The client says it again with its word that it has the Welcome.
	{"the app takes the receipt of who adopts", []edit{
		{"responder.go", "_ = r.Outbox.Acknowledge(f.Consumed)\n", ""},
	}},
	// The explorer knows of the token that was shown only what the Adopt says.
	{"an older token is refused: the relay's end does not say which was shown", []edit{
		{"initiator.go", "Generation: i.token,", "Generation: i.epoch.Generation(),"},
	}},
	// Whoever could show a token that is older for that reason is refused by what was said since.
	{"that a Welcome was taken is a fact: not of a generation that was overtaken", []edit{
		{"responder.go", "r.receiveWelcomed(f)\n\t\tif f.Message", "if f.Message"},
	}},
	// No relay raises the generation in another way.
	{"only an Adopt raises the generation: a Migrate does", []edit{
		{"responder.go", "case f.Epoch.Generation() != r.epoch.Generation():\n\t\treturn 0, r.newGeneration(f)", ""},
	}},
	{"only an Adopt raises the generation: a Resume does", []edit{
		{"responder.go", "if f.Epoch.Generation() != r.epoch.Generation() {\n\t\treturn 0, r.newGeneration(f)\n\t}", ""},
	}},
	// A client sends each message once by a link, without a gap, and acknowledges only what the link brought; a relay likewise.
	{"a relay takes a client's message once", []edit{
		{"outbox.go", "if seq <= o.pushed {\n\t\treturn false, nil\n\t}", ""},
	}},
	{"a relay takes a client's message in order", []edit{
		{"outbox.go", "if seq > o.pushed+1 {", "if false {"},
	}},
	{"a relay takes a client's receipt for what it gave out only", []edit{
		{"inbox.go", "if seq > in.taken {", "if false {"},
	}},
	{"a client takes a link's messages in order", []edit{
		{"client.go", "if f.Seq > c.via+1 {", "if false {"},
	}},
	// From a link that was left nothing comes.
	{"a client takes the Welcome of the link that it joins only", []edit{
		{"client.go", "case link == 0 || link != c.joining:", "case false:"},
	}},
	{"a client takes no Welcome before its Hello", []edit{
		{"client.go", "case c.greet:", "case false:"},
	}},
	// What the far end has received is never before what its client took over.
	{"nothing is replayed from before an outbox took over", []edit{
		{"outbox.go", "least := max(o.acked, o.base)", "least := o.acked"},
	}},
}
