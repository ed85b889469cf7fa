// Keeps one link that carries the connection, and another one that is to when that has to go. It decides when and where to dial.
import { Link } from "./link.js";
import { AGAIN, FINAL, HoldfastError, WITH_TOKEN, reaction } from "./reasons.js";

// For how long a link may take from its beginning to the Welcome.
const welcomeTime = 10_000;
// The wait before the next try is drawn from 0 to a bound that doubles with each failure.
const firstWait = 200;
const longestWait = 10_000;
// The relay may notice later than the client that a stream is gone, and keeps the connection for its time from then on.
const lateNotice = 30_000;
// A link that lived for so long has shown that its beginning was well: what failed before counts no more.
const steadyTime = 5_000;
const closedForBreach = 4007;

// Legs tells its owner hello(number), which returns the request that begins the link of that number, welcomed(number, response),
// carried(address, interrupted) after that,
// received(number, response), left(number), lost(error) at the end, and reconnecting(event).
export class Legs {
  #options;
  #owner;
  #clock;
  // current carries the connection; attempt is to. Each is {number, address, link, since}.
  #current;
  #attempt;
  // timer waits for the next try, or for the beginning of a move that was asked for.
  #timer;
  #timerAt = 0;
  #stopped = false;
  // begun: there was a Welcome.
  #begun = false;
  #dialled = 0;
  #next;
  #failures = 0;
  // tried has the reasons that are not to repeat, since a link was steady.
  #tried = new Set();
  // patience is for how long there may be no link, from aloneSince on.
  #patience;
  #aloneSince;

  constructor(options, owner) {
    this.#options = options;
    this.#owner = owner;
    this.#clock = options.clock;
    this.#patience = options.connectTime;
    this.#next = Math.floor(options.random() * options.addresses.length);
  }

  // number names the link that carries the connection; 0: none does.
  get number() {
    return this.#current?.number ?? 0;
  }

  start() {
    this.#aloneSince = this.#clock.now();
    this.#dial();
  }

  // stop ends all links. Nothing is told any more.
  stop() {
    this.#stopped = true;
    this.#cancel();
    for (const leg of [this.#attempt, this.#current]) this.#end(leg);
    this.#attempt = this.#current = undefined;
  }

  send(request) {
    this.#current.link.send(request);
  }

  // move has the connection taken to another link in so many milliseconds; the one that it has carries it until then. With no link, the
  // next try begins.
  move(delay, error) {
    if (this.#stopped || this.#attempt !== undefined) return;
    if (this.#timer !== undefined && this.#timerAt <= this.#clock.now() + delay) return;
    this.#tell(delay, error);
    this.#plan(delay);
  }

  // breach says that the link of that number broke a rule. It is given up; once that is no reason to give up the connection.
  breach(number, error) {
    const leg = [this.#current, this.#attempt].find((l) => l?.number === number);
    if (leg === undefined) return;
    leg.link.close(closedForBreach, `PROTOCOL_ERROR: ${error.message}`);
    this.#weigh(leg);
    const repeated = this.#repeats("breach");
    this.#gone(leg, new HoldfastError(repeated ? "PROTOCOL_ERROR" : "TRANSPORT", error.message));
  }

  #dial() {
    this.#cancel();
    const leg = { number: ++this.#dialled, address: this.#address(), since: this.#clock.now() };
    this.#attempt = leg;
    leg.late = this.#clock.setTimeout(() => {
      this.#gone(leg, new HoldfastError("TRANSPORT", `no Welcome from ${leg.address} within ${welcomeTime} ms`));
    }, welcomeTime);
    this.#connect(leg);
  }

  // address returns the next one in turn; not that of the link that is to be left, where there is another.
  #address() {
    const { addresses } = this.#options;
    const turn = () => addresses[this.#next++ % addresses.length];
    const address = turn();
    return address === this.#current?.address ? turn() : address;
  }

  async #connect(leg) {
    try {
      const token = await this.#options.token?.();
      if (leg !== this.#attempt) return;
      leg.link = new Link(this.#options.WebSocket, leg.address, token ?? "", {
        opened: () => leg.link.send(this.#owner.hello(leg.number)),
        received: (response) => this.#received(leg, response),
        broken: (error) => this.breach(leg.number, error),
        ended: (error) => this.#gone(leg, error),
      });
    } catch (error) {
      if (leg === this.#attempt) this.#gone(leg, new HoldfastError("TRANSPORT", error.message));
    }
  }

  #received(leg, response) {
    try {
      if (leg === this.#attempt) this.#welcomed(leg, response);
      else this.#owner.received(leg.number, response);
    } catch (error) {
      this.breach(leg.number, error);
    }
  }

  // welcomed has the new link carry the connection, and lets go of the old one.
  #welcomed(leg, response) {
    this.#patience = this.#owner.welcomed(leg.number, response) + lateNotice;
    this.#clock.clearTimeout(leg.late);
    const old = this.#current;
    const interrupted = old === undefined ? this.#clock.now() - this.#aloneSince : 0;
    this.#current = leg;
    this.#attempt = undefined;
    this.#begun = true;
    leg.since = this.#clock.now();
    this.#end(old);
    this.#owner.carried(leg.address, interrupted);
  }

  // gone takes the end of a link.
  #gone(leg, error) {
    if (leg !== this.#current && leg !== this.#attempt) return;
    this.#end(leg);
    if (leg === this.#current) {
      this.#weigh(leg);
      this.#current = undefined;
      this.#aloneSince = this.#clock.now();
      this.#cancel(); // a move that was to begin: there is nothing to move from
    } else this.#attempt = undefined;
    this.#owner.left(leg.number);
    if (this.#stopped) return;
    if (this.#final(error)) this.#owner.lost(error);
    else if (this.#attempt === undefined) this.#retry(error);
    else if (error.reason !== "RESUMED_ELSEWHERE") this.#tell(0, error); // else it is by the attempt, whose Welcome is on its way
  }

  #final(error) {
    switch (reaction(error)) {
      case AGAIN:
        return false;
      case FINAL:
        return true;
      case WITH_TOKEN:
        return this.#options.token === undefined || this.#repeats(error.reason);
      default:
        return this.#repeats(error.reason);
    }
  }

  // repeats reports whether the reason came before since a link was steady.
  #repeats(reason) {
    const repeated = this.#tried.has(reason);
    this.#tried.add(reason);
    return repeated;
  }

  // weigh forgets what failed before the link that is about to go, when that was steady.
  #weigh(leg) {
    if (leg !== this.#current || leg.weighed || this.#clock.now() - leg.since < steadyTime) return;
    leg.weighed = true;
    this.#failures = 0;
    this.#tried.clear();
  }

  #retry(error) {
    const now = this.#clock.now();
    const left = this.#aloneSince + this.#patience - now;
    if (this.#current === undefined && left <= 0) {
      this.#owner.lost(this.#begun ? new HoldfastError("GAVE_UP", `no relay took it up within ${this.#patience} ms: ${error.message}`) : error);
      return;
    }
    const most = Math.min(longestWait, firstWait * 2 ** Math.min(this.#failures++, 16));
    let delay = this.#options.random() * most;
    if (this.#current === undefined) delay = Math.min(delay, left); // the last try is at the end of the time, not after it
    this.#tell(delay, error);
    this.#plan(delay);
  }

  #plan(delay) {
    this.#cancel();
    this.#timerAt = this.#clock.now() + delay;
    this.#timer = this.#clock.setTimeout(() => this.#dial(), delay);
  }

  #cancel() {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #end(leg) {
    if (leg === undefined) return;
    this.#clock.clearTimeout(leg.late);
    leg.link?.close();
  }

  #tell(delay, error) {
    this.#owner.reconnecting({ broken: this.#current === undefined, delay, attempt: this.#failures, error });
  }
}
