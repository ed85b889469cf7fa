// Finds streams that look alive and are not. A page cannot ping, so that it goes by other signs; each has the connection resumed on a
// new stream, which costs little when the old one was well.

// How often the guard looks.
const lookEvery = 15_000;
// A look that is so much too late: the machine slept.
const asleep = 30_000;
// For how long nothing may come while something waits for its receipt. It doubles each time that a new stream changes nothing, as
// an application may also be slow to take what it was sent.
const silence = 30_000;
const longestSilence = 600_000;

export class Guard {
  #clock;
  #network;
  #unacknowledged;
  #check;
  #timer;
  #looksAt = 0;
  #heardAt = 0;
  #silence = silence;
  #online = () => this.#check("the network came back");

  // network gets the event "online", as a window does. unacknowledged() reports whether a receipt is waited for, check(why) is called
  // for a stream that may be dead.
  constructor(clock, network, unacknowledged, check) {
    this.#clock = clock;
    this.#network = network;
    this.#unacknowledged = unacknowledged;
    this.#check = check;
  }

  start() {
    this.#network?.addEventListener("online", this.#online);
    this.#heardAt = this.#clock.now();
    this.#plan();
  }

  stop() {
    this.#network?.removeEventListener("online", this.#online);
    this.#clock.clearTimeout(this.#timer);
  }

  // heard says that something came from the application's side.
  heard() {
    this.#heardAt = this.#clock.now();
    this.#silence = silence;
  }

  // welcomed says that there is a new stream.
  welcomed() {
    this.#heardAt = this.#clock.now();
  }

  #plan() {
    this.#looksAt = this.#clock.now() + lookEvery;
    this.#timer = this.#clock.setTimeout(() => this.#look(), lookEvery);
  }

  #look() {
    const now = this.#clock.now();
    const late = now - this.#looksAt;
    this.#plan();
    if (late >= asleep) this.#check("the machine slept");
    else if (!this.#unacknowledged()) this.#heardAt = now;
    else if (now - this.#heardAt >= this.#silence) {
      this.#heardAt = now;
      this.#silence = Math.min(2 * this.#silence, longestSilence);
      this.#check("nothing came in answer to what was sent");
    }
  }
}
