// A world of relays and one app server, as far as a client can tell: an application that echoes, any number of sockets, and a
// chance that decides what happens next. It throws when the client breaks a rule.
import { encode, ConnectResponse } from "../codec.js";
import { framesOf } from "../frames.js";
import { Inbox, Outbox } from "../ordering.js";
import { Bench, turn } from "./fakes.js";

const window_ = 2000;

// Random draws numbers from a seed.
export class Random {
  #state;

  constructor(seed) {
    this.#state = seed;
  }

  // below returns a number from 0 up to n.
  below(n) {
    this.#state = (this.#state * 48271) % 2147483647;
    return this.#state % n;
  }

  chance(percent) {
    return this.below(100) < percent;
  }
}

export class World {
  bench;
  random;
  // inbox and outbox are the app server's.
  inbox = new Inbox(window_);
  outbox = new Outbox(window_);
  // generation is that of the stream that carries the connection, and welcomed the newest whose welcome the client has taken.
  generation = 0;
  welcomed = 0;
  // streams are those that were accepted: {socket, generation, answers}, answers on their way to the client.
  streams = [];
  echoed = [];
  counts = { cuts: 0, moves: 0, resumes: 0, overlaps: 0 };

  constructor(seed) {
    this.random = new Random(seed);
    this.bench = new Bench();
    this.bench.options.random = () => this.random.below(1000) / 1000;
  }

  get alive() {
    return this.streams.filter((s) => s.socket.readyState === 1);
  }

  // step has one thing happen.
  async step() {
    const { sockets } = this.bench;
    const dialling = sockets.filter((s) => s.readyState === 0);
    const choice = this.random.below(10);
    if (dialling.length > 0 && choice < 3) await this.#open(dialling[0]);
    else if (choice < 6) this.#serve();
    else if (choice < 9) await this.#answer();
    else await this.bench.clock.advance(this.random.below(50));
    this.#write();
  }

  // fault has something go wrong.
  async fault() {
    const open = this.bench.sockets.filter((s) => s.readyState < 2);
    if (open.length === 0) return;
    const socket = open[this.random.below(open.length)];
    if (this.random.chance(50)) {
      this.counts.cuts++;
      await socket.end();
    } else {
      const current = this.streams.find((s) => s.generation === this.generation);
      if (current === undefined) return;
      this.counts.moves++;
      current.answers.push({ reconnect: { reason: 1, delay: { nanos: this.random.below(30) * 1e6 } } });
    }
  }

  async #open(socket) {
    await socket.open();
    this.streams.push({ socket, generation: 0, answers: [] });
  }

  // serve takes one request of one stream.
  #serve() {
    const waiting = this.alive.filter((s) => s.socket.requests.length > 0);
    if (waiting.length === 0) return;
    const stream = waiting[this.random.below(waiting.length)];
    const request = stream.socket.requests.shift();
    if (request.hello !== undefined) this.#greet(stream, request.hello);
    else if (stream.generation === this.generation) this.#take(stream, request);
    else if (stream.generation === 0) throw new Error("a request before the hello");
  }

  #greet(stream, hello) {
    if (stream.generation !== 0) throw new Error("a second hello");
    if (hello.resume === undefined) {
      if (this.generation > 0 && this.welcomed > 0) throw new Error("a hello for a new connection, but there is one");
      [this.inbox, this.outbox] = [new Inbox(window_), new Outbox(window_)];
    } else {
      const { token, receivedSeq, consumedSeq } = hello.resume;
      if (Number(token) < this.welcomed) throw new Error(`token ${token} after the welcome of ${this.welcomed} was taken`);
      if (consumedSeq > receivedSeq) throw new Error(`consumed ${consumedSeq} of ${receivedSeq}`);
      this.outbox.rewind(receivedSeq); // throws for one from before what was acknowledged
      this.outbox.acknowledge(consumedSeq);
      this.counts.resumes++;
      if (this.alive.some((s) => s.generation === this.generation)) this.counts.overlaps++;
    }
    stream.generation = ++this.generation;
    stream.answers.push({ welcome: {
      connectionId: "00000000000000a1", application: "echo", maxMessageBytes: 1000, windowBytes: window_, resumeToken: `${stream.generation}`,
      receivedSeq: this.inbox.received, consumedSeq: this.inbox.receipt(), recovered: hello.resume !== undefined,
      resumeTime: { seconds: 3600 }, relayId: "r", ingress: "a",
    } });
  }

  #take(stream, request) {
    if (request.welcomed) this.welcomed = stream.generation;
    else if (this.welcomed !== stream.generation) throw new Error("the first request after the welcome does not say so");
    if (request.consumedSeq > 0) this.outbox.acknowledge(request.consumedSeq);
    for (const f of request.messages.length > 0 ? framesOf(request) : []) {
      if (!this.inbox.accept(f.seq, f.message)) throw new Error(`message ${f.seq} came twice by one stream`);
    }
  }

  // write has the application echo, and the app server send.
  #write() {
    const echo = this.inbox.peek();
    if (echo !== undefined && this.random.chance(60) && this.outbox.push(echo) !== 0) {
      this.inbox.take();
      this.inbox.consume();
      this.echoed.push(echo.data);
    }
    const stream = this.streams.find((s) => s.generation === this.generation && this.generation > 0);
    if (stream === undefined || this.random.chance(50)) return;
    const response = { messages: [] };
    for (let n = this.outbox.next(); n !== undefined; n = response.messages.length < 4 ? this.outbox.next() : undefined) {
      response.firstSeq ??= n.seq;
      response.messages.push({ text: n.message.data });
    }
    if (this.inbox.owes && this.random.chance(50)) response.consumedSeq = this.inbox.receipt();
    else if (this.inbox.consumed > 0 && this.random.chance(5)) response.consumedSeq = this.inbox.reported; // again
    if (response.messages.length > 0 || response.consumedSeq > 0) stream.answers.push(response);
  }

  // answer delivers one response of one stream.
  async #answer() {
    const waiting = this.alive.filter((s) => s.answers.length > 0);
    if (waiting.length === 0) return;
    const stream = waiting[this.random.below(waiting.length)];
    await stream.socket.raw(encode(ConnectResponse, stream.answers.shift()).buffer);
  }

  // until has things happen until that is true.
  async until(there, most = 20_000) {
    for (let i = 0; !there(); i++) {
      if (i === most) throw new Error(`nothing more happens: ${JSON.stringify(this.bench.events.slice(-3))}`);
      await this.step();
    }
    await turn();
  }
}
