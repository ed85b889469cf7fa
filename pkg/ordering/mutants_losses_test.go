package ordering

// lossMutants break a rule that only losses need.
var lossMutants = []mutant{
	{"epochs: the relay takes messages of an old one", []edit{
		{"initiator.go", "case f.Epoch < i.inEpoch:\n\t\treturn i.drop(f, StaleEpoch)", "case false:"},
	}},
	{"epochs: the relay takes a MigrateWithAck of an old one", []edit{
		{"initiator.go", "case f.Epoch < i.epoch:\n\t\treturn StaleEpoch, nil", "case false:"},
	}},
	{"epochs: the app takes a Migrate of an old one", []edit{
		{"responder.go", "case f.Epoch <= max(r.epoch, r.nextEpoch):\n\t\treturn StaleEpoch, nil", "case false:"},
	}},
	{"epochs: the app takes a Resume of an old one", []edit{
		{"responder.go", "if f.Epoch <= max(r.epoch, r.nextEpoch) {", "if false {"},
	}},
	{"epochs: the app minds an Ack of an old one", []edit{
		{"responder.go", "case f.Epoch < max(r.epoch, r.nextEpoch):\n\t\treturn StaleEpoch, nil", "case false:"},
	}},
	{"epochs: a resume does not raise it", []edit{
		{"initiator.go", "i.epoch = i.epoch.NextMove()\n\ti.path, ", "i.path, "},
	}},
	{"epochs: a resume does not raise it, and an equal one is taken", []edit{
		{"initiator.go", "i.epoch = i.epoch.NextMove()\n\ti.path, ", "i.path, "},
		{"responder.go", "if f.Epoch <= max(r.epoch, r.nextEpoch) {", "if f.Epoch < max(r.epoch, r.nextEpoch) {"},
	}},
	{"a higher epoch always wins: not over a pause", []edit{
		{"responder.go", "if f.Epoch <= max(r.epoch, r.nextEpoch) {", "if f.Epoch <= max(r.epoch, r.nextEpoch) || r.state == Paused {"},
	}},
	{"a resume discards the buffer", []edit{
		{"responder.go", "r.Inbox.discard()", ""},
	}},
	{"a resume discards the buffer: but not its bytes", []edit{
		{"inbox.go", "for _, m := range in.buffer {\n\t\tin.outstanding -= m.Cost()\n\t}", ""},
	}},
	{"a resume discards the buffer: but not its HalfClose", []edit{
		{"inbox.go", "in.halfClosed > in.received {", "false {"},
	}},
	{"a resume discards the buffer: but not its Close", []edit{
		{"inbox.go", "in.closed > in.received {", "false {"},
	}},
	{"a resume discards the buffer: the app says that it was received", []edit{
		{"responder.go", "Received: r.Inbox.received})", "Received: max(r.Inbox.received, r.Inbox.buffered)})"},
	}},
	{"a resume discards the buffer: it is delivered instead", []edit{
		{"responder.go", "r.Inbox.discard()", "r.Inbox.ready.push(r.Inbox.buffer...); " +
			"r.Inbox.received += uint64(len(r.Inbox.buffer)); r.Inbox.buffer = nil"},
	}},
	{"a resume ends the app's pause: not its outbox's, nor the relay's", []edit{
		{"end.go", "e.Outbox.Resume()\n", ""},
	}},
	{"a resume ends the app's pause: not its state", []edit{
		{"responder.go", "r.epoch, r.path = epoch, path\n\tr.state, r.target, r.nextEpoch = Running, 0, 0", "r.epoch, r.path = epoch, path"},
	}},
	{"a resume fences other paths: not the app's", []edit{
		{"responder.go", "r.epoch, r.path = epoch, path\n", "r.epoch = epoch\n"},
	}},
	{"a resume fences other paths: not the relay's", []edit{
		{"initiator.go", "i.path, i.inEpoch, i.inPath = target, i.epoch, target", "i.path = target"},
	}},
	{"a parked relay takes no messages", []edit{
		{"initiator.go", "i.inEpoch, i.inPath = i.epoch, 0", ""},
	}},
	{"the relay replays: it goes on where it was", []edit{
		{"initiator.go", "i.replay(f.Received)", "i.replay(i.Outbox.sent)"},
	}},
	{"the relay replays: from the start", []edit{
		{"initiator.go", "i.replay(f.Received)", "i.replay(0)"},
	}},
	{"the app replays: it goes on where it was", []edit{
		{"responder.go", "err := r.replay(f.Received)", "err := r.replay(r.Outbox.sent)"},
	}},
	{"a replay starts at what was received: at what was acknowledged", []edit{
		{"outbox.go", "o.sent = received", "o.sent = o.acked"},
	}},
	{"a replay starts at what was received: the relay says what was consumed", []edit{
		{"initiator.go", "Received: i.Inbox.received})", "Received: i.Inbox.consumed})"},
	}},
	{"a replay starts at what was received: the app says what was consumed", []edit{
		{"responder.go", "Received: r.Inbox.received})", "Received: r.Inbox.consumed})"},
	}},
	{"a replay frees nothing", []edit{
		{"outbox.go", "o.sent = received", "o.sent = received; for o.acked < received { o.bytes -= o.retained.pop().Cost(); o.acked++ }"},
	}},
	{"what was not confirmed is opened again: it is resumed", []edit{
		{"initiator.go", "if !i.confirmed {", "if false {"},
	}},
	{"what was not confirmed is opened again: and what was", []edit{
		{"initiator.go", "if !i.confirmed {", "if true {"},
	}},
	{"what was not confirmed is opened again: the relay does not hear that it is new", []edit{
		{"initiator.go", "i.settle()\n\treturn Taken, nil\n}", "return Taken, nil\n}"},
	}},
	{"what was not confirmed is opened again: and not replayed", []edit{
		{"initiator.go", "i.replay(0)", "i.replay(i.Outbox.sent)"},
	}},
	{"an app that knows the connection resumes it: a breach", []edit{
		{"responder.go", "case Resume, Open:", "case Resume:"},
	}},
	{"an app that knows the connection resumes it: ignored", []edit{
		{"responder.go", "case Resume, Open:", "case Open: return StaleEpoch, nil\n\tcase Resume:"},
	}},
	{"the relay pauses until it knows what to replay", []edit{
		{"initiator.go", "i.control = nil\n\ti.Outbox.Pause()", "i.control = nil"},
	}},
	{"a resume takes the place of handshake frames: not at the relay", []edit{
		{"initiator.go", "i.control = nil", ""},
	}},
	{"a resume takes the place of handshake frames: not at the app", []edit{
		{"responder.go", "r.control = nil", ""},
	}},
	{"a handoff needs the previous path until the receipt", []edit{
		{"initiator.go", "path == i.previous)", "path == i.previous && i.state != Confirming)"},
	}},
	{"a handoff needs the previous path until MigrateWithAck", []edit{
		{"initiator.go", "path == i.previous)", "path == i.previous && i.state != Migrating)"},
	}},
	{"a handoff needs the target", []edit{
		{"initiator.go", "path == i.path ||", "path == i.path && i.previous == 0 ||"},
	}},
	{"a receipt may be lost and is said again: not by the app", []edit{
		{"responder.go", "r.Inbox.discard()", "r.Inbox.discard(); r.Inbox.confirm = false"},
	}},
	{"a receipt may be lost and is said again: not by the relay", []edit{
		{"initiator.go", "if err := i.replay(f.Received); err != nil {\n\t\t\treturn 0, err\n\t\t}", "i.replay(f.Received); i.Inbox.confirm = false"},
	}},
	{"a late MigrateWithAck is no breach", []edit{
		{"initiator.go", "case i.state == Parked || i.state == Dismissed:\n\t\treturn WrongPath, nil\n\tcase i.state == Migrating", "case i.state == Migrating"},
	}},
	{"MigrateWithAck ends a resume", []edit{
		{"initiator.go", "i.settle()\n\t\treturn Taken, nil\n\tcase i.state == Adopting", "return Taken, nil\n\tcase i.state == Adopting"},
	}},
	{"the app answers a resume", []edit{
		{"responder.go", "r.sendControl(path, Frame{Kind: MigrateWithAck, Epoch: f.Epoch, Received", "r.sendControl(0, Frame{Kind: MigrateWithAck, Epoch: f.Epoch, Received"},
	}},
}

// equalMutants break a rule of the design, but no run tells them apart from the protocol, and rightly so. Such a rule saves
// work, or guards against a faulty peer, which the unit tests play.
var equalMutants = []mutant{
	// That path is in force since a frame of the new epoch came by it, and a stream keeps its order: nothing older can
	// follow. The relay does need the check, as it takes from a path before anything of the new epoch has come by it.
	{"the app takes messages of an older epoch from the path in force", []edit{
		{"responder.go", "case f.Epoch < r.epoch:\n\t\treturn r.drop(f, StaleEpoch)", "case false:"},
		{"responder.go", "case f.Epoch == r.epoch && path == r.path:", "case path == r.path:"},
	}},
	// A relay sends none twice.
	{"the app takes a Resume of an equal epoch", []edit{
		{"responder.go", "if f.Epoch <= max(r.epoch, r.nextEpoch) {", "if f.Epoch < max(r.epoch, r.nextEpoch) {"},
	}},
	// It is said again after the resume that must follow.
	{"a receipt on a frame that is dropped is not counted", []edit{
		{"end.go", "return v, e.Outbox.Acknowledge(f.Consumed)\n}", "return v, nil\n}"},
	}},
}
