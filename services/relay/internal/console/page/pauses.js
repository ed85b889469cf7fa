// The histogram of the pauses: for how long moved connections stood still.

import { attribute, byId, cells, count, draw, keyed, make, plural, say, span } from "./dom.js";
import { Glide } from "./tween.js";

const height = 132;
const foot = 34;
const head = 16;

let bounds = [];
let counts = [];
let longest = 0;
let svg;
let drawn = 0; // the width
const bars = [];

export function setUp() {
  svg = draw("svg", { role: "img", width: "100%", height, "aria-label": "No pauses yet" });
  byId("pauses").append(svg);
  byId("pauses-clear").addEventListener("click", clear);
  new ResizeObserver(show).observe(byId("pauses"));
}

function clear() {
  counts = counts.map(() => 0);
  longest = 0;
  show();
}

// add adds what an update brings. The beginning of a reload begins the histogram anew.
export function add(since, newBounds) {
  if (bounds.length === 0) {
    bounds = newBounds;
    counts = Array(bounds.length + 1).fill(0);
    show();
  }
  if (since.news.some((e) => e.kind === "reload_started")) clear();
  if (since.moved === 0) return;
  since.pauses.forEach((n, i) => (counts[i] += n));
  longest = Math.max(longest, since.longest_us);
  show();
}

function show() {
  if (bounds.length === 0) return; // nothing is known yet
  const total = counts.reduce((a, b) => a + b, 0);
  const text = total === 0
    ? "Nothing has moved since the counting began."
    : `${plural(total, "move")}: half within ${within(total, 0.5)}, 99 % within ${within(total, 0.99)}, the longest ${span(longest)}.`;
  say(byId("pauses-text"), text);
  attribute(svg, "aria-label", text);
  const width = Math.max(260, Math.floor(byId("pauses").clientWidth));
  attribute(svg, "viewBox", `0 0 ${width} ${height}`);
  const jump = drawn !== width;
  drawn = width;
  const step = width / Math.max(1, counts.length);
  const most = Math.max(1, ...counts);
  counts.forEach((n, i) => {
    bars[i] ??= new Column(svg);
    bars[i].show(i * step, step, n, most, label(i), jump);
  });
  keyed(byId("t-pauses"), counts.map((n, i) => ({ n, i })), (c) => c.i, () => make("tr"), (row, c) => cells(row, [words(c.i), c.n]));
}

// within returns the upper bound of the class in which the share of all is reached.
function within(total, share) {
  let sum = 0;
  for (let i = 0; i < bounds.length; i++) {
    sum += counts[i];
    if (sum >= total * share) return span(Math.min(bounds[i], longest));
  }
  return span(longest);
}

const short = (us) => (us < 1000 ? `.${us / 100}` : us < 1e6 ? String(us / 1000) : `${us / 1e6}s`);
const label = (i) => (i < bounds.length ? short(bounds[i]) : `>${short(bounds.at(-1))}`);
const words = (i) => (i < bounds.length ? `up to ${span(bounds[i])}` : `over ${span(bounds.at(-1))}`);

class Column {
  constructor(parent) {
    this.bar = parent.appendChild(draw("rect", { class: "column", rx: 2 }));
    this.number = parent.appendChild(draw("text", { class: "sub", "text-anchor": "middle" }));
    this.name = parent.appendChild(draw("text", { class: "sub", "text-anchor": "middle" }));
    this.glide = new Glide(({ x, w, h }) => {
      attribute(this.bar, "x", x + 2);
      attribute(this.bar, "width", Math.max(1, w - 4));
      attribute(this.bar, "y", height - foot - h);
      attribute(this.bar, "height", Math.max(h, 1));
      attribute(this.number, "x", x + w / 2);
      attribute(this.number, "y", height - foot - h - 4);
    });
  }
  show(x, w, n, most, name, jump) {
    this.bar.classList.toggle("empty", n === 0);
    this.name.classList.toggle("tight", w < 26);
    this.number.classList.toggle("tight", w < 26);
    say(this.number, n > 0 ? compact(n) : "");
    say(this.name, name);
    attribute(this.name, "x", x + w / 2);
    attribute(this.name, "y", height - foot + 15);
    this.glide.to({ x, w, h: ((height - foot - head) * n) / most }, jump);
  }
}

const compact = (n) => (n < 10_000 ? count(n) : `${Math.round(n / 1000)}k`);
