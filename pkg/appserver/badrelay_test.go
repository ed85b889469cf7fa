package appserver_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	holdfastv1 "github.com/holdfast/holdfast/gen/holdfast/v1"
)

// The relay sends frames for a connection that is not known here: what asks for an answer gets one, on its own path.
func TestUnknownConnection(t *testing.T) {
	for name, c := range map[string]struct {
		frame *holdfastv1.Frame
		want  string
	}{
		"data":       {data(1, 5, "x"), "b>close0@5(UNKNOWN_CONNECTION)#99"},
		"half-close": {halfClose(1, 5), "b>close0@5(UNKNOWN_CONNECTION)#99"},
		"migrate":    {migrate(5), "b>close0@5(UNKNOWN_CONNECTION)#99"},
		"receipt":    {receipt(0, 5), ""},
		"close":      {gone(1, 5), ""},
		"answer":     {closing(0, 5, holdfastv1.CloseReason_CLOSE_REASON_UNKNOWN_CONNECTION, ""), ""},
		"ack":        {ack(5), ""},
		"reject":     {reject(5), ""},
	} {
		t.Run(name, func(t *testing.T) {
			connected(t, nil, func(_ *testing.T, w *world, a, b *stream, x *session) {
				b.send(on(99, c.frame))
				pause()
				w.expect(c.want)
				w.alive(a, x, 1, 1)
			})
		})
	}
}

// A relay that breaks a rule loses that connection, on both sides, and no other. The path that the rule was broken on is
// the last one that the frames go by.
func TestBrokenRulesEndTheirConnection(t *testing.T) {
	for name, c := range map[string]struct {
		frames func(a, b *stream)
		path   string
		move   uint32
		detail string
	}{
		"future epoch":              {func(a, _ *stream) { a.send(data(1, 7, "x")) }, "a", 7, "protocol rule Epoch: Data of epoch 1.7, but the newest epoch is 1.1"},
		"future epoch of a receipt": {func(a, _ *stream) { a.send(receipt(0, 7)) }, "a", 7, "rule Epoch"},
		"gap":                       {func(a, _ *stream) { a.send(data(2, 1, "x")) }, "a", 1, "rule Gap: message 2 came after message 0"},
		"gap before a close":        {func(a, _ *stream) { a.send(gone(2, 1)) }, "a", 1, "rule Gap"},
		"gap after a handoff": {func(a, b *stream) {
			b.send(migrate(2), data(3, 2, "x"))
			settle()
			a.send(data(1, 1, "x"), ack(2))
		}, "a", 2, "rule Gap: the buffer starts at message 3, but only 1 were received"},
		"gap in the buffer":   {func(_, b *stream) { b.send(migrate(2), data(3, 2, "x"), data(5, 2, "x")) }, "b", 2, "rule Gap"},
		"ack with no handoff": {func(a, _ *stream) { a.send(ack(1)) }, "a", 1, "rule Order: Ack of epoch 1.1 in state Running"},
		"ack via the target": {
			func(_, b *stream) { b.send(migrate(2), ack(2)) }, "b", 2,
			"rule Order: Ack came by a path that is not the previous one",
		},
		"ack of a future epoch": {func(a, b *stream) {
			b.send(migrate(2))
			settle()
			a.send(ack(3))
		}, "a", 3, "rule Order: Ack of epoch 1.3"},
		"migrate via its own path":  {func(a, _ *stream) { a.send(migrate(2)) }, "a", 2, "rule Order: Migrate came by the path"},
		"migrate in a handoff":      {func(_, b *stream) { b.send(migrate(2), migrate(3)) }, "b", 3, "rule Order: Migrate in state Paused"},
		"resume from the future":    {func(_, b *stream) { b.send(resume(2, 1)) }, "b", 2, "rule Rewind: a resume after message 1, but 0 were acknowledged and 0 sent"},
		"what app servers send":     {func(a, _ *stream) { a.send(migrateWithAck(1)) }, "a", 1, "rule Order: MigrateWithAck"},
		"receipt for what was not":  {func(a, _ *stream) { a.send(receipt(1, 1)) }, "a", 1, "rule Receipt: receipt through 1, but only 0 were sent"},
		"message after half-close":  {func(a, _ *stream) { a.send(halfClose(1, 1), data(2, 1, "x")) }, "a", 1, "rule AfterClose"},
		"message after close":       {func(a, _ *stream) { a.send(gone(1, 1), data(2, 1, "x")) }, "a", 1, "rule AfterClose"},
		"more than the window":      {func(a, _ *stream) { a.send(data(1, 1, quarter), data(2, 1, quarter), data(3, 1, "")) }, "a", 1, "rule Window"},
		"more than it in a handoff": {func(_, b *stream) { b.send(migrate(2), data(1, 2, quarter), data(2, 2, quarter), data(3, 2, "")) }, "b", 2, "rule Window"},
	} {
		t.Run(name, func(t *testing.T) {
			connected(t, narrow, func(t *testing.T, w *world, a, b *stream, x *session) {
				onA, onB := w.open(a, 2), w.open(b, 3)
				c.frames(a, b)
				settle()
				breach(t, w.stream(c.path, 1), c.move, c.detail)
				<-x.left
				isClosed(t, context.Cause(x.ctx), holdfastv1.CloseReason_CLOSE_REASON_PROTOCOL_ERROR)
				w.alive(a, onA, 2, 1)
				w.alive(b, onB, 3, 1)
				a.send(data(9, 1, "forgotten"))
				w.expect("a>close0@1(UNKNOWN_CONNECTION)")
			})
		})
	}
}

// breach checks that the last frame on the stream closes connection 1 for a broken rule.
func breach(t *testing.T, s *stream, move uint32, detail string) {
	t.Helper()
	last := s.last()
	if got, want := describe(last), fmt.Sprintf("close0@%d(PROTOCOL_ERROR)", move); got != want {
		t.Fatalf("the last frame on %s is %s, want %s", s.name, got, want)
	}
	if !strings.Contains(last.GetClose().GetDetail(), detail) {
		t.Errorf("detail %q, want %q", last.GetClose().GetDetail(), detail)
	}
}

// The handler learns of a broken rule by its context, Receive and Send.
func TestTheHandlerLearnsOfABrokenRule(t *testing.T) {
	connected(t, nil, func(t *testing.T, _ *world, a, _ *stream, x *session) {
		waiting := begin(x.receive)
		blocks(t, waiting)
		a.send(data(2, 1, "gap"))
		isClosed(t, done(t, waiting).err, holdfastv1.CloseReason_CLOSE_REASON_PROTOCOL_ERROR)
		x.lost(t, holdfastv1.CloseReason_CLOSE_REASON_PROTOCOL_ERROR)
	})
}

// Frames that are stale, doubled, or on a path that does not carry the connection are dropped, and each reason is told
// once. Connections go on.
func TestDroppedFrames(t *testing.T) {
	connected(t, nil, func(t *testing.T, w *world, a, b *stream, x *session) {
		a.send(data(1, 1, "one"))
		a.send(data(1, 1, "one again"), data(1, 1, "and again"))
		w.expect("a>reject@1(REJECT_REASON_DUPLICATE)")
		b.send(data(2, 1, "wrong path"), data(3, 1, "wrong path"))
		w.expect("b>reject@1(REJECT_REASON_WRONG_PATH)")
		a.send(data(2, 0, "stale"))
		w.expect("a>reject@0(REJECT_REASON_STALE_EPOCH)")
		b.send(migrate(1), ack(0), migrate(0), open(), resume(1, 0)) // moves that are over, or never were
		for range 1000 {
			b.send(migrate(1), resume(1, 0))
		}
		w.expect("")
		x.receives(t, "one")
		x.nothing(t)
		w.expect("a>receipt1@1")
		a.send(data(2, 1, "two"))
		x.receives(t, "two")
		x.sent(t, "due")
		w.expect("a>data1@1(due)+receipt2")
	})
}

// A frame that no state allows ends the server connection that it came by, with what is on it, and no other.
func TestMalformedFramesEndTheirServerConnection(t *testing.T) {
	unspecified := migrate(2)
	unspecified.GetMigrate().Mode = holdfastv1.MigrateMode_MIGRATE_MODE_UNSPECIFIED
	for name, c := range map[string]struct {
		message *holdfastv1.AttachResponse
		detail  string
	}{
		"no body":            {frames(frame(1)), "a frame of connection 0000000000000001 has no body"},
		"no connection":      {frames(on(0, data(1, 1, "x"))), "a frame without a connection_id"},
		"unknown migration":  {frames(unspecified), "migrate mode MIGRATE_MODE_UNSPECIFIED"},
		"a second handshake": {&holdfastv1.AttachResponse{Handshake: newRelay(t).welcome("a")}, "a second handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			connected(t, nil, func(t *testing.T, w *world, a, b *stream, x *session) {
				other := w.open(b, 2)
				a.sendMessage(c.message)
				settle()
				if !a.isOver() || b.isOver() {
					t.Errorf("server connection a is over: %v, b: %v", a.isOver(), b.isOver())
				}
				outlast()
				why := x.closed(t, holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST)
				if !strings.Contains(why.Detail, c.detail) {
					t.Errorf("detail %q, want %q", why.Detail, c.detail)
				}
				w.alive(b, other, 2, 1)
				again := w.stream("a", 2) // it is dialled again
				w.alive(again, w.open(again, 3), 3, 1)
			})
		})
	}
}

// What stands before a malformed frame in its batch has its effect.
func TestFramesBeforeAMalformedOne(t *testing.T) {
	connected(t, nil, func(t *testing.T, _ *world, a, _ *stream, x *session) {
		a.send(data(1, 1, "one"), frame(1), data(2, 1, "two"))
		x.receives(t, "one")
		outlast()
		x.closed(t, holdfastv1.CloseReason_CLOSE_REASON_SERVER_LOST)
	})
}

func frames(f ...*holdfastv1.Frame) *holdfastv1.AttachResponse {
	return &holdfastv1.AttachResponse{Frames: f}
}
