package ordering

// InitiatorState is where the relay's end of a logical connection stands.
type InitiatorState uint8

// The states of an Initiator and what ends each.
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
)

var initiatorStateNames = [...]string{Opening: "Opening", Settled: "Settled", Migrating: "Migrating", Confirming: "Confirming"}

// String returns the state's name.
func (s InitiatorState) String() string {
	return nameOf(initiatorStateNames[:], int(s), "InitiatorState")
}

// Initiator is the relay's end of a logical connection. It alone decides on moves.
type Initiator struct {
	end
	state InitiatorState
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
	i.sendControl(path, Open, FirstEpoch)
	return i
}

// State returns the state.
func (i *Initiator) State() InitiatorState { return i.state }

// Previous returns the path that the open handoff moves away from, or 0.
func (i *Initiator) Previous() Path { return i.previous }

// Uses reports whether the connection needs the path now.
func (i *Initiator) Uses(path Path) bool { return path == i.path || path == i.previous }

// Migrate begins a graceful move to the target (step 3). It returns ErrNotMovable unless the state is
// Settled and the target is another path than the one in force.
func (i *Initiator) Migrate(target Path) error {
	if i.state != Settled || target == i.path || target == 0 {
		return ErrNotMovable
	}
	i.epoch = i.epoch.NextMove()
	i.previous, i.path = i.path, target
	i.state = Migrating
	i.sendControl(target, Migrate, i.epoch)
	return nil
}

// Receive takes a frame that came by the path. A ProtocolError means that the peer broke a rule.
func (i *Initiator) Receive(path Path, f Frame) (Verdict, error) {
	if f.Epoch > i.epoch {
		return 0, breach(RuleEpoch, "%v of epoch %v, but the newest epoch is %v", f.Kind, f.Epoch, i.epoch)
	}
	if err := i.checkReceipt(f); err != nil {
		return 0, err
	}
	switch f.Kind {
	case Data, Receipt:
		return i.receiveMessage(path, f)
	case MigrateWithAck:
		return i.receiveMigrateWithAck(path, f)
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
	}
	verdict, err := i.take(f, i.Inbox.accept)
	if err != nil {
		return 0, err
	}
	if i.state == Opening || (i.state == Confirming && f.Kind == Receipt) {
		i.state, i.previous = Settled, 0
	}
	return verdict, nil
}

func (i *Initiator) receiveMigrateWithAck(path Path, f Frame) (Verdict, error) {
	switch {
	case f.Epoch < i.epoch:
		return StaleEpoch, nil
	case i.state != Migrating:
		return 0, breach(RuleOrder, "MigrateWithAck in state %v", i.state)
	case path != i.previous:
		return 0, breach(RuleOrder, "MigrateWithAck came by a path that is not the previous one")
	}
	i.state = Confirming
	i.inEpoch, i.inPath = i.epoch, i.path
	i.sendControl(i.previous, Ack, i.epoch)
	return Taken, nil
}
