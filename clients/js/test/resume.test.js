import assert from "node:assert/strict";
import { test } from "node:test";

import { encode, ConnectResponse } from "../codec.js";
import { HoldfastError } from "../holdfast.js";
import { Bench, texts, turn } from "../testing/fakes.js";

const reason = (name) => (error) => error instanceof HoldfastError && error.reason === name;
const consumed = (requests) => requests.map((r) => r.consumedSeq);

test("a socket that breaks is resumed at another address, and both ends replay what the other has not got", async () => {
  const b = new Bench();
  const c = await b.connect();
  for (const x of ["one", "two", "three"]) await c.send(x);
  await b.last.say({ messages: texts("a", "b"), firstSeq: 1, consumedSeq: 1 });
  assert.equal(await c.receive(), "a");
  await b.last.end();
  assert.deepEqual([b.types, c.connected, b.sockets.length], [["reconnecting"], false, 1]);
  await c.send("four"); // accepted meanwhile
  await b.clock.advance(100);
  assert.equal(b.last.url, "wss://b.test");
  assert.deepEqual((await b.resume({ receivedSeq: 2, consumedSeq: 2 })).resume, { token: "token-1", receivedSeq: 2, consumedSeq: 1 });
  assert.deepEqual(b.types, ["reconnecting", "recovered"]);
  assert.equal(b.events[1].interrupted, 100);
  const [request, ...more] = b.last.take();
  assert.deepEqual([request.welcomed, request.consumedSeq, request.firstSeq], [true, 1, 3]);
  assert.deepEqual([request.messages.map((m) => m.text), more], [["three", "four"], []]);
  await b.last.say({ messages: texts("b", "c"), firstSeq: 2 });
  assert.deepEqual([await c.receive(), await c.receive()], ["b", "c"]);
});

test("a client that lost the welcome shows its old token again", async () => {
  const b = new Bench();
  const c = await b.connect();
  await c.send("one");
  await turn();
  await b.last.end();
  await b.clock.advance(100);
  await b.last.open();
  const [{ hello: first }] = b.last.take();
  await b.last.end(); // the welcome is lost with it
  await b.clock.advance(1000);
  const second = await b.resume({ receivedSeq: 1 });
  assert.deepEqual(second, first);
  await b.last.end();
  await b.clock.advance(1000);
  assert.equal((await b.resume({ receivedSeq: 1 })).resume.token, "token-2");
});

test("a newer token takes the place of the one before", async () => {
  const b = new Bench();
  await b.connect();
  await b.last.say({ resumeToken: "fresh" });
  await b.last.end();
  await b.clock.advance(100);
  assert.equal((await b.resume()).resume.token, "fresh");
});

test("asked to move, it goes on by the old stream until the new one's welcome, and acknowledges nothing in between", async () => {
  const b = new Bench();
  const c = await b.connect();
  const old = b.last;
  await old.say({ reconnect: { reason: 1, delay: { seconds: 2, nanos: 500_000_000 } } });
  await b.clock.advance(2499);
  assert.equal(b.sockets.length, 1);
  await b.clock.advance(1);
  assert.equal(b.last.url, "wss://b.test");
  await b.last.open();
  const [{ hello }] = b.last.take();
  assert.deepEqual(hello.resume, { token: "token-1", receivedSeq: 0, consumedSeq: 0 });
  await old.say({ messages: texts("a", "b"), firstSeq: 1 });
  assert.deepEqual([await c.receive(), await c.receive()], ["a", "b"]);
  await c.send("one");
  await b.clock.advance(1000);
  assert.deepEqual(old.take().map((r) => [r.messages.length, r.consumedSeq]), [[1, 0]]);
  assert.equal(old.closedWith, undefined);

  await b.welcome({ recovered: true, receivedSeq: 0 });
  assert.deepEqual(old.closedWith, { code: 1000, reason: "" });
  const [first] = b.last.take();
  // The new relay has not brought what was consumed, so that it is not told of it.
  assert.deepEqual([first.welcomed, first.consumedSeq, first.messages.map((m) => m.text)], [true, 0, ["one"]]);
  await b.last.say({ messages: texts("a", "b", "c"), firstSeq: 1 });
  assert.equal(await c.receive(), "c");
  await b.clock.advance(20);
  assert.deepEqual(consumed(b.last.take()), [3]);
  assert.deepEqual(b.events.map((e) => [e.type, e.broken, e.interrupted]), [["reconnecting", false, undefined], ["recovered", undefined, 0]]);
});

test("a move that fails is tried until it succeeds, as nothing is acknowledged before", async () => {
  const b = new Bench();
  const c = await b.connect();
  const old = b.last;
  await old.say({ reconnect: { reason: 1 } });
  await b.clock.advance(0);
  await b.last.open();
  await b.last.end();
  await old.say({ messages: texts("a"), firstSeq: 1 });
  assert.equal(await c.receive(), "a");
  await b.clock.advance(60);
  assert.deepEqual(old.take(), []);
  await b.clock.advance(100);
  assert.equal(b.sockets.length, 3);
  assert.deepEqual((await b.resume()).resume, { token: "token-1", receivedSeq: 1, consumedSeq: 1 });
  assert.deepEqual(consumed(b.last.take()), [1]);
  assert.notEqual(old.closedWith, undefined);
});

test("the old stream may break while the new one begins, or be ended by that", async () => {
  for (const [code, types] of [[1006, ["reconnecting", "reconnecting", "recovered"]], [4015, ["reconnecting", "recovered"]]]) {
    const b = new Bench();
    const c = await b.connect();
    const old = b.last;
    await old.say({ reconnect: { reason: 2 } });
    await b.clock.advance(0);
    await b.last.open();
    await old.end(code, "");
    assert.equal(c.connected, false);
    await b.welcome({ recovered: true });
    assert.deepEqual([c.connected, b.sockets.length, b.types], [true, 2, types]);
  }
});

test("a stream of no use is given up, and the next try is made", async () => {
  const b = new Bench();
  await b.connect();
  await b.last.end();
  await b.clock.advance(100);
  assert.equal(b.sockets.length, 2); // never opens
  await b.clock.advance(9_999);
  assert.equal(b.last.closedWith, undefined);
  await b.clock.advance(1);
  assert.equal(b.last.closedWith.code, 1000);
  await b.clock.advance(200);
  assert.equal(b.sockets.length, 3);
  await b.last.open("holdfast.plain");
  assert.match(b.events.at(-1).error.message, /does not speak holdfast.v1/);
});

test("waits between tries double up to a bound, and are drawn below it", async () => {
  const b = new Bench();
  b.random = 1 - 2 ** -53;
  await b.connect({ resumeTime: { seconds: 3600 } });
  const waits = [];
  for (let i = 0; i < 10; i++) {
    await b.last.end();
    waits.push(Math.round(b.events.at(-1).delay));
    await b.clock.advance(b.events.at(-1).delay);
  }
  assert.deepEqual(waits, [200, 400, 800, 1600, 3200, 6400, 10000, 10000, 10000, 10000]);
  b.random = 0;
  await b.last.end();
  assert.equal(b.events.at(-1).delay, 0);
});

test("a stream that is cut each time just after its welcome is not dialled without a wait that grows", async () => {
  const b = new Bench();
  await b.connect();
  const waits = [];
  for (let i = 0; i < 4; i++) {
    await b.last.end();
    waits.push(b.events.at(-1).delay);
    await b.clock.advance(b.events.at(-1).delay);
    await b.resume();
  }
  await b.clock.advance(5000); // this one was well
  await b.last.end();
  waits.push(b.events.at(-1).delay);
  assert.deepEqual(waits, [100, 200, 400, 800, 100]);
});

test("with no relay for the resume time and 30 s the connection is lost, with a last try at its end", async () => {
  const b = new Bench();
  const c = await b.connect({ resumeTime: { seconds: 10 } });
  const waiting = assert.rejects(c.receive(), reason("GAVE_UP"));
  let passed = 0;
  await b.last.end();
  while (b.types.at(-1) !== "lost" && passed < 60_000) {
    const { delay } = b.events.at(-1);
    await b.clock.advance(delay);
    passed += delay;
    await b.last.end();
  }
  assert.equal(passed, 40_000);
  await waiting;
  await assert.rejects(c.send("x"), reason("GAVE_UP"));
  assert.deepEqual(b.clock.pending, []);
});

test("addresses are tried in turn from a random one on, and a move goes to another than the one that is left", async () => {
  const b = new Bench({ addresses: ["wss://a.test", "wss://b.test", "wss://c.test"] });
  b.first = 0.99;
  await b.connect();
  for (let i = 0; i < 2; i++) {
    await b.last.end();
    await b.clock.advance(1000);
  }
  await b.resume();
  b.connection.check();
  await b.clock.advance(0);
  for (let i = 0; i < 3; i++) {
    await b.last.end();
    await b.clock.advance(2000);
  }
  assert.equal(b.sockets.map((s) => s.url.charAt(6)).join(""), "cab" + "caca"); // b carries it
});

test("connecting is tried at each address, and given up after its time with the error of the last try", async () => {
  const b = new Bench({ connectTime: 1000 });
  await b.begin();
  await b.last.end(4110, "NO_APP_SERVER: no app server of echo");
  await b.clock.advance(100);
  await b.last.end(4123, "");
  await b.clock.advance(900);
  await b.last.end(4123, "");
  await assert.rejects(b.opening, reason("OVERLOADED"));
  assert.deepEqual(b.sockets.map((s) => s.url), ["wss://a.test", "wss://b.test", "wss://a.test"]);
  assert.deepEqual([b.events, b.clock.pending], [[], []]);
});

const final = [
  [4125, "RESUME_TOKEN_INVALID"], [4126, "RESUME_TOKEN_EXPIRED"], [4127, "RESUME_TOKEN_REPLAYED"], [4128, "RESUME_TOKEN_FOREIGN"],
  [4004, "SERVER_LOST"], [4008, "UNKNOWN_CONNECTION"], [4116, "UNKNOWN_CONNECTION"], [4010, "SLOW_CONSUMER"], [4011, "OPERATOR"],
  [4013, "MESSAGE_RATE"], [4014, "IDLE"], [4007, "PROTOCOL_ERROR"], [4003, "APPLICATION_ERROR"], [4120, "PERMISSION_DENIED"],
  [4106, "UNKNOWN_APPLICATION"], [4012, "TOKEN_EXPIRED"], [4119, "UNAUTHENTICATED"],
];
for (const [code, name] of final) {
  test(`${code} ${name} loses the connection`, async () => {
    for (const text of [`${name}: the detail`, ""]) {
      const b = new Bench();
      const c = await b.connect();
      await b.last.say({ messages: texts("before"), firstSeq: 1 });
      await b.last.end(code, text);
      assert.equal(await c.receive(), "before");
      await assert.rejects(c.receive(), (e) => reason(name)(e) && e.code === code && e.detail === (text && "the detail"));
      assert.deepEqual([b.types, b.sockets.length, b.clock.pending], [["lost"], 1, []]);
    }
  });
}

test("1001 says by its text whether the relay or the app server shuts down", async () => {
  for (const [text, types] of [["RELAY_SHUTDOWN: bye", "reconnecting"], ["SERVER_SHUTDOWN: bye", "lost"], ["", "reconnecting"]]) {
    const b = new Bench();
    await b.connect();
    await b.last.end(1001, text);
    assert.deepEqual(b.types, [types]);
  }
});

for (const [code, name] of [
  [1006, ""], [1000, ""], [1011, "internal"], [4006, "RELAY_SHUTDOWN"], [4110, "NO_APP_SERVER"], [4123, "OVERLOADED"],
  [4121, "TOO_MANY_CONNECTIONS"], [4122, "CONNECTION_RATE"], [4124, "HANDSHAKE_TIMEOUT"], [4015, "RESUMED_ELSEWHERE"],
]) {
  test(`${code} ${name} is tried again, any number of times`, async () => {
    const b = new Bench();
    await b.connect();
    for (let i = 0; i < 5; i++) {
      await b.last.end(code, name);
      await b.clock.advance(10_000);
      assert.equal(b.sockets.length, i + 2);
    }
    await b.resume();
    assert.equal(b.types.at(-1), "recovered");
  });
}

test("with a way to get a new token, an expired one is tried again once", async () => {
  for (const code of [4012, 4119]) {
    let jwts = 0;
    const b = new Bench({ token: () => `jwt-${++jwts}` });
    await b.connect();
    await b.clock.advance(6000);
    await b.last.end(code, "");
    await b.clock.advance(100);
    assert.deepEqual(b.last.protocols, ["holdfast.v1", "bearer.jwt-2"]);
    await b.last.open();
    await b.last.end(code, "");
    assert.equal(b.types.at(-1), "lost");
  }
});

test("a token that cannot be had is tried again", async () => {
  let fails = false;
  const b = new Bench({ token: async () => {
    if (fails) throw new Error("the issuer is away");
    return "jwt";
  } });
  await b.connect();
  fails = true;
  await b.last.end();
  await b.clock.advance(100);
  assert.match(b.events.at(-1).error.message, /the issuer is away/);
  fails = false;
  await b.clock.advance(1000);
  await b.resume();
  assert.equal(b.types.at(-1), "recovered");
});

test("IMPOSSIBLE_NUMBER is tried again once", async () => {
  const b = new Bench();
  await b.connect();
  await b.last.end(4129, "");
  await b.clock.advance(100);
  await b.resume();
  await b.last.end(4129, "");
  assert.equal(b.events.at(-1).error.reason, "IMPOSSIBLE_NUMBER");
  assert.equal(b.types.at(-1), "lost");
});

const breaches = {
  "a gap": encode(ConnectResponse, { messages: texts("x"), firstSeq: 3 }),
  "a receipt for what was never sent": encode(ConnectResponse, { consumedSeq: 9 }),
  "messages with no number": encode(ConnectResponse, { messages: texts("x") }),
  "a second welcome": encode(ConnectResponse, { welcome: { resumeToken: "x" } }),
  "a message with no content": encode(ConnectResponse, { messages: [{}], firstSeq: 1 }),
  "no protobuf": new Uint8Array([0xff]),
};
for (const [name, bytes] of Object.entries(breaches)) {
  test(`${name} is a breach: resumed once, and lost when it repeats`, async () => {
    const b = new Bench();
    await b.connect();
    await b.last.raw(bytes.slice().buffer);
    assert.equal(b.last.closedWith.code, 4007);
    await b.clock.advance(100);
    await b.resume();
    assert.deepEqual(b.types, ["reconnecting", "recovered"]);
    await b.last.raw(bytes.slice().buffer);
    assert.deepEqual([b.types.at(-1), b.events.at(-1).error.reason], ["lost", "PROTOCOL_ERROR"]);
  });
}

test("a text frame is a breach", async () => {
  const b = new Bench();
  await b.connect();
  await b.last.raw("hello");
  assert.match(b.events[0].error.message, /all frames are binary/);
});

test("a resume that is answered as a new connection is never taken for a recovery", async () => {
  const b = new Bench();
  await b.connect();
  for (let i = 0; i < 2; i++) {
    await b.last.end();
    await b.clock.advance(1000);
    await b.last.open();
    await b.welcome({ recovered: false });
  }
  assert.deepEqual([b.types.includes("recovered"), b.events.at(-1).error.reason], [false, "PROTOCOL_ERROR"]);
});

test("a close whose receipt is lost is done when the connection is not known any more", async () => {
  const b = new Bench();
  const c = await b.connect();
  const closed = c.close();
  await turn();
  assert.equal(b.last.take().length, 1);
  await b.last.end();
  await b.clock.advance(100);
  await b.last.open();
  await b.last.end(4008, "UNKNOWN_CONNECTION: over");
  assert.deepEqual([await closed, b.types], [{ reason: "CLIENT_GONE", detail: "", error: undefined }, ["reconnecting"]]);
});

test("the application's close that could not be acknowledged is asked for again, and acknowledged at the next relay", async () => {
  const b = new Bench();
  const c = await b.connect();
  const old = b.last;
  await old.say({ reconnect: { reason: 1 } });
  await b.clock.advance(0);
  await b.last.open();
  await old.say({ messages: [{ text: "a" }, { close: { reason: 2 } }], firstSeq: 1 });
  assert.deepEqual([await c.receive(), await c.receive()], ["a", undefined]);
  assert.equal((await c.closed).reason, "APPLICATION_CLOSED");
  await old.end();
  await b.last.end();
  await b.clock.advance(1000);
  assert.deepEqual((await b.resume()).resume, { token: "token-1", receivedSeq: 1, consumedSeq: 1 });
  assert.deepEqual(consumed(b.last.take()), [1]);
  await b.last.say({ messages: [{ close: { reason: 2 } }], firstSeq: 2 });
  assert.deepEqual([consumed(b.last.take()), b.last.closedWith.code, b.clock.pending], [[2], 1000, []]);
});

test("the network's return, a sleep and an answer that does not come have the stream tried anew", async () => {
  const b = new Bench();
  const c = await b.connect();
  b.network.dispatchEvent(new Event("online"));
  await b.clock.advance(0);
  assert.equal(b.sockets.length, 2);
  await b.resume();

  b.clock.sleep(60_000);
  await b.clock.advance(0);
  assert.equal(b.sockets.length, 3);
  await b.resume();

  await b.clock.advance(300_000); // nothing is waited for
  assert.equal(b.sockets.length, 3);
  await c.send("x");
  const at = [];
  for (let i = 0; i < 40; i++) {
    const before = b.sockets.length;
    await b.clock.advance(15_000);
    if (b.sockets.length > before) {
      at.push(i);
      await b.resume({ receivedSeq: 1 });
    }
  }
  // After 30 s, and then after twice the time each time.
  assert.deepEqual(at.slice(1).map((x, i) => x - at[i]), [4, 8, 16]);
  assert.ok(at[0] <= 3, `${at[0]}`);
  await b.last.say({ consumedSeq: 1 });
  const before = b.sockets.length;
  await b.clock.advance(600_000);
  assert.deepEqual([b.sockets.length, b.types.includes("lost"), b.events.every((e) => e.broken !== true)], [before, false, true]);
});

test("the network's return ends the wait for the next try", async () => {
  const b = new Bench();
  b.random = 1;
  await b.connect();
  for (let i = 0; i < 4; i++) {
    await b.last.end();
    await b.clock.advance(b.events.at(-1).delay);
  }
  await b.last.end();
  const before = b.sockets.length;
  b.network.dispatchEvent(new Event("online"));
  await b.clock.advance(0);
  assert.equal(b.sockets.length, before + 1);
});

test("an error of the application's own functions is reported and changes nothing", async () => {
  const thrown = [];
  globalThis.reportError = (error) => thrown.push(error.message);
  const b = new Bench({
    onEvent: () => { throw new Error("event"); },
    onMessage: () => { throw new Error("message"); },
  });
  await b.connect();
  await b.last.say({ messages: texts("a", "b"), firstSeq: 1 });
  await b.last.end();
  await b.clock.advance(100);
  await b.resume();
  delete globalThis.reportError;
  assert.deepEqual(thrown, ["message", "message", "event", "event"]);
  assert.deepEqual(consumed(b.last.take()), [2]);
});
