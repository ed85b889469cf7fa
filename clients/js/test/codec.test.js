import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { ConnectRequest, ConnectResponse, MalformedMessage, decode, encode } from "../codec.js";
import { closeReasonName, errorOf } from "../reasons.js";

const lines = (file) => readFileSync(new URL(`../testdata/${file}`, import.meta.url), "utf8").trim().split("\n").map((l) => l.split(" "));
const bytesOf = (hex) => Uint8Array.from(Buffer.from(hex ?? "", "hex"));
const hexOf = (bytes) => Buffer.from(bytes).toString("hex");
const largest = Number.MAX_SAFE_INTEGER;

const welcome = {
  connectionId: "00000000000000a1", application: "chat", maxMessageBytes: 1048576, ingress: "a", resumeToken: "token",
  receivedSeq: 300, consumedSeq: 299, recovered: true, windowBytes: 4294967295, resumeTime: { seconds: 60, nanos: 500000000 },
  relayId: "relay-1",
};

// What the frames of testdata/frames.txt are, by their names. The Go test has the same.
const frames = {
  "request-hello": { hello: { application: "chat", resumable: true } },
  "request-batches": { hello: { batches: true } },
  "request-resume": { hello: { resumable: true, resume: { token: "tok.en", receivedSeq: 128, consumedSeq: 127 } } },
  "request-empty": {},
  "request-empty-hello": { hello: {} },
  "request-text": { text: "grüße 👋\ufeff" },
  "request-empty-text": { text: "" },
  "request-binary": { binary: new Uint8Array([0, 255, 128]) },
  "request-empty-binary": { binary: new Uint8Array() },
  "request-messages": {
    messages: [{ text: "a" }, { binary: new Uint8Array([1]) }, { text: "" }, { halfClose: true }, { close: { reason: 1, detail: "bye" } }],
    firstSeq: largest, consumedSeq: 1, welcomed: true,
  },
  "request-empty-message": { messages: [{}], firstSeq: 1 },
  "response-welcome": { welcome },
  "response-long": { messages: [{ text: "x".repeat(300) }], firstSeq: 4294967296 },
  "response-receipt": { consumedSeq: 4294967295 },
  "response-token": { resumeToken: "fresh" },
  "response-reconnect": { reconnect: { reason: 1, delay: { seconds: 1, nanos: 1 } } },
  "response-negative": { reconnect: { reason: -2, delay: { seconds: -5, nanos: -999999999 } } },
};

const typeOf = (name) => (name.startsWith("request") ? ConnectRequest : ConnectResponse);

test("frames are to the byte what Go makes of them", () => {
  const golden = lines("frames.txt");
  assert.deepEqual(golden.map(([name]) => name).sort(), Object.keys(frames).sort());
  for (const [name, hex] of golden) assert.equal(hexOf(encode(typeOf(name), frames[name])), hex ?? "", name);
});

test("frames of Go are read as they were written", () => {
  for (const [name, hex] of lines("frames.txt")) {
    const got = decode(typeOf(name), bytesOf(hex));
    subset(got, frames[name], name);
    assert.equal(hexOf(encode(typeOf(name), got)), hex ?? "", name);
  }
});

// subset checks that the values are there, and all others zero.
function subset(got, want, where) {
  for (const [key, value] of Object.entries(got)) {
    const expected = want[key];
    if (expected === undefined) {
      assert.ok(value === undefined || value === 0 || value === "" || value === false || value.length === 0, `${where}: ${key} is ${value}`);
    } else if (typeof value === "object" && !(value instanceof Uint8Array)) subset(value, expected, `${where}.${key}`);
    else assert.deepEqual(value, expected, `${where}.${key}`);
  }
}

test("odd encodings are read as Go reads them", () => {
  const odd = lines("odd.txt");
  assert.ok(odd.length >= 10);
  for (const [name, hex, plain] of odd) {
    assert.equal(hexOf(encode(ConnectResponse, decode(ConnectResponse, bytesOf(hex)))), plain ?? "", name);
  }
});

test("what Go refuses is refused", () => {
  const malformed = lines("malformed.txt");
  assert.ok(malformed.length >= 15);
  for (const [name, hex] of malformed) assert.throws(() => decode(ConnectResponse, bytesOf(hex)), MalformedMessage, name);
});

test("a frame that is cut anywhere, or changed, throws nothing but MalformedMessage", () => {
  let refused = 0;
  const attempt = (type, bytes) => {
    try {
      decode(type, bytes);
    } catch (error) {
      assert.ok(error instanceof MalformedMessage, error.stack);
      refused++;
    }
  };
  let seed = 1;
  const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
  for (const [name, hex] of lines("frames.txt")) {
    const bytes = bytesOf(hex);
    for (let n = 0; n < bytes.length; n++) {
      attempt(typeOf(name), bytes.slice(0, n));
      for (let i = 0; i < 20; i++) attempt(typeOf(name), bytes.map((b, at) => (at === n ? random(256) : b)));
    }
  }
  assert.ok(refused > 500, `${refused} were refused`);
});

test("numbers beyond 2^53-1 are refused both ways", () => {
  assert.throws(() => encode(ConnectRequest, { firstSeq: largest + 1 }), RangeError);
  assert.throws(() => encode(ConnectRequest, { firstSeq: -1 }), RangeError);
  assert.throws(() => encode(ConnectRequest, { firstSeq: 1.5 }), RangeError);
  // 2^53 as a varint.
  assert.throws(() => decode(ConnectResponse, bytesOf("2880808080808080" + "10")), /beyond 2\^53-1/);
  assert.equal(decode(ConnectResponse, bytesOf("28ffffffffffffff0f")).firstSeq, largest);
});

test("bytes that were read are a copy", () => {
  const frame = encode(ConnectResponse, { binary: new Uint8Array([1, 2]) });
  const { binary } = decode(ConnectResponse, frame);
  frame.fill(0);
  assert.deepEqual([...binary], [1, 2]);
});

test("every reason has its name, by its code and by its text", () => {
  const reasons = lines("reasons.txt");
  assert.ok(reasons.length > 40);
  for (const [code, name] of reasons) {
    assert.equal(errorOf(Number(code), "").reason, name, code);
    assert.deepEqual([errorOf(1001, `${name}: why: x`).reason, errorOf(1001, `${name}: why: x`).detail], [name, "why: x"]);
    if (code < 4100) assert.equal(closeReasonName(Number(code) - 4000), name);
  }
  for (const [code, text] of [[4000, ""], [4099, ""], [4100, ""], [4999, ""], [1006, ""], [1011, "NO_SUCH_REASON: x"]]) {
    assert.equal(errorOf(code, text).reason, "TRANSPORT", code);
  }
  assert.equal(closeReasonName(99), "CLOSE_REASON_99");
});
