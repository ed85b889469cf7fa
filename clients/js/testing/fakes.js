// What the tests put in the place of time, of sockets and of relays.
import { ConnectRequest, ConnectResponse, decode, encode } from "../codec.js";
import { connect } from "../holdfast.js";

// turn lets everything that can happen without time passing happen.
export const turn = () => new Promise((resolve) => setImmediate(resolve));

export class FakeClock {
  #now = 1_000_000;
  #timers = new Map();
  #next = 1;

  now = () => this.#now;
  setTimeout = (f, ms) => {
    this.#timers.set(this.#next, { at: this.#now + ms, f });
    return this.#next++;
  };
  clearTimeout = (timer) => this.#timers.delete(timer);

  // pending returns in how many milliseconds each timer fires.
  get pending() {
    return [...this.#timers.values()].map((t) => t.at - this.#now).sort((a, b) => a - b);
  }

  // advance lets time pass, and what waits for it happen in order.
  async advance(ms) {
    const end = this.#now + ms;
    await turn();
    for (;;) {
      const due = [...this.#timers].filter(([, t]) => t.at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#now = Math.max(this.#now, due[1].at);
      this.#timers.delete(due[0]);
      due[1].f();
      await turn();
    }
    this.#now = end;
  }

  // sleep lets time pass while nothing runs.
  sleep(ms) {
    this.#now += ms;
  }
}

// FakeSocket is a WebSocket whose other end is the test.
export class FakeSocket {
  readyState = 0;
  protocol = "";
  onopen = null;
  onmessage = null;
  onerror = null;
  onclose = null;
  // requests are those that came, oldest first.
  requests = [];
  // closedWith is how the client closed it.
  closedWith = undefined;

  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
  }

  send(data) {
    if (this.readyState !== 1) throw new Error("the socket is not open");
    this.requests.push(decode(ConnectRequest, data));
  }

  close(code, reason) {
    if (this.readyState >= 2) return;
    if (Buffer.byteLength(reason) > 123) throw new SyntaxError("the reason is too long");
    if (code !== 1000 && (code < 3000 || code > 4999)) throw new DOMException("not for an application", "InvalidAccessError");
    this.readyState = 3;
    this.closedWith = { code, reason };
  }

  // What the relay does.

  async open(protocol = "holdfast.v1") {
    this.readyState = 1;
    this.protocol = protocol;
    this.onopen?.();
    await turn();
  }

  async say(response) {
    await this.raw(encode(ConnectResponse, response).buffer);
  }

  async raw(data) {
    if (this.readyState === 1) this.onmessage?.({ data });
    await turn();
  }

  async end(code = 1006, reason = "") {
    this.readyState = 3;
    this.onerror?.({});
    this.onclose?.({ code, reason });
    await turn();
  }

  // take returns the requests that came since it was called last.
  take() {
    return this.requests.splice(0);
  }
}

// Bench has a client with its time, its sockets and what it told.
export class Bench {
  clock = new FakeClock();
  network = new EventTarget();
  sockets = [];
  events = [];
  first = 0;
  random = 0.5;
  tokens = 0;

  constructor(options = {}) {
    const bench = this;
    this.options = {
      addresses: ["wss://a.test", "wss://b.test"], application: "echo", clock: this.clock, random: () => bench.draw(),
      network: this.network, onEvent: (event) => bench.events.push(event),
      WebSocket: class extends FakeSocket {
        constructor(url, protocols) {
          super(url, protocols);
          bench.sockets.push(this);
        }
      },
      ...options,
    };
  }

  // draw is what is drawn: at first the address to begin with.
  draw() {
    return this.sockets.length === 0 ? this.first : this.random;
  }

  get last() {
    return this.sockets.at(-1);
  }

  // types are those of the events so far.
  get types() {
    return this.events.map((e) => e.type);
  }

  // connect begins to connect, and opens the first socket.
  async begin() {
    this.opening = connect(this.options);
    this.opening.catch(() => {}); // whoever awaits it sees that
    await turn();
    await this.last.open();
    return this.last.take();
  }

  // connect returns an open connection, of which the first request is taken.
  async connect(welcome = {}) {
    await this.begin();
    await this.welcome(welcome);
    this.connection = await this.opening;
    this.last.take();
    return this.connection;
  }

  // welcome answers the hello of the newest socket.
  async welcome(welcome = {}) {
    await this.last.say({ welcome: {
      connectionId: "00000000000000a1", application: "echo", maxMessageBytes: 1 << 20, resumeToken: `token-${++this.tokens}`,
      windowBytes: 1 << 18, resumeTime: { seconds: 60, nanos: 0 }, relayId: "relay-1", ingress: "a", ...welcome,
    } });
  }

  // resume opens the newest socket and answers its hello as a resume, and returns that hello.
  async resume(welcome = {}) {
    await this.last.open();
    const [{ hello }] = this.last.take();
    await this.welcome({ recovered: true, ...welcome });
    return hello;
  }
}

// texts returns the messages of a response.
export const texts = (...list) => list.map((text) => ({ text }));
