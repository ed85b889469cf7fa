import assert from "node:assert/strict";
import { test } from "node:test";

import { HoldfastError, connect } from "../holdfast.js";
import { Bench, texts, turn } from "../testing/fakes.js";

const reason = (name) => (error) => error instanceof HoldfastError && error.reason === name;

test("a connection opens with a hello, and its first request says that the welcome came", async () => {
  const b = new Bench({ token: async () => "jwt" });
  assert.deepEqual((await b.begin()).map((r) => r.hello), [{ application: "echo", batches: false, resumable: true, resume: undefined }]);
  assert.deepEqual(b.last.protocols, ["holdfast.v1", "bearer.jwt"]);
  assert.equal(b.last.url, "wss://a.test");
  await b.welcome();
  const c = await b.opening;
  assert.deepEqual([c.id, c.application, c.maxMessageBytes, c.connected, c.relay, c.ingress], [
    "00000000000000a1", "echo", 1 << 20, true, "relay-1", "a",
  ]);
  const [first] = b.last.take();
  assert.deepEqual([first.welcomed, first.consumedSeq, first.messages.length], [true, 0, 0]);
  assert.deepEqual(b.events, []);
});

test("messages that are sent together go together, numbered on", async () => {
  const b = new Bench();
  const c = await b.connect();
  const bytes = new Uint8Array([1, 2]);
  const all = Promise.all([c.send("one"), c.send(bytes), c.send("")]);
  bytes[0] = 9; // the application may write to its own
  await all;
  await c.send("four");
  await turn();
  const requests = b.last.take();
  assert.deepEqual(requests.map((r) => [r.firstSeq, r.messages.map((m) => m.text ?? [...m.binary])]), [
    [1, ["one", [1, 2], ""]], [4, ["four"]],
  ]);
});

test("a request has at most 24 KiB or 128 messages, and a larger message goes alone", async () => {
  const b = new Bench();
  const c = await b.connect();
  const sizes = async (...messages) => {
    for (const m of messages) c.send(m);
    await turn();
    return b.last.take().map((r) => r.messages.length);
  };
  assert.deepEqual(await sizes(...Array(300).fill("x")), [128, 128, 44]);
  assert.deepEqual(await sizes("x".repeat(10_000), "x".repeat(10_000), "x".repeat(10_000)), [2, 1]);
  assert.deepEqual(await sizes("x", "x".repeat(30_000), "x"), [1, 1, 1]);
});

test("received messages come in order and each once, to an iterator and to a handler", async () => {
  const got = [];
  for (const onMessage of [undefined, (data) => got.push(data)]) {
    got.length = 0;
    const b = new Bench({ onMessage });
    const c = await b.connect();
    if (onMessage === undefined) {
      (async () => {
        for await (const data of c) got.push(data);
      })();
    } else await assert.rejects(c.receive(), TypeError);
    await b.last.say({ messages: texts("a", "b"), firstSeq: 1 });
    await b.last.say({ messages: texts("a", "b", "c"), firstSeq: 1 });
    await b.last.say({ text: "d", firstSeq: 4 });
    await b.last.say({ messages: [{ binary: new Uint8Array([7]) }], firstSeq: 5 });
    assert.deepEqual(got, ["a", "b", "c", "d", new Uint8Array([7])]);
  }
});

test("a handler gets the next message when it is done with the one before, and that is acknowledged then", async () => {
  const got = [];
  let done;
  const b = new Bench({ onMessage: (data) => new Promise((resolve) => ((done = resolve), got.push(data))) });
  await b.connect();
  await b.last.say({ messages: texts("a", "b"), firstSeq: 1 });
  await b.clock.advance(100);
  assert.deepEqual([got, b.last.take()], [["a"], []]);
  done();
  await b.clock.advance(100);
  assert.deepEqual([got, b.last.take().map((r) => r.consumedSeq)], [["a", "b"], [1]]);
});

test("a receipt waits 20 ms for a message to ride on, and not at all at half a window", async () => {
  const b = new Bench();
  const c = await b.connect({ windowBytes: 1000 });
  await b.last.say({ messages: texts("a", "b"), firstSeq: 1 });
  assert.equal(await c.receive(), "a");
  await b.clock.advance(19);
  assert.deepEqual(b.last.take(), []);
  await b.clock.advance(1);
  assert.deepEqual(b.last.take().map((r) => [r.consumedSeq, r.messages.length]), [[1, 0]]);

  assert.equal(await c.receive(), "b");
  await c.send("rides");
  await turn();
  assert.deepEqual(b.last.take().map((r) => [r.consumedSeq, r.firstSeq]), [[2, 1]]);
  await b.clock.advance(100);
  assert.deepEqual(b.last.take(), []);

  await b.last.say({ messages: texts("x".repeat(500)), firstSeq: 3 });
  await c.receive();
  await turn();
  assert.deepEqual(b.last.take().map((r) => r.consumedSeq), [3]);
});

test("send waits while the window is full, counts 64 bytes a message, and goes on with a receipt", async () => {
  const b = new Bench();
  const c = await b.connect({ windowBytes: 300 });
  const accepted = [];
  const sending = ["a", "b", "c", "d", "e", "f"].map((x) => c.send(x.repeat(36)).then(() => accepted.push(x)));
  await turn();
  assert.deepEqual(accepted, ["a", "b", "c"]);
  await b.last.say({ consumedSeq: 2 });
  assert.deepEqual(accepted, ["a", "b", "c", "d", "e"]);
  await b.last.say({ consumedSeq: 3 });
  await Promise.all(sending);
  assert.deepEqual(b.last.take().map((r) => [r.firstSeq, r.messages.length]), [[1, 3], [4, 2], [6, 1]]);
});

test("what cannot be sent is refused at once, and changes nothing", async () => {
  const b = new Bench();
  const c = await b.connect({ maxMessageBytes: 10 });
  await assert.rejects(c.send("x".repeat(11)), reason("MESSAGE_TOO_LARGE"));
  await assert.rejects(c.send("ä".repeat(6)), reason("MESSAGE_TOO_LARGE"));
  await assert.rejects(c.send("\ud800"), TypeError);
  await assert.rejects(c.send(7), TypeError);
  await c.send("x".repeat(10));
  await turn();
  assert.deepEqual(b.last.take().map((r) => r.firstSeq), [1]);
});

test("the messages that wait for the window are bounded", async () => {
  const b = new Bench();
  const c = await b.connect({ windowBytes: 64 });
  await c.send("");
  for (let i = 0; i < 1024; i++) c.send("x").catch(() => {});
  await assert.rejects(c.send("one more"), reason("SENDING_TOO_MUCH"));
  c.abort();
});

test("after closeSend only messages come, and close is numbered after them", async () => {
  const b = new Bench();
  const c = await b.connect();
  await c.send("last");
  await c.closeSend();
  await assert.rejects(c.send("after"), reason("CLOSED"));
  await b.last.say({ messages: texts("still"), firstSeq: 1 });
  assert.equal(await c.receive(), "still");
  const closed = c.close();
  await turn();
  const sent = b.last.take().flatMap((r) => r.messages.map((m) => m.text ?? (m.halfClose ? "half-close" : m.close.reason)));
  assert.deepEqual(sent, ["last", "half-close", 1]);
  await b.last.say({ consumedSeq: 2 });
  assert.equal(b.last.closedWith, undefined);
  await b.last.say({ consumedSeq: 3 });
  assert.deepEqual(await closed, { reason: "CLIENT_GONE", detail: "", error: undefined });
  assert.deepEqual(b.last.closedWith, { code: 1000, reason: "" });
  assert.equal(await c.receive(), undefined);
  assert.deepEqual([b.types, b.clock.pending], [[], []]);
});

test("close comes after what waits for the window", async () => {
  const b = new Bench();
  const c = await b.connect({ windowBytes: 64 });
  const sent = [c.send(""), c.send("")];
  c.close();
  await b.last.say({ consumedSeq: 0 });
  assert.deepEqual(b.last.take().flatMap((r) => r.messages).length, 1);
  await b.last.say({ consumedSeq: 1 });
  await Promise.all(sent);
  assert.deepEqual(b.last.take().flatMap((r) => r.messages.map((m) => m.text ?? m.close.reason)), ["", 1]);
});

test("the application's close comes after its messages, is acknowledged, and ends the iteration", async () => {
  const b = new Bench();
  const c = await b.connect();
  await b.last.say({ messages: [{ text: "bye" }, { close: { reason: 2, detail: "done" } }], firstSeq: 1 });
  await turn();
  assert.deepEqual(b.last.take(), []); // what comes before it was not taken
  const got = [];
  for await (const data of c) got.push(data);
  assert.deepEqual(got, ["bye"]);
  await turn();
  assert.deepEqual(b.last.take().map((r) => r.consumedSeq), [2]);
  assert.deepEqual(await c.closed, { reason: "APPLICATION_CLOSED", detail: "done", error: undefined });
  await assert.rejects(c.send("x"), reason("CLOSED"));
  assert.deepEqual([b.types, b.last.closedWith.code, b.clock.pending], [[], 1000, []]);
});

test("an application's error loses the connection with its reason", async () => {
  const b = new Bench();
  const c = await b.connect();
  await b.last.say({ messages: [{ close: { reason: 3, detail: "disk full" } }], firstSeq: 1 });
  await assert.rejects(c.receive(), (e) => reason("APPLICATION_ERROR")(e) && e.detail === "disk full");
  assert.deepEqual(b.types, ["lost"]);
});

test("options that cannot be are refused", async () => {
  const WebSocket = class {};
  await assert.rejects(connect({ addresses: [], WebSocket }), /no addresses/);
  await assert.rejects(connect({ addresses: ["https://x.test"], WebSocket }), /ws:\/\/ and wss:\/\/ are/);
  await assert.rejects(connect({ addresses: ["nonsense"], WebSocket }), /no URL/);
  await assert.rejects(connect({ addresses: ["ws://x.test"], WebSocket, token: "jwt" }), /a function is wanted/);
  await assert.rejects(connect({ addresses: ["ws://x.test"], WebSocket, connectTime: NaN }), /connectTime NaN/);
  if (globalThis.WebSocket === undefined) await assert.rejects(connect({ addresses: ["ws://x.test"] }), /no WebSocket/);
});

test("an aborted connection lets go of everything", async () => {
  const abort = new AbortController();
  const b = new Bench({ signal: abort.signal });
  const c = await b.connect();
  const receiving = assert.rejects(c.receive(), reason("ABORTED"));
  abort.abort();
  await receiving;
  assert.deepEqual([(await c.closed).reason, b.last.closedWith.code, b.clock.pending], ["ABORTED", 1000, []]);

  const early = new Bench({ signal: AbortSignal.abort() });
  await assert.rejects(connect(early.options), reason("ABORTED"));
  assert.deepEqual([early.sockets.length, early.clock.pending], [0, []]);
});
