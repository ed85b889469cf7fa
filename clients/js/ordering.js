// The client's end of a logical connection: what it numbers, retains, acknowledges and drops. The rules are those of pkg/ordering,
// and so are the names. Nothing here knows of sockets or time.
//
// A message is {kind, data, size, reason, detail}: kind is "text", "binary", "halfClose" or "close", size the bytes of its data.

// A message counts its size and this against a window, in bytes.
export const messageOverhead = 64;

const ends = (m) => m.kind === "halfClose" || m.kind === "close";

// cost is what a message counts against a window. What ends a direction counts nothing.
export const cost = (m) => (ends(m) ? 0 : m.size + messageOverhead);

// ProtocolError says which rule the other end broke. Whoever threw it is unchanged.
export class ProtocolError extends Error {
  constructor(rule, message) {
    super(`protocol rule ${rule}: ${message}`);
    this.name = "ProtocolError";
    this.rule = rule;
  }
}

// Queue is a first-in first-out list whose front costs nothing to take.
class Queue {
  #items = [];
  #head = 0;

  get length() {
    return this.#items.length - this.#head;
  }

  at(i) {
    return this.#items[this.#head + i];
  }

  push(item) {
    this.#items.push(item);
  }

  shift() {
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    if (this.#head * 2 > this.#items.length) {
      this.#items.splice(0, this.#head);
      this.#head = 0;
    }
    return item;
  }
}

// Outbox numbers messages from 1 and keeps each until it is acknowledged.
export class Outbox {
  // acked is the last message that the other end consumed, sent the last that was given out since the last rewind, and pushed the
  // last that was accepted; acked <= sent <= pushed. top is the last that was ever given out.
  acked = 0;
  sent = 0;
  top = 0;
  pushed = 0;
  // bytes is the cost of what is retained: (acked, pushed]. It passes window by what a lone message costs, never else.
  bytes = 0;
  // ended is the kind of the message that ended the direction, or "".
  ended = "";
  #retained = new Queue();

  constructor(window) {
    this.window = window;
  }

  // push accepts a message and returns its number, or 0 while the window has no room for it.
  push(m) {
    if (!this.accepts(m)) throw new Error(`a message of kind ${m.kind} after a ${this.ended}`);
    if (!ends(m)) {
      if (!this.hasRoom(m)) return 0;
    } else this.ended = m.kind;
    this.#retained.push(m);
    this.bytes += cost(m);
    return ++this.pushed;
  }

  // accepts reports whether the direction goes on for the message.
  accepts(m) {
    return this.ended === "" || (this.ended === "halfClose" && m.kind === "close");
  }

  hasRoom(m) {
    return this.acked === this.pushed || this.bytes + cost(m) <= this.window;
  }

  // acknowledge takes a receipt: all messages through consumed were consumed. It frees them and does nothing else.
  acknowledge(consumed) {
    this.check(consumed);
    for (; this.acked < consumed; this.acked++) this.bytes -= cost(this.#retained.shift());
  }

  check(consumed) {
    if (consumed > this.sent) throw new ProtocolError("Receipt", `receipt through ${consumed}, but only ${this.sent} were sent`);
  }

  // rewind has next go on after the message received. It frees nothing: only a receipt says that a message was consumed.
  rewind(received) {
    if (received < this.acked || received > this.top) {
      throw new ProtocolError(
        "Rewind", `a resume after message ${received}, but ${this.acked} were acknowledged and ${this.top} sent`,
      );
    }
    this.sent = received;
  }

  get ready() {
    return this.sent < this.pushed;
  }

  // peek returns what next would give out.
  peek() {
    return this.ready ? this.#retained.at(this.sent - this.acked) : undefined;
  }

  // next gives out the next message that was not sent yet, with its number.
  next() {
    const message = this.peek();
    if (message === undefined) return undefined;
    this.sent++;
    this.top = Math.max(this.top, this.sent);
    return { seq: this.sent, message };
  }

  get closed() {
    return this.ended === "close";
  }
}

// Inbox takes messages in order, each once, and knows what of them was consumed.
export class Inbox {
  // received is the last message that came in order, taken the last that was given out, consumed the last that its taker is done
  // with, and reported the last that a receipt covered; reported <= consumed <= taken <= received.
  received = 0;
  taken = 0;
  consumed = 0;
  reported = 0;
  // outstanding is the cost of (reported, received]. It never passes window but for a lone message.
  outstanding = 0;
  #takenBytes = 0; // of (consumed, taken]
  #consumedBytes = 0; // of (reported, consumed]
  // halfClosed and closed are the numbers of the messages that ended the direction, or 0.
  halfClosed = 0;
  closed = 0;
  #ready = new Queue();

  constructor(window) {
    this.window = window;
  }

  // accept takes a message, and reports false for one that was received before.
  accept(seq, m) {
    if (seq <= this.received) return false;
    this.#admit(seq, m);
    if (m.kind === "close") this.closed = seq;
    if (m.kind === "halfClose") this.halfClosed = seq;
    this.outstanding += cost(m);
    this.#ready.push(m);
    this.received = seq;
    return true;
  }

  #admit(seq, m) {
    if (seq > this.received + 1) throw new ProtocolError("Gap", `message ${seq} came after message ${this.received}`);
    if (this.closed !== 0) throw new ProtocolError("AfterClose", `message ${seq} (${m.kind}) came after a close`);
    if (this.halfClosed !== 0 && m.kind !== "close") {
      throw new ProtocolError("AfterClose", `message ${seq} (${m.kind}) came after a halfClose`);
    }
    if (!ends(m) && this.outstanding > 0 && this.outstanding + cost(m) > this.window) {
      throw new ProtocolError(
        "Window",
        `message ${seq} of ${cost(m)} bytes passes the window: ${this.outstanding} of ${this.window} bytes are outstanding`,
      );
    }
  }

  // waiting returns how many messages take could give out.
  get waiting() {
    return this.#ready.length;
  }

  // peek returns the message that take would give out.
  peek() {
    return this.#ready.length > 0 ? this.#ready.at(0) : undefined;
  }

  // take gives out the next message in order.
  take() {
    if (this.waiting === 0) return undefined;
    const m = this.#ready.shift();
    this.taken++;
    this.#takenBytes += cost(m);
    return m;
  }

  // consume says that the taker is done with all that take gave out. It reports whether a receipt is due at once, as half the window
  // was consumed since the last one, or the close; else one is due shortly.
  consume() {
    this.consumed = this.taken;
    this.#consumedBytes += this.#takenBytes;
    this.#takenBytes = 0;
    const closeUnsaid = this.closed !== 0 && this.consumed === this.closed && this.reported < this.consumed;
    return this.#consumedBytes * 2 >= this.window || closeUnsaid;
  }

  get owes() {
    return this.reported < this.consumed;
  }

  // receipt returns what to say in a receipt and counts it as said.
  receipt() {
    this.report(this.consumed, this.#consumedBytes);
    return this.reported;
  }

  // report counts as said that all through consumed was consumed, which counted bytes.
  report(consumed, bytes) {
    this.reported = consumed;
    this.outstanding -= bytes;
    this.#consumedBytes -= bytes;
  }

  // unreported is the cost of (reported, consumed].
  get unreported() {
    return this.#consumedBytes;
  }
}

// What became of a frame that broke no rule.
export const TAKEN = "taken";
export const DUPLICATE = "duplicate";
export const WRONG_LINK = "wrong link";

// Client is the client's end, over all its links: streams to relays, named by numbers from 1. It joins another link before it lets go
// of the one that it has: until the Welcome the old link carries messages both ways, and from the Welcome on the new one.
export class Client {
  // link carries the connection, joining is to; 0 for none.
  link;
  joining = 0;
  // greet: the Hello was not given out for joining yet. asked: a Hello was given out since the last Welcome. Nothing is acknowledged
  // until its answer, even if that never comes: it asks the app server for a replay, and what it asks for must not be freed.
  #greet = false;
  #asked = false;
  // told is what the Hello said was received, via the last message that came by link or was told by it; what came by another link is
  // not acknowledged by this one, whose relay has yet to bring it.
  #told = 0;
  #via = 0;
  // said is what the Hello said was consumed, and saidBytes what that counts in the inbox: from the Welcome on, a receipt.
  #said = 0;
  #saidBytes = 0;
  // welcomed: a receipt is to say at once that the Welcome was taken.
  #welcomed = true;

  // The end of a new connection, as the Welcome of its first link says it is.
  constructor(link, window) {
    this.link = link;
    this.outbox = new Outbox(window);
    this.inbox = new Inbox(window);
  }

  // join has a Hello sent by the link, in place of any that the client was joining.
  join(link) {
    this.joining = link;
    this.#greet = true;
  }

  // leave says that the link is gone. Nothing more is taken from it.
  leave(link) {
    if (link === this.link) this.link = 0;
    if (link === this.joining) {
      this.joining = 0;
      this.#greet = false;
    }
  }

  // next gives out the next frame to send by the link. A frame that was given out must be sent: it is not given out again.
  next(link) {
    if (link === 0) return undefined;
    if (this.#greet && link === this.joining) return this.#hello();
    if (link !== this.link) return undefined;
    if (this.#welcomed) {
      this.#welcomed = false;
      return { kind: "receipt", consumed: this.#acknowledges ? this.inbox.receipt() : this.inbox.reported, welcomed: true };
    }
    const data = this.outbox.next();
    if (data !== undefined) return { kind: "data", ...data, consumed: this.owes ? this.inbox.receipt() : 0 };
    return this.owes ? { kind: "receipt", consumed: this.inbox.receipt() } : undefined;
  }

  // hello says where the client is. The application's close it asks for again until it has said that it was consumed: the relay that it
  // has come to must know that the connection is over then.
  #hello() {
    const { received, consumed, reported, closed, unreported } = this.inbox;
    this.#greet = false;
    this.#asked = true;
    this.#told = closed > reported ? closed - 1 : received;
    this.#said = Math.min(consumed, this.#told);
    this.#saidBytes = unreported;
    return { kind: "hello", received: this.#told, consumed: this.#said };
  }

  // ready reports whether there is something to send by the link that should not wait. A receipt alone may wait a little for a
  // message to ride on; Inbox.consume says when it may not.
  ready(link) {
    if (link === 0) return false;
    return (this.#greet && link === this.joining) || (link === this.link && (this.#welcomed || this.outbox.ready));
  }

  // owes reports whether there is something to say in a receipt, and it may be said.
  get owes() {
    return this.#acknowledges && this.inbox.owes;
  }

  get #acknowledges() {
    return !this.#asked && this.inbox.consumed <= this.#via;
  }

  // done reports whether the connection is over: the app server has consumed the client's close, or its own was consumed here and that
  // was said.
  get done() {
    return (
      (this.outbox.closed && this.outbox.acked === this.outbox.pushed) ||
      (this.inbox.closed !== 0 && this.inbox.reported === this.inbox.closed)
    );
  }

  // receive takes a frame that came by the link, and returns what became of it.
  receive(link, f) {
    if (f.kind === "welcome") return this.#receiveWelcome(link, f);
    if (f.kind !== "data" && f.kind !== "receipt") throw new ProtocolError("Order", `${f.kind} is not for a client to receive`);
    this.outbox.check(f.consumed);
    if (link === 0 || (link !== this.link && link !== this.joining)) {
      this.outbox.acknowledge(f.consumed);
      return f.kind === "receipt" ? TAKEN : WRONG_LINK;
    }
    if (link !== this.link) throw new ProtocolError("Order", `${f.kind} came before the Welcome`);
    const verdict = f.kind === "data" ? this.#receiveData(f) : TAKEN;
    this.outbox.acknowledge(f.consumed);
    return verdict;
  }

  #receiveData(f) {
    if (f.seq > this.#via + 1) throw new ProtocolError("Gap", `message ${f.seq} came after message ${this.#via}`);
    const fresh = this.inbox.accept(f.seq, f.message);
    this.#via = Math.max(this.#via, f.seq);
    return fresh ? TAKEN : DUPLICATE;
  }

  // The Welcome lets go of the old link: the new one carries the connection, from where each end is.
  #receiveWelcome(link, f) {
    if (link === 0 || link !== this.joining) return WRONG_LINK;
    if (this.#greet) throw new ProtocolError("Order", "a Welcome came before the Hello");
    if (f.consumed > f.received) {
      throw new ProtocolError("Receipt", `receipt through ${f.consumed}, but only ${f.received} were received`);
    }
    this.outbox.rewind(f.received);
    this.link = link;
    this.joining = 0;
    this.#asked = false;
    this.#via = this.#told;
    this.#welcomed = true;
    this.inbox.report(this.#said, this.#saidBytes);
    this.outbox.acknowledge(f.consumed);
    return TAKEN;
  }
}
