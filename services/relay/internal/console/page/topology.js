// The drawing: clients by ingress on the left, the relay as a bar, server connections and app servers on the right. A link is
// as wide as it has logical connections. Its parts stay while what they show is there, and glide to their new places.

import { attribute, byId, count, draw, plural, say } from "./dom.js";
import { Glide, reduced } from "./tween.js";
import { model } from "./model.js";

const rowHeight = 52;
const nodeHeight = 40;
const top = 34;
const widest = 30; // of a link, in pixels
const movingFor = 1800; // for how long a move is shown, in ms

const parts = new Map(); // by kind and key
const flows = new Map(); // by where from and to
let svg, ribbons, nodes, arcs, shown, places;
let jump = false; // the window has another size: nothing glides

export function setUp() {
  svg = draw("svg", { role: "img", "aria-label": "Nothing is drawn yet", width: "100%" });
  ribbons = svg.appendChild(draw("g"));
  nodes = svg.appendChild(draw("g"));
  arcs = svg.appendChild(draw("g"));
  byId("drawing").append(svg);
  new ResizeObserver(() => shown && show(shown)).observe(byId("drawing"));
}

// show draws the state.
export function show(state) {
  shown = state;
  const m = model(state);
  const g = geometry(m);
  jump = svg.viewBox.baseVal?.width !== g.width;
  attribute(svg, "viewBox", `0 0 ${g.width} ${g.height}`);
  attribute(svg, "height", g.height);
  attribute(svg, "aria-label", describe(m));
  const used = new Set();
  columnNames(g, used);
  part(used, "relay", "bar", () => new Bar(nodes)).show(g, state.relay_id, m.total);
  clientSide(m, g, used);
  serverSide(m, g, used);
  for (const [key, p] of parts) {
    if (!used.has(key)) {
      p.remove();
      parts.delete(key);
    }
  }
  places = new Map(m.rows.flatMap((row, i) => (row.ids ?? []).map((id) => [id, { row: i, x: g.x.server, y: rowY(g, i, m.rows.length) }])));
}

function part(used, kind, key, create) {
  const k = `${kind}\n${key}`;
  used.add(k);
  if (!parts.has(k)) parts.set(k, create());
  return parts.get(k);
}

function geometry(m) {
  const width = Math.max(280, Math.floor(byId("drawing").clientWidth));
  const narrow = width < 620;
  const w = narrow
    ? { client: 76, bar: 12, server: 98, app: 62 }
    : { client: 180, bar: 16, server: 180, app: 160 };
  const gap = (width - 2 - w.client - w.bar - w.server - w.app) / 3;
  const x = { client: 1 };
  x.bar = x.client + w.client + gap;
  x.server = x.bar + w.bar + gap;
  x.app = x.server + w.server + gap;
  const height = top + Math.max(2, m.left.length, m.rows.length) * rowHeight + 8;
  const inner = height - top - 8;
  const most = Math.max(1, ...m.left.map((r) => r.count), ...m.rows.map((r) => r.count));
  const sum = Math.max(1, m.total, m.rows.reduce((n, r) => n + r.count, 0));
  return { width, height, inner, narrow, w, x, gap, scale: Math.min(widest / most, (inner * 0.8) / sum) };
}

const rowY = (g, i, n) => top + (g.inner / n) * (i + 0.5);
const thickness = (g, n) => (n > 0 ? Math.max(1.5, n * g.scale) : 0.75);

function columnNames(g, used) {
  const names = g.narrow
    ? [["client", "Clients via"], ["bar", "Relay"], ["server", "Server conn."], ["app", "App server"]]
    : [["client", "Clients came in via"], ["bar", "Relay"], ["server", "Server connections"], ["app", "App servers"]];
  for (const [column, text] of names) {
    const label = part(used, "column", column, () => new Label(nodes, "column"));
    label.show(g.x[column] + (column === "bar" ? g.w.bar / 2 : 0), 14, text, column === "bar" ? "middle" : "start");
  }
}

function clientSide(m, g, used) {
  const along = stack(g, m.left);
  m.left.forEach((row, i) => {
    const y = rowY(g, i, m.left.length);
    part(used, "client", row.key, () => new Node(nodes)).show({
      x: g.x.client, y, w: g.w.client, h: nodeHeight, count: row.count, name: row.name, unit: g.narrow ? "" : "client",
      note: row.note, draining: row.draining,
    });
    part(used, "client link", row.key, () => new Ribbon(ribbons)).show(
      { x1: g.x.client + g.w.client, y1: y, x2: g.x.bar, y2: along[i], w: thickness(g, row.count) }, row);
  });
}

function serverSide(m, g, used) {
  const along = stack(g, m.rows);
  m.rows.forEach((row, i) => {
    const y = rowY(g, i, m.rows.length);
    const w = thickness(g, row.count);
    part(used, "server", row.key, () => new Node(nodes)).show({
      x: g.x.server, y, w: g.w.server, h: nodeHeight, count: row.count, name: row.name, unit: "",
      note: row.note, draining: row.draining,
    });
    part(used, "server link", row.key, () => new Ribbon(ribbons)).show(
      { x1: g.x.bar + g.w.bar, y1: along[i], x2: g.x.server, y2: y, w }, row);
    part(used, "app link", row.key, () => new Ribbon(ribbons)).show(
      { x1: g.x.server + g.w.server, y1: y, x2: g.x.app, y2: y, w }, row);
  });
  for (const block of m.apps) {
    const from = rowY(g, block.first, m.rows.length);
    const to = rowY(g, block.last, m.rows.length);
    part(used, "app", block.key, () => new Node(nodes)).show({
      x: g.x.app, y: (from + to) / 2, w: g.w.app, h: to - from + nodeHeight, count: block.count, name: block.name, unit: "",
      note: block.note, draining: false,
    });
  }
}

// stack returns where along the bar the link of each row ends: side by side, in the middle.
function stack(g, rows) {
  const between = 5;
  const all = rows.reduce((n, r) => n + thickness(g, r.count) + between, -between);
  let y = top + g.inner / 2 - all / 2;
  return rows.map((r) => {
    const w = thickness(g, r.count);
    y += w + between;
    return y - between - w / 2;
  });
}

function describe(m) {
  const left = m.left.map((r) => `${count(r.count)} via ${r.name}${r.draining ? ", which is reloading" : ""}`).join("; ");
  const right = m.rows.map((r) => `${count(r.count)} on ${r.name} ${r.note}${r.draining ? ", draining" : ""}`).join("; ");
  return `Clients: ${left || "none"}. Logical connections: ${right || "no server connection"}. The tables below have the same.`;
}

// move shows moves between server connections as dots that run from one to the other.
export function move(list) {
  for (const { from, to, count: n } of list) {
    const a = places?.get(from);
    const b = places?.get(to);
    if (!a || !b || a.row === b.row) continue;
    const key = `${a.row}\n${b.row}`;
    let f = flows.get(key);
    if (!f) {
      f = new Flow(arcs);
      flows.set(key, f);
    }
    f.show(a, b, n, () => flows.delete(key));
  }
}

class Label {
  constructor(parent, className) {
    this.element = parent.appendChild(draw("text", { class: className }));
  }
  show(x, y, text, anchor) {
    attribute(this.element, "x", x);
    attribute(this.element, "y", y);
    attribute(this.element, "text-anchor", anchor);
    say(this.element, text);
  }
  remove() {
    this.element.remove();
  }
}

class Ribbon {
  constructor(parent) {
    this.element = parent.appendChild(draw("path", { class: "ribbon" }));
    this.glide = new Glide(({ x1, y1, x2, y2, w }) => {
      const mid = (x1 + x2) / 2;
      attribute(this.element, "d", `M${x1} ${y1}C${mid} ${y1} ${mid} ${y2} ${x2} ${y2}`);
      attribute(this.element, "stroke-width", w.toFixed(2));
    });
  }
  show(place, row) {
    this.element.classList.toggle("draining", row.draining);
    this.element.classList.toggle("idle", row.count === 0);
    this.glide.to(place, jump);
  }
  remove() {
    this.glide.stop();
    this.element.remove();
  }
}

class Node {
  constructor(parent) {
    this.element = parent.appendChild(draw("g", { class: "node" }));
    this.title = this.element.appendChild(draw("title"));
    this.box = this.element.appendChild(draw("rect", { rx: 6 }));
    this.name = this.element.appendChild(draw("text", { class: "name" }));
    this.sub = this.element.appendChild(draw("text", { class: "sub" }));
    this.glide = new Glide((v) => this.place(v));
  }
  show(v) {
    this.element.classList.toggle("draining", v.draining);
    say(this.title, `${v.name} ${v.note}: ${count(v.count)}${v.draining ? ", draining" : ""}`);
    say(this.name, fit(v.name, v.w, 6.9));
    const amount = v.unit ? plural(v.count, v.unit) : count(v.count);
    const whole = v.note ? `${amount} · ${v.note}` : amount;
    say(this.sub, room(whole, v.w, 6) ? whole : fit(amount, v.w, 6));
    this.glide.to({ x: v.x, y: v.y, w: v.w, h: v.h }, jump);
  }
  place({ x, y, w, h }) {
    attribute(this.box, "x", x);
    attribute(this.box, "y", y - h / 2);
    attribute(this.box, "width", w);
    attribute(this.box, "height", h);
    for (const [text, dy] of [[this.name, -3], [this.sub, 12]]) {
      attribute(text, "x", x + 9);
      attribute(text, "y", y + dy);
    }
  }
  remove() {
    this.glide.stop();
    this.element.remove();
  }
}

// room reports whether a text has room, by the usual width of a letter; fit shortens it to what has.
const letters = (width, letter) => Math.max(3, Math.floor((width - 14) / letter));
const room = (text, width, letter) => text.length <= letters(width, letter);
const fit = (text, width, letter) => (room(text, width, letter) ? text : `${text.slice(0, letters(width, letter) - 1)}…`);

class Bar {
  constructor(parent) {
    this.element = parent.appendChild(draw("g", { class: "bar" }));
    this.title = this.element.appendChild(draw("title"));
    this.box = this.element.appendChild(draw("rect", { rx: 5 }));
  }
  show(g, id, total) {
    say(this.title, `relay ${id}: ${plural(total, "client")}`);
    attribute(this.box, "x", g.x.bar);
    attribute(this.box, "y", top);
    attribute(this.box, "width", g.w.bar);
    attribute(this.box, "height", g.inner);
  }
  remove() {
    this.element.remove();
  }
}

class Flow {
  constructor(parent) {
    this.element = parent.appendChild(draw("g", { class: "flow" }));
    this.path = this.element.appendChild(draw("path"));
    this.label = this.element.appendChild(draw("text"));
    this.count = 0;
  }
  show(a, b, n, over) {
    this.count += n;
    const out = a.x - 26;
    const mid = (a.y + b.y) / 2;
    attribute(this.path, "d", `M${a.x} ${a.y}C${out} ${a.y} ${out} ${b.y} ${b.x} ${b.y}`);
    this.element.classList.toggle("still", reduced());
    attribute(this.label, "x", a.x - 24);
    attribute(this.label, "y", mid + 4);
    attribute(this.label, "text-anchor", "end");
    say(this.label, `${count(this.count)} ${a.y < b.y ? "↓" : "↑"}`);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.element.remove();
      over();
    }, movingFor);
  }
}
