package ordering

import "math"

// InitiatorState is where the relay's end of a logical connection stands.
type InitiatorState uint8

// The states of an Initiator and what ends each. Park and Resume are legal in all of them but Dismissed.
const (
	// Opening: Open was sent; the first frame of the responder ends it.
	Opening InitiatorState = iota + 1
	// Settled: one path carries the connection; Migrate ends it.
	Settled
	// Migrating (step 3): Migrate was sent via the target, which carries this end's messages already;
	// MigrateWithAck via the previous path ends it.
	Migrating
	// Confirming (step 7): Ack was sent via the previous path; the receipt via the target ends it.
	Confirming
	// Parked: no path carries the connection; Resume ends it.
	Parked
	// Resuming (step R1): Resume was sent via the target; MigrateWithAck via the target ends it.
	Resuming
	// Reopening: the path was lost before the responder was heard, and Open was sent via another. A responder that
	// knows the connection answers with MigrateWithAck, one that did not with a receipt.
	Reopening
	// Adopting: Adopt was sent via the target for a client that has come anew; MigrateWithAck via the target ends it, or Refuse.
	Adopting
	// Dismissed: the responder does not let this end have the connection, or no more; its owner lets go of it.
	Dismissed
)

var initiatorStateNames = [...]string{
	Opening: "Opening", Settled: "Settled", Migrating: "Migrating", Confirming: "Confirming",
	Parked: "Parked", Resuming: "Resuming", Reopening: "Reopening", Adopting: "Adopting", Dismissed: "Dismissed",
}

// String returns the state's name.
func (s InitiatorState) String() string {
	return nameOf(initiatorStateNames[:], int(s), "InitiatorState")
}

// Initiator is the relay's end of a logical connection. It alone decides on moves.
type Initiator struct {
	end
	state InitiatorState
	// confirmed: the responder was heard.
	confirmed bool
	// token is the generation of the token with which the connection is adopted, 0 when it was opened here.
	token uint32
	// refusal is set in state Dismissed.
	refusal Refusal
	// previous is the path that a handoff moves away from; 0 when no handoff is open.
	previous Path
	// inEpoch and inPath are the placement from which messages are taken. They lag behind epoch and path
	// in Migrating and equal them in every other state.
	inEpoch Epoch
	inPath  Path
}

// NewInitiator returns the relay's end of a new logical connection on the path, with Open to be sent. The
// window is in bytes and counts for each direction.
func NewInitiator(path Path, window int) *Initiator {
	i := &Initiator{state: Opening, inEpoch: FirstEpoch, inPath: path}
	i.epoch, i.path = FirstEpoch, path
	i.Outbox.window, i.Inbox.window = window, window
	i.sendControl(path, Frame{Kind: Open, Epoch: FirstEpoch})
	return i
}

// NewAdopter returns the relay's end of a connection of which this relay knows nothing, or an older generation, for a client that
// shows a token of the generation and says that it has received all messages through received, and consumed all through consumed.
// Adopt is to be sent via the path, for the generation after newest, which is the newest that this relay has ever had an end of or
// heard of: what was sent to an end that is gone may still be on its way. The connection is adopted once the state is Settled.
func NewAdopter(path Path, window int, token, newest uint32, received, consumed uint64) *Initiator {
	i := &Initiator{token: token}
	i.epoch = FirstOf(max(token, newest))
	i.Outbox.window, i.Inbox.window = window, window
	i.Inbox.takeOver(received, consumed)
	i.Number()
	i.adopt(path, i.epoch.Generation()+1)
	return i
}

// adopt asks for the connection, with a generation that this end has not asked for yet: a generation belongs to one end.
func (i *Initiator) adopt(path Path, generation uint32) {
	i.epoch = FirstOf(generation)
	i.state, i.path, i.inEpoch, i.inPath = Adopting, path, i.epoch, path
	i.Outbox.Pause()
	i.sendControl(path, Frame{
		Kind: Adopt, Epoch: i.epoch, Generation: i.token, Received: i.Inbox.received, Consumed: i.Inbox.consumed,
	})
}

// Number says that the client is a resumable one: it numbers what it sends, and says by number what it has consumed.
func (i *Initiator) Number() { i.Inbox.numbered = true }

// Welcome says that the client has taken its Welcome. The responder is told, and refuses older tokens from then on.
func (i *Initiator) Welcome() {
	if !i.welcomed {
		i.welcomed, i.Inbox.confirm = true, true
	}
}

// Welcomed reports whether the client has taken its Welcome.
func (i *Initiator) Welcomed() bool { return i.welcomed }

// Opened reports whether the connection was opened by this end, or adopted by it.
func (i *Initiator) Opened() bool { return i.token == 0 || i.confirmed }

// Refusal returns why the state is Dismissed, or 0.
func (i *Initiator) Refusal() Refusal { return i.refusal }

// State returns the state.
func (i *Initiator) State() InitiatorState { return i.state }

// Previous returns the path that the open handoff moves away from, or 0.
func (i *Initiator) Previous() Path { return i.previous }

// Uses reports whether the connection needs the path now.
func (i *Initiator) Uses(path Path) bool { return path != 0 && (path == i.path || path == i.previous) }

// Migrate begins a graceful move to the target (step 3). It returns ErrNotMovable unless the state is
// Settled and the target is another path than the one in force.
func (i *Initiator) Migrate(target Path) error {
	if i.state != Settled || target == i.path || target == 0 {
		return ErrNotMovable
	}
	i.epoch = i.epoch.NextMove()
	i.previous, i.path = i.path, target
	i.state = Migrating
	i.sendControl(target, Frame{Kind: Migrate, Epoch: i.epoch})
	return nil
}

// Park gives up the paths in use, as one of them is gone or does not answer. It is legal in any state, and changes nothing in
// Dismissed. What still comes by them is dropped, but for receipts, which are facts.
func (i *Initiator) Park() {
	if i.state == Dismissed {
		return
	}
	i.state, i.path, i.previous = Parked, 0, 0
	i.inEpoch, i.inPath = i.epoch, 0
	i.control = nil
	i.Outbox.Pause()
}

// Resume takes up the connection via the target (step R1). It is legal in any state, and takes the place of whatever
// move is open. It returns ErrNotMovable when there is no target, or in state Dismissed.
func (i *Initiator) Resume(target Path) error {
	if target == 0 || i.state == Dismissed {
		return ErrNotMovable
	}
	i.Park()
	if !i.placed() {
		i.adopt(target, i.epoch.Generation()+1)
		return nil
	}
	i.epoch = i.epoch.NextMove()
	i.path, i.inEpoch, i.inPath = target, i.epoch, target
	if !i.confirmed {
		i.state = Reopening
		i.sendControl(target, Frame{Kind: Open, Epoch: i.epoch})
		return nil
	}
	i.state = Resuming
	i.sendControl(target, Frame{Kind: Resume, Epoch: i.epoch, Received: i.Inbox.received})
	return nil
}

// Receive takes a frame that came by the path. A ProtocolError means that the peer broke a rule.
func (i *Initiator) Receive(path Path, f Frame) (Verdict, error) {
	if f.Epoch > i.epoch {
		return 0, breach(RuleEpoch, "%v of epoch %v, but the newest epoch is %v", f.Kind, f.Epoch, i.epoch)
	}
	if err := i.checkReceipt(f); err != nil && i.placed() {
		return 0, err
	}
	switch f.Kind {
	case Data, Receipt:
		return i.receiveMessage(path, f)
	case MigrateWithAck:
		return i.receiveMigrateWithAck(path, f)
	case Refuse:
		return i.receiveRefuse(path, f)
	default:
		return 0, breach(RuleOrder, "%v is not for the relay to receive", f.Kind)
	}
}

func (i *Initiator) receiveMessage(path Path, f Frame) (Verdict, error) {
	switch {
	case f.Epoch < i.inEpoch:
		return i.drop(f, StaleEpoch)
	case f.Epoch > i.inEpoch && f.Kind == Data:
		return 0, breach(RuleOrder, "message %d of epoch %v came before MigrateWithAck", f.Seq, f.Epoch)
	case path != i.inPath || f.Epoch > i.inEpoch:
		return i.drop(f, WrongPath)
	case i.state == Resuming || i.state == Reopening || i.state == Adopting:
		return i.receiveFirst(f)
	}
	verdict, err := i.take(f, i.Inbox.accept)
	if err != nil {
		return 0, err
	}
	if i.state == Opening || (i.state == Confirming && f.Kind == Receipt) {
		i.settle()
	}
	return verdict, nil
}

// placed reports whether this end knows where its outbox stands: one that adopts the connection is told by the answer.
func (i *Initiator) placed() bool { return i.token == 0 || i.confirmed }

// drop drops the message of a Data frame, and the receipt of one that came before an answer did.
func (i *Initiator) drop(f Frame, v Verdict) (Verdict, error) {
	if !i.placed() {
		return v, nil
	}
	return i.end.drop(f, v)
}

// receiveFirst takes what came via the target before a MigrateWithAck: a receipt there is the answer of a responder to
// which a connection that is opened again is new.
func (i *Initiator) receiveFirst(f Frame) (Verdict, error) {
	if i.state != Reopening || f.Kind != Receipt || f.Consumed != 0 {
		return 0, breach(RuleOrder, "%v came before MigrateWithAck in state %v", f.Kind, i.state)
	}
	if err := i.replay(0); err != nil {
		return 0, err
	}
	i.settle()
	return Taken, nil
}

func (i *Initiator) receiveMigrateWithAck(path Path, f Frame) (Verdict, error) {
	switch {
	case f.Epoch < i.epoch:
		return StaleEpoch, nil
	case i.state == Parked || i.state == Dismissed:
		return WrongPath, nil
	case i.state == Migrating && path == i.previous:
		i.state = Confirming
		i.inEpoch, i.inPath = i.epoch, i.path
		i.sendControl(i.previous, Frame{Kind: Ack, Epoch: i.epoch})
		return Taken, nil
	case (i.state == Resuming || i.state == Reopening) && path == i.path: // step R3
		if err := i.replay(f.Received); err != nil {
			return 0, err
		}
		i.settle()
		return Taken, nil
	case i.state == Adopting && path == i.path:
		if err := checkAnswer(f); err != nil {
			return 0, err
		}
		if f.Window > 0 {
			i.Outbox.window, i.Inbox.window = int(f.Window), int(f.Window)
		}
		i.Outbox.takeOver(f.Consumed, f.Received, int(f.Outstanding), f.Ended)
		i.Outbox.Resume()
		i.settle()
		return Taken, nil
	}
	return 0, breach(RuleOrder, "MigrateWithAck in state %v, or by the wrong path", i.state)
}

// checkAnswer fails when the answer to an Adopt says what cannot be: this end believes it what it knows of nobody else.
func checkAnswer(f Frame) error {
	switch {
	case f.Consumed > f.Received:
		return breach(RuleReceipt, "receipt through %d, but only %d were received", f.Consumed, f.Received)
	case f.Received > MaxSeq:
		return breach(RuleRewind, "message %d was received; no number is above %d", f.Received, uint64(MaxSeq))
	case f.Window > MaxWindow:
		return breach(RuleWindow, "a window of %d bytes; the largest has %d", f.Window, MaxWindow)
	case f.Outstanding > MaxOutstanding:
		return breach(RuleWindow, "%d bytes are outstanding; at most %d can be", f.Outstanding, MaxOutstanding)
	}
	return nil
}

// receiveRefuse takes the word that the connection is not to be had: with this generation, not at all, or no more.
func (i *Initiator) receiveRefuse(path Path, f Frame) (Verdict, error) {
	switch {
	case f.Epoch.Generation() < i.epoch.Generation():
		return StaleEpoch, nil
	case f.Refusal == TakenOver && f.Generation > i.epoch.Generation(): // whatever goes on here
	case i.state == Parked || i.state == Dismissed:
		return WrongPath, nil
	case i.state != Adopting || path != i.path:
		return 0, breach(RuleOrder, "Refuse (%v) in state %v, or by the wrong path", f.Refusal, i.state)
	case f.Refusal == Outrun && f.Generation == math.MaxUint32:
		return 0, breach(RuleEpoch, "Refuse of the last generation there is")
	case f.Refusal == Outrun && f.Generation >= i.epoch.Generation():
		i.adopt(path, f.Generation+1)
		return Taken, nil
	}
	i.Park()
	i.state, i.refusal = Dismissed, f.Refusal
	return Taken, nil
}

func (i *Initiator) settle() { i.state, i.previous, i.confirmed = Settled, 0, true }
