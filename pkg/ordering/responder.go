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
	// welcomed is the newest generation whose client has taken its Welcome: an older token is a replayed one.
	welcomed uint32
	// replies are frames for relay's ends that do not have the connection, until Reply gives them out.
	replies []controlFrame
}

// NewResponder returns the app server's end for an Open frame that came by the path. The window is in
// bytes and counts for each direction.
func NewResponder(path Path, open Frame, window int) *Responder {
	r := &Responder{state: Running}
	r.epoch, r.path, r.welcomed = open.Epoch, path, open.Epoch.Generation()
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
	if f.Kind == Adopt { // what is wrong with one is no reason to end the connection
		return r.receiveAdopt(path, f), nil
	}
	if f.Epoch.Generation() < r.epoch.Generation() {
		return r.receiveOutdated(path, f)
	}
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

// receiveOutdated drops what comes from a relay's end that has lost the connection to another. A receipt of its is not taken, true
// as it is: who has adopted the connection may be at an earlier point, as it may have asked for a client that gave up on it, and
// what it asked for is not freed before it has it. Nothing is lost by that: a client that comes anew says what it has consumed.
func (r *Responder) receiveOutdated(path Path, f Frame) (Verdict, error) {
	switch f.Kind {
	case Data, Receipt, Ack:
		r.receiveWelcomed(f)
		if f.Message.Kind == Close { // it waits for a receipt that never comes, and may not have been told, or heard, why
			r.reply(path, f.Epoch, r.epoch.Generation(), TakenOver)
		}
	case Migrate, Resume, Open:
		r.reply(path, f.Epoch, r.epoch.Generation(), TakenOver)
	default:
		return 0, breach(RuleOrder, "%v is not for the app server to receive", f.Kind)
	}
	return StaleEpoch, nil
}

// receiveWelcomed takes the word that a client has the token of the frame's generation: a fact, whatever came since.
func (r *Responder) receiveWelcomed(f Frame) {
	if f.Welcomed && f.Epoch <= max(r.epoch, r.nextEpoch) {
		r.welcomed = max(r.welcomed, f.Epoch.Generation())
	}
}

func (r *Responder) receiveMessage(path Path, f Frame) (Verdict, error) {
	r.receiveWelcomed(f) // by whatever path
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
	case f.Epoch.Generation() != r.epoch.Generation():
		return 0, r.newGeneration(f)
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
	if f.Epoch.Generation() != r.epoch.Generation() {
		return 0, r.newGeneration(f)
	}
	if err := r.replay(f.Received); err != nil {
		return 0, err
	}
	r.takeUp(path, f.Epoch)
	r.sendControl(path, Frame{Kind: MigrateWithAck, Epoch: f.Epoch, Received: r.Inbox.received})
	return Taken, nil
}

// takeUp places the connection on the path and fences every other; what they had brought too early is replayed.
func (r *Responder) takeUp(path Path, epoch Epoch) {
	r.Inbox.discard()
	r.control = nil
	r.epoch, r.path = epoch, path
	r.state, r.target, r.nextEpoch = Running, 0, 0
}

func (r *Responder) newGeneration(f Frame) error {
	return breach(RuleEpoch, "%v of epoch %v, but only an Adopt raises the generation %d", f.Kind, f.Epoch, r.epoch.Generation())
}

// receiveAdopt takes up the connection on the path for a client that has come anew, maybe by another relay (section 7 of the
// design). One that is not to be had is refused and changes nothing: who asks for it may not be its owner.
func (r *Responder) receiveAdopt(path Path, f Frame) Verdict {
	newest := r.epoch.Generation()
	switch {
	case f.Generation < r.welcomed:
		return r.refuse(path, f, Replayed)
	case f.Epoch.Generation() <= newest:
		return r.refuse(path, f, Outrun)
	case f.Consumed > f.Received || r.Outbox.canRewind(f.Received) != nil:
		return r.refuse(path, f, Impossible)
	}
	r.reply(r.path, r.epoch, f.Epoch.Generation(), TakenOver)
	_ = r.replay(f.Received) // it can
	_ = r.Outbox.Acknowledge(f.Consumed)
	r.takeUp(path, f.Epoch)
	answer := Frame{Kind: MigrateWithAck, Epoch: f.Epoch, Received: r.Inbox.received, Ended: r.Inbox.ended()}
	answer.Consumed = r.Inbox.receipt()
	answer.Window, answer.Outstanding = uint32(r.Inbox.window), uint32(r.Inbox.outstanding)
	r.sendControl(path, answer)
	return Taken
}

func (r *Responder) refuse(path Path, f Frame, why Refusal) Verdict {
	r.reply(path, f.Epoch, r.epoch.Generation(), why)
	return Taken
}

func (r *Responder) reply(path Path, to Epoch, newest uint32, why Refusal) {
	r.replies = append(r.replies, controlFrame{path, Frame{Kind: Refuse, Epoch: to, Generation: newest, Refusal: why}})
}

// Reply gives out the next frame that a Receive left to be sent at once via the path, which may be one that does not carry the
// connection, or that is gone: then it is dropped.
func (r *Responder) Reply() (Path, Frame, bool) {
	if len(r.replies) == 0 {
		return 0, Frame{}, false
	}
	c := r.replies[0]
	r.replies = r.replies[1:]
	if len(r.replies) == 0 {
		r.replies = nil
	}
	return c.path, c.frame, true
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
