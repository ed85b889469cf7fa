// The cases of pkg/ordering that a client's end has.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Client, DUPLICATE, Inbox, Outbox, ProtocolError, TAKEN, WRONG_LINK } from "../ordering.js";

const text = (data) => ({ kind: "text", data, size: data.length });
const close = { kind: "close", data: "", size: 0 };
const halfClose = { kind: "halfClose", data: "", size: 0 };
const breach = (rule) => (error) => error instanceof ProtocolError && error.rule === rule;
const state = (x) => JSON.stringify(x);

// filled returns an outbox with so many messages of which so many were sent.
function filled(window, pushed, sent) {
  const o = new Outbox(window);
  for (let i = 1; i <= pushed; i++) assert.equal(o.push(text(`${i}`)), i);
  for (let i = 1; i <= sent; i++) assert.equal(o.next().seq, i);
  return o;
}

test("an outbox numbers from 1 and gives each out once", () => {
  const o = filled(1000, 3, 3);
  assert.deepEqual([o.next(), o.peek(), o.ready, o.pushed, o.bytes], [undefined, undefined, false, 3, 3 * 65]);
});

test("an outbox is bounded by its window, but for a lone message", () => {
  const o = new Outbox(130);
  assert.deepEqual([o.push(text("x".repeat(1000))), o.push(text(""))], [1, 0]);
  o.next();
  o.acknowledge(1);
  assert.deepEqual([o.push(text("a")), o.push(text("b")), o.push(text("c")), o.bytes], [2, 3, 0, 130]);
  assert.deepEqual([o.push(halfClose), o.push(close), o.bytes], [4, 5, 130]);
});

test("a direction that ended takes nothing but the close after a half-close", () => {
  const o = new Outbox(1000);
  o.push(halfClose);
  assert.throws(() => o.push(text("x")));
  assert.throws(() => o.push(halfClose));
  assert.equal(o.push(close), 2);
  assert.throws(() => o.push(close));
  assert.equal(o.closed, true);
});

test("a receipt frees and never moves the point from which is sent", () => {
  const o = filled(1000, 3, 2);
  assert.throws(() => o.acknowledge(3), breach("Receipt"));
  o.acknowledge(1);
  o.acknowledge(0);
  assert.deepEqual([o.acked, o.sent, o.bytes, o.next().message.data], [1, 2, 130, "3"]);
  o.rewind(1);
  assert.throws(() => o.acknowledge(2), breach("Receipt"));
  assert.equal(o.next().seq, 2);
  o.acknowledge(2);
  assert.equal(o.next().seq, 3);
});

test("a rewind replays, and cannot go before what was acknowledged or after what was ever sent", () => {
  const o = filled(1000, 4, 3);
  o.acknowledge(1);
  assert.throws(() => o.rewind(0), breach("Rewind"));
  assert.throws(() => o.rewind(4), breach("Rewind"));
  o.rewind(1);
  assert.deepEqual([o.next(), o.next(), o.next(), o.next()].map((n) => n?.seq), [2, 3, 4, undefined]);
});

test("an inbox takes messages in order and each once", () => {
  const i = new Inbox(1000);
  assert.deepEqual([i.accept(1, text("a")), i.accept(1, text("a")), i.accept(2, text("b")), i.accept(1, text("a"))], [true, false, true, false]);
  const before = state(i);
  assert.throws(() => i.accept(4, text("d")), breach("Gap"));
  assert.equal(state(i), before);
  assert.deepEqual([i.take().data, i.take().data, i.take(), i.waiting], ["a", "b", undefined, 0]);
});

test("an inbox holds its sender to the window until a receipt", () => {
  const i = new Inbox(200);
  i.accept(1, text("x".repeat(500)));
  assert.throws(() => i.accept(2, text("")), breach("Window"));
  i.take();
  assert.equal(i.consume(), true);
  assert.throws(() => i.accept(2, text("")), breach("Window"));
  assert.equal(i.receipt(), 1);
  assert.equal(i.accept(2, text("x".repeat(136))), true);
  assert.throws(() => i.accept(3, text("")), breach("Window"));
  assert.equal(i.accept(3, close), true);
});

test("a receipt is due at half the window, and for the close", () => {
  const i = new Inbox(260);
  for (let n = 1; n <= 3; n++) i.accept(n, text("x"));
  i.accept(4, close);
  const due = [];
  while (i.take() !== undefined) due.push(i.consume());
  assert.deepEqual(due, [false, true, true, true]);
  i.receipt();
  assert.deepEqual([i.owes, i.outstanding], [false, 0]);
});

test("nothing follows what ended a direction", () => {
  const i = new Inbox(1000);
  i.accept(1, halfClose);
  assert.throws(() => i.accept(2, text("x")), breach("AfterClose"));
  i.accept(2, close);
  assert.throws(() => i.accept(3, close), breach("AfterClose"));
  assert.equal(i.accept(2, close), false);
});

// opened returns a client whose link 1 carries it, with its first receipt said.
function opened(window = 1000) {
  const c = new Client(1, window);
  assert.deepEqual(c.next(1), { kind: "receipt", consumed: 0, welcomed: true });
  return c;
}

const data = (seq, d = `${seq}`, consumed = 0) => ({ kind: "data", seq, message: text(d), consumed });
const welcome = (received, consumed = 0) => ({ kind: "welcome", received, consumed });

// consume takes and consumes all that waits.
function consume(c) {
  while (c.inbox.take() !== undefined) c.inbox.consume();
}

test("a client says first that the welcome came, then messages with the receipt that is owed", () => {
  const c = new Client(1, 1000);
  c.outbox.push(text("a"));
  assert.equal(c.ready(1), true);
  assert.equal(c.next(1).welcomed, true);
  assert.equal(c.receive(1, data(1)), TAKEN);
  consume(c);
  assert.deepEqual(c.next(1), { kind: "data", seq: 1, message: text("a"), consumed: 1 });
  assert.deepEqual([c.next(1), c.ready(1), c.owes], [undefined, false, false]);
  c.receive(1, data(2));
  consume(c);
  assert.deepEqual([c.ready(1), c.next(1)], [false, { kind: "receipt", consumed: 2 }]);
});

test("nothing is acknowledged from the hello to the welcome, though its answer never comes", () => {
  const c = opened();
  c.receive(1, data(1));
  consume(c);
  c.join(2);
  assert.deepEqual([c.ready(2), c.next(2)], [true, { kind: "hello", received: 1, consumed: 1 }]);
  c.leave(2);
  assert.deepEqual([c.owes, c.next(1)], [false, undefined]);
  c.outbox.push(text("a"));
  assert.equal(c.next(1).consumed, 0);
  c.join(3);
  c.next(3);
  assert.equal(c.receive(3, welcome(0)), TAKEN);
  assert.deepEqual(c.next(3), { kind: "receipt", consumed: 1, welcomed: true });
  assert.deepEqual(c.next(3), { kind: "data", seq: 1, message: text("a"), consumed: 0 });
});

test("until the welcome the old link carries the connection, and then the new one", () => {
  const c = opened();
  c.join(2);
  c.next(2);
  c.outbox.push(text("a"));
  assert.equal(c.next(2), undefined);
  assert.equal(c.next(1).seq, 1);
  assert.equal(c.receive(1, data(1)), TAKEN);
  assert.throws(() => c.receive(2, data(1)), breach("Order"));
  c.receive(2, welcome(0));
  assert.deepEqual([c.link, c.joining, c.next(1)], [2, 0, undefined]);
  assert.equal(c.receive(1, data(2)), WRONG_LINK);
  assert.equal(c.inbox.received, 1);
});

test("what came by the old link is acknowledged by the new one when that has brought it", () => {
  const c = opened();
  c.join(2);
  c.next(2);
  c.receive(1, data(1));
  consume(c);
  c.receive(2, welcome(0));
  assert.deepEqual(c.next(2), { kind: "receipt", consumed: 0, welcomed: true });
  assert.equal(c.owes, false);
  assert.equal(c.receive(2, data(1)), DUPLICATE);
  assert.deepEqual(c.next(2), { kind: "receipt", consumed: 1 });
  assert.throws(() => c.receive(2, data(3)), breach("Gap"));
});

test("a gap by the new link is one though the message came by the old one", () => {
  const c = opened();
  c.join(2);
  c.next(2);
  c.receive(1, data(1));
  c.receive(2, welcome(0));
  assert.throws(() => c.receive(2, data(2)), breach("Gap"));
});

test("the welcome has what the app server has not received replayed", () => {
  const c = opened();
  for (const x of ["a", "b", "c"]) c.outbox.push(text(x));
  while (c.next(1) !== undefined);
  c.leave(1);
  assert.deepEqual([c.link, c.next(1)], [0, undefined]);
  c.join(2);
  c.next(2);
  assert.throws(() => c.receive(2, welcome(4)), breach("Rewind"));
  assert.throws(() => c.receive(2, welcome(1, 2)), breach("Receipt"));
  c.receive(2, welcome(2, 1));
  assert.equal(c.outbox.acked, 1);
  assert.equal(c.next(2).welcomed, true);
  assert.equal(c.next(2).seq, 3);
});

test("a welcome is for the link that the client joins, after its hello", () => {
  const c = opened();
  assert.equal(c.receive(1, welcome(0)), WRONG_LINK);
  assert.equal(c.receive(0, welcome(0)), WRONG_LINK);
  c.join(2);
  assert.throws(() => c.receive(2, welcome(0)), breach("Order"));
  c.next(2);
  c.leave(2);
  assert.equal(c.receive(2, welcome(0)), WRONG_LINK);
});

test("a receipt is a fact by whatever link, and one for what was never sent is a breach", () => {
  const c = opened();
  c.outbox.push(text("a"));
  assert.throws(() => c.receive(1, { kind: "receipt", consumed: 1 }), breach("Receipt"));
  c.next(1);
  c.leave(1);
  assert.equal(c.receive(1, { kind: "receipt", consumed: 1 }), TAKEN);
  assert.equal(c.outbox.acked, 1);
  assert.throws(() => c.receive(1, { kind: "hello", consumed: 0 }), breach("Order"));
});

test("a receipt that was lost with its link is said again after the welcome", () => {
  const c = opened();
  c.receive(1, data(1));
  consume(c);
  assert.equal(c.next(1).consumed, 1);
  c.leave(1);
  c.join(2);
  assert.equal(c.next(2).consumed, 1);
  c.receive(2, welcome(0));
  assert.equal(c.next(2).consumed, 1);
});

test("a client is done when its close was consumed, or the other's was and that was said", () => {
  const c = opened();
  c.outbox.push(close);
  c.next(1);
  assert.equal(c.done, false);
  c.receive(1, { kind: "receipt", consumed: 1 });
  assert.equal(c.done, true);
  const d = opened();
  d.receive(1, { kind: "data", seq: 1, message: close, consumed: 0 });
  consume(d);
  assert.equal(d.done, false);
  d.next(1);
  assert.equal(d.done, true);
});

test("what the hello says was consumed is a receipt from the welcome on", () => {
  const c = opened(300);
  c.receive(1, data(1, "x".repeat(100)));
  consume(c);
  c.join(2);
  assert.equal(c.next(2).consumed, 1);
  c.receive(1, data(2, "x".repeat(50)));
  consume(c);
  assert.throws(() => c.receive(1, data(3, "x".repeat(40))), breach("Window")); // the old link's relay knows of no receipt
  c.receive(2, welcome(0));
  assert.equal(c.inbox.outstanding, 50 + 64);
  assert.deepEqual(c.next(2), { kind: "receipt", consumed: 1, welcomed: true });
  assert.equal(c.receive(2, data(2, "x".repeat(50))), DUPLICATE);
  assert.equal(c.receive(2, data(3, "x".repeat(40))), TAKEN);
});

test("a close is asked for again until it was said that it was consumed", () => {
  const c = opened();
  const end = { kind: "data", seq: 2, message: close, consumed: 0 };
  c.receive(1, data(1));
  c.receive(1, end);
  consume(c);
  c.leave(1);
  c.join(2);
  assert.deepEqual(c.next(2), { kind: "hello", received: 1, consumed: 1 });
  c.receive(2, welcome(0));
  assert.deepEqual(c.next(2), { kind: "receipt", consumed: 1, welcomed: true });
  assert.deepEqual([c.owes, c.done], [false, false]);
  assert.equal(c.receive(2, end), DUPLICATE);
  assert.deepEqual([c.next(2), c.done], [{ kind: "receipt", consumed: 2 }, true]);
});
