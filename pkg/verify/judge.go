package verify

import "errors"

// Judge judges the traffic messages that one end of one logical connection receives.
type Judge struct {
	// Sequence judges the numbers.
	Sequence
	// tag is that of the logical connection; 0 until the first message of an end that has to learn it.
	tag uint64
}

// NewJudge returns a judge of the messages with that tag. With 0 it learns the tag from the first one.
func NewJudge(tag uint64) *Judge { return &Judge{tag: tag} }

// Saw judges one message and returns its header when it is a sound one of this logical connection.
// A message of another form is let through until a traffic message was seen.
func (j *Judge) Saw(payload []byte) (Header, bool) {
	h, err := Decode(payload)
	if err == nil && j.tag == 0 {
		j.tag = h.Tag
	}
	switch {
	case errors.Is(err, ErrOtherForm) && j.tag == 0:
		return h, false
	case errors.Is(err, ErrChecksum):
		j.SawCorrupted(h.Number)
		return h, false
	case err != nil || h.Tag != j.tag:
		j.SawCorrupted(0)
		return h, false
	}
	j.Sequence.Saw(h.Number)
	return h, true
}
