// One logical connection: what the application sends, receives and is told.
import { framesOf, messageOf, milliseconds, requestOf } from "./frames.js";
import { Guard } from "./guard.js";
import { Legs } from "./legs.js";
import { Client, ProtocolError } from "./ordering.js";
import { HoldfastError } from "./reasons.js";

// A receipt waits for so long for a message to ride on.
const receiptDelay = 20;
// So many messages may wait for room in the window.
const maxWaiting = 1024;
const longestDelay = 600_000;
const longestResume = 7 * 24 * 3_600_000;

export class Connection {
  #options;
  #clock;
  #legs;
  #guard;
  // client is there from the first Welcome on.
  #client;
  #welcome;
  #token = "";
  #begin;

  // waiting are the messages that the window has no room for yet. ended is what the application ended its direction with, or "".
  #waiting = [];
  #ended = "";

  // receivers wait for a message; pumping: a handler is being called.
  #receivers = [];
  #pumping = false;

  // due: what was consumed is to be said at once. receiptTimer has it said in a while. waking: a flush is about to be.
  #due = false;
  #receiptTimer;
  #waking = false;

  // outcome is how it ended, for the application; over: there is nothing more to say either.
  #outcome;
  #over = false;
  #close;

  // closed is fulfilled with {reason, detail, error} when the connection has ended; error is undefined when that was as it should be.
  closed = new Promise((resolve) => (this.#close = resolve));

  constructor(options) {
    this.#options = options;
    this.#clock = options.clock;
    this.#legs = new Legs(options, {
      hello: (number) => this.#hello(number),
      welcomed: (number, response) => this.#welcomed(number, response),
      carried: (address, interrupted) => this.#carried(address, interrupted),
      received: (number, response) => this.#received(number, response),
      left: (number) => this.#client?.leave(number),
      lost: (error) => this.#lost(error),
      reconnecting: (event) => this.#client && this.#tell({ type: "reconnecting", ...event }),
    });
    const unacknowledged = () => this.connected && this.#client.outbox.acked < this.#client.outbox.sent;
    this.#guard = new Guard(options.clock, options.network, unacknowledged, (why) => this.check(why));
  }

  // begin dials until there is a Welcome. It is called once.
  begin() {
    const { signal } = this.#options;
    return new Promise((resolve, reject) => {
      this.#begin = { resolve, reject };
      const abort = () => this.abort();
      if (signal?.aborted) {
        abort();
        return;
      }
      signal?.addEventListener("abort", abort, { once: true });
      this.closed.then(() => signal?.removeEventListener("abort", abort));
      this.#legs.start();
    });
  }

  get id() {
    return this.#welcome.connectionId;
  }

  get application() {
    return this.#welcome.application;
  }

  // relay and ingress name those that carry it, or did last.
  get relay() {
    return this.#welcome.relayId;
  }

  get ingress() {
    return this.#welcome.ingress;
  }

  get maxMessageBytes() {
    return this.#welcome.maxMessageBytes;
  }

  // connected: a stream carries the connection at the moment.
  get connected() {
    return this.#legs.number !== 0;
  }

  // send is fulfilled when the message was accepted: it arrives, once and in order, for as long as the connection lives.
  async send(data) {
    const message = messageOf(data);
    if (message.size > this.maxMessageBytes) {
      throw new HoldfastError("MESSAGE_TOO_LARGE", `a message of ${message.size} bytes; the limit is ${this.maxMessageBytes}`);
    }
    await this.#push(message);
  }

  // closeSend says that nothing more is sent.
  async closeSend() {
    if (this.#ended === "") await this.#end("halfClose");
  }

  // close ends the connection after all that was sent, and is fulfilled as closed is, when the application has consumed it.
  async close() {
    if (this.#ended !== "close" && this.#outcome === undefined) this.#end("close").catch(() => {}); // closed says how it went
    return this.closed;
  }

  // abort ends it here and now. What was not sent or received is lost, and the application hears of it after the resume time.
  abort() {
    if (this.#over) return;
    this.#settle(new HoldfastError("ABORTED", "the connection was aborted here"));
    this.#shut();
  }

  // check has the connection taken up on a new stream, before the old one is let go.
  check(why = "the application asked for it") {
    if (this.#client !== undefined) this.#legs.move(0, new HoldfastError("TRANSPORT", why));
  }

  // receive is fulfilled with the next message, and with undefined at the end.
  receive() {
    if (this.#options.onMessage !== undefined) return Promise.reject(new TypeError("there is an onMessage, which gets all messages"));
    return new Promise((resolve, reject) => {
      this.#receivers.push({ resolve, reject });
      this.#deliver();
    });
  }

  async *[Symbol.asyncIterator]() {
    for (let data; (data = await this.receive()) !== undefined; ) yield data;
  }

  async #push(message) {
    if (this.#outcome !== undefined) throw this.#outcome.error ?? new HoldfastError("CLOSED", "the connection has ended");
    if (this.#ended !== "" && (this.#ended === "close" || message.kind !== "close")) {
      throw new HoldfastError("CLOSED", `a ${this.#ended} was sent; nothing can follow it`);
    }
    if (message.kind === "halfClose" || message.kind === "close") this.#ended = message.kind;
    else if (this.#waiting.length >= maxWaiting) {
      throw new HoldfastError("SENDING_TOO_MUCH", `${maxWaiting} messages wait for the window; wait for send before the next one`);
    }
    const accepted = new Promise((resolve, reject) => this.#waiting.push({ message, resolve, reject }));
    this.#admit();
    await accepted;
  }

  #end(kind) {
    return this.#push({ kind, data: "", size: 0, detail: "" });
  }

  // admit accepts what waits, as far as the window has room.
  #admit() {
    while (this.#waiting.length > 0 && this.#client.outbox.push(this.#waiting[0].message) !== 0) {
      this.#waiting.shift().resolve();
      this.#wake();
    }
  }

  #hello(number) {
    if (this.#client === undefined) return { hello: { application: this.#options.application, resumable: true } };
    this.#client.join(number);
    const { received, consumed } = this.#client.next(number);
    return { hello: { resumable: true, resume: { token: this.#token, receivedSeq: received, consumedSeq: consumed } } };
  }

  // welcomed takes the first response of a link, and returns for how long the connection waits for the client.
  #welcomed(number, { welcome }) {
    if (welcome === undefined) throw new ProtocolError("Order", "the first response is no Welcome");
    if (welcome.resumeToken === "") throw new ProtocolError("Order", "a Welcome without a resume token");
    if (this.#client === undefined) {
      if (welcome.windowBytes === 0) throw new ProtocolError("Window", "a Welcome without a window");
      this.#client = new Client(number, welcome.windowBytes);
    } else {
      if (!welcome.recovered) throw new ProtocolError("Order", "a resume was answered as if the connection were new");
      this.#client.receive(number, { kind: "welcome", received: welcome.receivedSeq, consumed: welcome.consumedSeq });
    }
    this.#welcome = welcome;
    this.#token = welcome.resumeToken;
    return milliseconds(welcome.resumeTime, longestResume);
  }

  // carried says that a new link carries the connection.
  #carried(address, interrupted) {
    this.#guard.welcomed();
    if (this.#begin !== undefined) {
      this.#guard.start();
      this.#begin.resolve(this);
      this.#begin = undefined;
    } else this.#tell({ type: "recovered", address, relay: this.relay, ingress: this.ingress, interrupted });
    this.#progress();
  }

  #received(number, response) {
    if (response.welcome !== undefined) throw new ProtocolError("Order", "a second Welcome");
    for (const frame of framesOf(response)) this.#client.receive(number, frame);
    if (response.resumeToken !== "") this.#token = response.resumeToken;
    if (response.messages.length > 0 || response.consumedSeq > 0) this.#guard.heard();
    if (response.reconnect !== undefined) {
      const why = new HoldfastError("TRANSPORT", "the relay asked for a move");
      this.#legs.move(milliseconds(response.reconnect.delay, longestDelay), why);
    }
    this.#progress();
  }

  // progress does what the other end's word has made possible.
  #progress() {
    this.#admit();
    this.#deliver();
    this.#wake();
  }

  // deliver hands on what has come, and the end after it.
  #deliver() {
    if (this.#options.onMessage !== undefined) this.#pump();
    while (this.#receivers.length > 0) {
      const data = this.#take();
      if (data === undefined) break;
      this.#consumed();
      this.#receivers.shift().resolve(data);
    }
    if (!this.#pumping && this.#client?.inbox.peek()?.kind === "close") this.#takeEnd();
    if (this.#outcome === undefined || this.#pumping) return;
    for (const { resolve, reject } of this.#receivers.splice(0)) {
      if (this.#outcome.error === undefined) resolve(undefined);
      else reject(this.#outcome.error);
    }
  }

  async #pump() {
    if (this.#pumping) return;
    this.#pumping = true;
    for (let data; (data = this.#take()) !== undefined; ) {
      try {
        await this.#options.onMessage(data);
      } catch (error) {
        raise(error);
      }
      this.#consumed();
    }
    this.#pumping = false;
    if (this.#client?.inbox.peek()?.kind === "close") this.#takeEnd();
  }

  // take returns the next message for the application.
  #take() {
    const inbox = this.#client?.inbox;
    if (inbox?.peek()?.kind === "halfClose") {
      inbox.take(); // it has no meaning for a client
      this.#consumed();
    }
    return inbox === undefined || inbox.waiting === 0 || inbox.peek().kind === "close" ? undefined : inbox.take().data;
  }

  // takeEnd takes the application's close, which is acknowledged like any message; then the connection is over.
  #takeEnd() {
    const { reason, detail } = this.#client.inbox.take();
    this.#consumed();
    this.#settle(reason === "APPLICATION_CLOSED" ? undefined : new HoldfastError(reason, detail), reason, detail);
  }

  #consumed() {
    this.#due = this.#client.inbox.consume() || this.#due;
    this.#wake();
  }

  // wake has what can be sent sent, once what happens at the moment has happened, so that messages go together.
  #wake() {
    if (this.#waking || this.#over) return;
    this.#waking = true;
    queueMicrotask(() => {
      this.#waking = false;
      if (!this.#over) this.#flush();
    });
  }

  #flush() {
    const client = this.#client;
    const link = this.#legs.number;
    while (link !== 0 && (client.ready(link) || (this.#due && client.owes))) {
      this.#legs.send(requestOf(client, link));
      this.#due &&= client.inbox.owes;
    }
    if (!client.owes) {
      this.#clock.clearTimeout(this.#receiptTimer);
      this.#receiptTimer = undefined;
    } else if (this.#receiptTimer === undefined) {
      this.#receiptTimer = this.#clock.setTimeout(() => {
        this.#receiptTimer = undefined;
        this.#due = true;
        this.#wake();
      }, receiptDelay);
    }
    if (client.done) this.#done();
  }

  #done() {
    this.#settle(undefined, "CLIENT_GONE", "");
    this.#shut();
  }

  // lost takes the error after which no link is tried any more.
  #lost(error) {
    const outbox = this.#client?.outbox;
    // The application has forgotten the connection that this end has closed: it has had the close.
    const closed = error.reason === "UNKNOWN_CONNECTION" && outbox?.closed && outbox.top === outbox.pushed;
    if (closed) this.#settle(undefined, "CLIENT_GONE", "");
    else this.#settle(error);
    this.#shut();
  }

  // settle tells the application how it ended, once.
  #settle(error, reason = error.reason, detail = error.detail) {
    if (this.#outcome !== undefined) return;
    this.#outcome = { reason, detail, error };
    const failure = error ?? new HoldfastError("CLOSED", `the connection has ended: ${reason}`);
    for (const { reject } of this.#waiting.splice(0)) reject(failure);
    this.#begin?.reject(failure);
    this.#close(this.#outcome);
    if (error !== undefined && this.#begin === undefined) this.#tell({ type: "lost", error });
    this.#deliver();
  }

  #shut() {
    this.#over = true;
    this.#guard.stop();
    this.#clock.clearTimeout(this.#receiptTimer);
    this.#legs.stop();
  }

  #tell(event) {
    try {
      this.#options.onEvent?.(event);
    } catch (error) {
      raise(error);
    }
  }
}

// raise reports an error of the application's own function as browsers do; where nothing else is there for it, as one that nobody caught.
function raise(error) {
  if (typeof globalThis.reportError === "function") globalThis.reportError(error);
  else {
    queueMicrotask(() => {
      throw error;
    });
  }
}
