package ordering

// moveMutants break a rule that holds without losses already.
var moveMutants = []mutant{
	{"messages via the target wait in the buffer: delivered at once", []edit{
		{"responder.go", "return r.take(f, r.Inbox.hold)", "return r.take(f, r.Inbox.accept)"},
	}},
	{"messages via the target wait in the buffer: dropped", []edit{
		{"responder.go", "return r.take(f, r.Inbox.hold)", "return r.drop(f, Taken)"},
	}},
	{"the buffer is released in order", []edit{{
		"inbox.go", "in.ready.push(in.buffer...)", "for i := range in.buffer { in.ready.push(in.buffer[len(in.buffer)-1-i]) }",
	}}},
	{"the buffer is released with the Ack", []edit{
		{"responder.go", "if err := r.Inbox.release(); err != nil {", "if err := error(nil); err != nil {"},
	}},
	{"the app pauses before MigrateWithAck", []edit{
		{"responder.go", "r.Outbox.Pause()", ""},
	}},
	{"the app resumes after the Ack", []edit{
		{"responder.go", "r.Outbox.Resume()", ""},
	}},
	{"MigrateWithAck goes via the previous path", []edit{
		{"responder.go", "r.sendControl(r.path, Frame{", "r.sendControl(path, Frame{"},
	}},
	{"MigrateWithAck goes via the previous path: the relay takes it from the target", []edit{
		{"responder.go", "r.sendControl(r.path, Frame{", "r.sendControl(path, Frame{"},
		{"initiator.go", "case i.state == Migrating && path == i.previous:", "case i.state == Migrating && path == i.path:"},
	}},
	{"Ack goes via the previous path", []edit{
		{"initiator.go", "i.sendControl(i.previous, Frame{", "i.sendControl(i.path, Frame{"},
	}},
	{"Ack goes via the previous path: the app takes it from the target", []edit{
		{"initiator.go", "i.sendControl(i.previous, Frame{", "i.sendControl(i.path, Frame{"},
		{"responder.go", "case path != r.path:", "case path != r.target:"},
	}},
	{"the relay sends via the target after Migrate", []edit{
		{"initiator.go", "i.previous, i.path = i.path, target", "i.previous = i.path"},
	}},
	{"the relay takes from the previous path until MigrateWithAck", []edit{
		{"initiator.go", "i.state = Migrating", "i.state, i.inEpoch, i.inPath = Migrating, i.epoch, i.path"},
	}},
	{"the relay takes from the target after MigrateWithAck", []edit{
		{"initiator.go", "i.inEpoch, i.inPath = i.epoch, i.path", ""},
	}},
	{"every move raises the epoch", []edit{
		{"initiator.go", "i.epoch = i.epoch.NextMove()\n\ti.previous", "i.previous"},
	}},
	{"the app takes over the epoch", []edit{
		{"responder.go", "r.epoch, r.path = r.nextEpoch, r.target", "r.path = r.target"},
	}},
	{"the app confirms a handoff", []edit{
		{"responder.go", "r.Inbox.confirm = true\n\tr.Outbox.Resume()", "r.Outbox.Resume()"},
	}},
	{"the app confirms Open", []edit{
		{"responder.go", "r.Inbox.confirm = true\n\treturn r", "return r"},
	}},
	{"the confirming receipt goes before messages", []edit{
		{"end.go", "if e.Inbox.confirm {", "if e.Inbox.confirm && !e.Outbox.Ready() {"},
	}},
	{"a handoff is open until it is confirmed", []edit{
		{"initiator.go", "i.state = Confirming", "i.state = Settled"},
	}},
	{"a receipt frees what it covers and nothing else", []edit{
		{"outbox.go", "for o.acked < consumed {", "for o.acked < o.sent {"},
	}},
	{"the window binds the sender", []edit{
		{"outbox.go", "if !o.HasRoom(m) {", "if false {"},
	}},
	{"a lone message fits any window", []edit{
		{"outbox.go", "o.acked == o.pushed || ", ""},
	}},
	{"what ends a direction takes nothing of the window", []edit{
		{"frame.go", "if m.ends() {\n\t\treturn 0\n\t}", ""},
	}},
	{"an end is done only when its peer can be", []edit{
		{"end.go", "e.Outbox.Ended() && e.Outbox.acked == e.Outbox.pushed", "e.Outbox.Ended() && e.Outbox.sent == e.Outbox.pushed"},
	}},
}
