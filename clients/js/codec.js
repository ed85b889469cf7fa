// The messages of holdfast.v1.ClientConnectionService, as proto/holdfast/v1/client_connection.proto has them: from objects to
// bytes and back. Fields that are not known are skipped, those that are not there have their zero value, and those of a oneof, and
// messages, are undefined then.
import { BYTES, MalformedMessage, Reader, VARINT, Writer, utf8 } from "./varint.js";

export { MalformedMessage } from "./varint.js";

// Kinds of fields: how they are written and read, and what they are when they are not there.
const text = { wire: BYTES, zero: "", write: (w, v) => w.bytes(utf8(v)), read: (r) => r.text() };
const bytes = { wire: BYTES, zero: undefined, write: (w, v) => w.bytes(v), read: (r) => r.bytes().slice() };
const bool = { wire: VARINT, zero: false, write: (w, v) => w.varint(v ? 1 : 0), read: (r) => readBool(r.varint()) };
const uint32 = { wire: VARINT, zero: 0, write: (w, v) => w.varint(v), read: (r) => r.varint().low };
const int32 = { wire: VARINT, zero: 0, write: (w, v) => w.varint(v), read: (r) => r.varint().low | 0 };
const uint64 = { wire: VARINT, zero: 0, write: (w, v) => w.varint(checked(v)), read: (r) => readUint64(r.varint()) };
const int64 = { wire: VARINT, zero: 0, write: (w, v) => w.varint(v), read: (r) => readInt64(r.varint()) };

const readBool = ({ low, high }) => low !== 0 || high !== 0;
const readUint64 = ({ low, high }) => safe(high * 2 ** 32 + low);
const readInt64 = ({ low, high }) => safe((high | 0) * 2 ** 32 + low);

// safe throws for a number that the language cannot have exactly.
function safe(value) {
  if (!Number.isSafeInteger(value)) throw new MalformedMessage(`number ${value} is beyond 2^53-1`);
  return value;
}

function checked(value) {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is not allowed; 0 to 2^53-1 is`);
  return value;
}

// one is a field of a oneof: it is written even when it is zero, and takes the place of the others.
const one = (kind) => ({ ...kind, zero: undefined, oneof: true });
const message = (type) => ({
  wire: BYTES, zero: undefined, type,
  write: (w, v) => w.bytes(encode(type(), v)),
  // Of a message that comes twice the second goes into the first.
  read: (r, before) => read(type(), new Reader(r.bytes()), before ?? empty(type())),
});
const many = (kind) => ({ ...kind, many: true });

// type takes fields: their name, number and kind.
function type(fields) {
  const list = Object.entries(fields).map(([name, [number, kind]]) => ({ name, number, kind }));
  return {
    list,
    byNumber: new Map(list.map((f) => [f.number, f])),
    oneof: list.filter((f) => f.kind.oneof).map((f) => f.name),
  };
}

const Duration = type({ seconds: [1, int64], nanos: [2, int32] });
const ResumeRequest = type({ token: [1, text], receivedSeq: [2, uint64], consumedSeq: [3, uint64] });
const Hello = type({ application: [1, text], batches: [2, bool], resumable: [3, bool], resume: [4, message(() => ResumeRequest)] });
const ClientClose = type({ reason: [1, int32], detail: [2, text] });
const ClientMessage = type({
  text: [1, one(text)], binary: [2, one(bytes)], halfClose: [3, one(bool)], close: [4, one(message(() => ClientClose))],
});
const Reconnect = type({ reason: [1, int32], delay: [2, message(() => Duration)] });
const Welcome = type({
  connectionId: [1, text], application: [2, text], maxMessageBytes: [3, uint32], ingress: [4, text], resumeToken: [5, text],
  receivedSeq: [6, uint64], consumedSeq: [7, uint64], recovered: [8, bool], windowBytes: [9, uint32],
  resumeTime: [10, message(() => Duration)], relayId: [11, text],
});
const content = { text: [2, one(text)], binary: [3, one(bytes)], messages: [4, many(message(() => ClientMessage))] };

export const ConnectRequest = type({
  hello: [1, message(() => Hello)], ...content, firstSeq: [5, uint64], consumedSeq: [6, uint64], welcomed: [7, bool],
});
export const ConnectResponse = type({
  welcome: [1, message(() => Welcome)], ...content, firstSeq: [5, uint64], consumedSeq: [6, uint64], resumeToken: [7, text],
  reconnect: [8, message(() => Reconnect)],
});

// encode returns the bytes of a message. Fields that are missing have their zero value.
export function encode(type, value) {
  const w = new Writer();
  for (const { name, number, kind } of type.list) {
    const v = value[name];
    if (v === undefined || v === kind.zero) continue;
    for (const item of kind.many ? v : [v]) {
      w.tag(number, kind.wire);
      kind.write(w, item);
    }
  }
  return w.finish();
}

// decode returns the message, and throws MalformedMessage when the bytes are none.
export function decode(type, bytes) {
  return read(type, new Reader(bytes), empty(type));
}

function empty(type) {
  const value = {};
  for (const { name, kind } of type.list) value[name] = kind.many ? [] : kind.zero;
  return value;
}

function read(type, r, into) {
  while (!r.done) {
    const { field, type: wire } = r.tag();
    const known = type.byNumber.get(field);
    if (known === undefined || known.kind.wire !== wire) r.skip(field, wire);
    else set(type, into, known, r);
  }
  return into;
}

function set(type, into, { name, kind }, r) {
  if (kind.many) {
    into[name].push(kind.read(r));
    return;
  }
  const value = kind.read(r, into[name]);
  if (kind.oneof) for (const other of type.oneof) into[other] = undefined;
  into[name] = value;
}
