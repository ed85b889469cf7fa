package ordering

// ResponderState is where the app server's end of a logical connection stands.
type ResponderState uint8

// The states of a Responder and what ends each.
const (
	// Running: one path carries the connection; Migrate via another ends it. Whether the path lives is not known here.
	Running ResponderState = iota + 1
	// Paused (steps 5 and 6): the outbox is paused and MigrateWithAck was sent via the previous path;
	// messages of the new epoch are buffered. Ack via the previous path ends it, or a Resume.
	Paused
)

var responderStateNames = [...]string{Running: "Running", Paused: "Paused"}

// String returns the state's name.
func (s ResponderState) String() string {
	return nameOf(responderStateNames[:], int(s), "ResponderState")
}

// Responder is the app server's end of a logical connection. It only answers.
type Responder struct {
	end
	state ResponderState
	// target and nextEpoch are the placement to come; 0 unless the state is Paused.
	target    Path
	nextEpoch Epoch
}

// NewResponder returns the app server's end for an Open frame that came by the path. The window is in
// bytes and counts for each direction.
func NewResponder(path Path, open Frame, window int) *Responder {
	r := &Responder{state: Running}
	r.epoch, r.path = open.Epoch, path
	r.Outbox.window, r.Inbox.window = window, window
	r.Inbox.confirm = true
	return r
}

// State returns the state.
func (r *Responder) State() ResponderState { return r.state }

// Target returns the path that the open handoff moves to, or 0.
func (r *Responder) Target() Path { return r.target }

// Uses reports whether the connection needs the path now.
func (r *Responder) Uses(path Path) bool { return path != 0 && (path == r.path || path == r.target) }

// Receive takes a frame that came by the path. A ProtocolError means that the peer broke a rule.
func (r *Responder) Receive(path Path, f Frame) (Verdict, error) {
	if err := r.checkReceipt(f); err != nil {
		return 0, err
	}
	switch f.Kind {
	case Data, Receipt:
		return r.receiveMessage(path, f)
	case Migrate:
		return r.receiveMigrate(path, f)
	case Ack:
		return r.receiveAck(path, f)
	case Resume, Open: // the relay opens again what was not confirmed
		return r.receiveResume(path, f)
	default:
		return 0, breach(RuleOrder, "%v is not for the app server to receive now", f.Kind)
	}
}

func (r *Responder) receiveMessage(path Path, f Frame) (Verdict, error) {
	switch {
	case f.Epoch < r.epoch:
		return r.drop(f, StaleEpoch)
	case f.Epoch == r.epoch && path == r.path:
		return r.take(f, r.Inbox.accept)
	case r.state == Paused && f.Epoch == r.nextEpoch && path == r.target:
		return r.take(f, r.Inbox.hold)
	case f.Epoch > max(r.epoch, r.nextEpoch):
		return 0, breach(RuleEpoch, "%v of epoch %v, but the newest epoch is %v", f.Kind, f.Epoch, max(r.epoch, r.nextEpoch))
	}
	return r.drop(f, WrongPath)
}

func (r *Responder) receiveMigrate(path Path, f Frame) (Verdict, error) {
	switch {
	case f.Epoch <= max(r.epoch, r.nextEpoch):
		return StaleEpoch, nil
	case r.state != Running:
		return 0, breach(RuleOrder, "Migrate in state %v", r.state)
	case path == r.path:
		return 0, breach(RuleOrder, "Migrate came by the path that carries the connection")
	}
	r.Outbox.Pause()
	r.state, r.target, r.nextEpoch = Paused, path, f.Epoch
	r.sendControl(r.path, Frame{Kind: MigrateWithAck, Epoch: f.Epoch})
	return Taken, nil
}

// receiveResume takes up the connection on the path, whatever became of the others (step R2).
func (r *Responder) receiveResume(path Path, f Frame) (Verdict, error) {
	if f.Epoch <= max(r.epoch, r.nextEpoch) {
		return StaleEpoch, nil
	}
	if err := r.replay(f.Received); err != nil {
		return 0, err
	}
	r.Inbox.discard()
	r.control = nil
	r.epoch, r.path = f.Epoch, path
	r.state, r.target, r.nextEpoch = Running, 0, 0
	r.sendControl(path, Frame{Kind: MigrateWithAck, Epoch: f.Epoch, Received: r.Inbox.received})
	return Taken, nil
}

func (r *Responder) receiveAck(path Path, f Frame) (Verdict, error) {
	switch {
	case f.Epoch < max(r.epoch, r.nextEpoch):
		return StaleEpoch, nil
	case r.state != Paused || f.Epoch != r.nextEpoch:
		return 0, breach(RuleOrder, "Ack of epoch %v in state %v", f.Epoch, r.state)
	case path != r.path:
		return 0, breach(RuleOrder, "Ack came by a path that is not the previous one")
	}
	if err := r.Inbox.release(); err != nil {
		return 0, err
	}
	r.epoch, r.path = r.nextEpoch, r.target
	r.state, r.target, r.nextEpoch = Running, 0, 0
	r.Inbox.confirm = true
	r.Outbox.Resume()
	return Taken, nil
}
