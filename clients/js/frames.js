// Between the frames of the ordering rules and the requests and responses on the wire.
import { ProtocolError } from "./ordering.js";
import { CLIENT_GONE, closeReasonName } from "./reasons.js";
import { utf8 } from "./varint.js";

// A request has at most so many messages, and so many bytes of them, but for one that is larger alone.
export const maxBatchBytes = 24 * 1024;
export const maxBatchMessages = 128;
// A message in a batch has this beside its data, at most.
const itemOverhead = 12;

const loneSurrogate = /\p{Surrogate}/u;

// messageOf returns the message for what the application sends. Bytes are copied: the application may write to its own.
export function messageOf(data) {
  if (typeof data === "string") {
    if (loneSurrogate.test(data)) throw new TypeError("the text has half a surrogate pair, which UTF-8 does not know; send bytes");
    return { kind: "text", data, size: utf8(data).length };
  }
  if (data instanceof Uint8Array) return { kind: "binary", data: data.slice(), size: data.length };
  throw new TypeError(`a ${typeof data} cannot be sent; a string or a Uint8Array can`);
}

// requestOf returns the next request to send by the link: as many messages as wait and fit, with the receipt that rides along. There
// must be something to send.
export function requestOf(client, link) {
  const request = { messages: [], firstSeq: 0, consumedSeq: 0 };
  let bytes = 0;
  do {
    const f = client.next(link);
    if (f.kind === "hello") throw new Error("a Hello goes alone");
    request.consumedSeq = Math.max(request.consumedSeq, f.consumed);
    if (f.welcomed) request.welcomed = true;
    if (f.kind !== "data") continue;
    if (request.firstSeq === 0) request.firstSeq = f.seq;
    request.messages.push(itemOf(f.message));
    bytes += f.message.size + itemOverhead;
  } while (client.ready(link) && fits(client.outbox.peek(), bytes, request.messages.length));
  return request;
}

function fits(next, bytes, messages) {
  return messages === 0 || (messages < maxBatchMessages && bytes + next.size + itemOverhead <= maxBatchBytes);
}

function itemOf(m) {
  switch (m.kind) {
    case "text":
      return { text: m.data };
    case "binary":
      return { binary: m.data };
    case "halfClose":
      return { halfClose: true };
    default:
      return { close: { reason: CLIENT_GONE, detail: m.detail } };
  }
}

// framesOf returns the frames of a response that is no Welcome.
export function framesOf(response) {
  const single = response.text !== undefined || response.binary !== undefined;
  if (single && response.messages.length > 0) throw new ProtocolError("Order", "text or binary beside messages");
  const items = single ? [response] : response.messages;
  if (items.length === 0) return [{ kind: "receipt", consumed: response.consumedSeq }];
  if (response.firstSeq === 0) throw new ProtocolError("Order", "messages with no number");
  return items.map((item, i) => ({
    kind: "data", seq: response.firstSeq + i, message: receivedOf(item), consumed: response.consumedSeq,
  }));
}

function receivedOf(item) {
  if (item.text !== undefined) return { kind: "text", data: item.text, size: utf8(item.text).length };
  if (item.binary !== undefined) return { kind: "binary", data: item.binary, size: item.binary.length };
  if (item.halfClose !== undefined) return { kind: "halfClose", data: "", size: 0 };
  if (item.close !== undefined) {
    return { kind: "close", data: "", size: 0, reason: closeReasonName(item.close.reason), detail: item.close.detail };
  }
  throw new ProtocolError("Order", "a message with no content");
}

// milliseconds returns a duration of the wire, from 0 to most.
export function milliseconds(duration, most) {
  if (duration === undefined) return 0;
  return Math.min(Math.max(duration.seconds * 1000 + duration.nanos / 1e6, 0), most);
}
