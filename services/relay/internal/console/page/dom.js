// Small helpers for what the page is made of. Text goes in as text only, so that no name from the network becomes markup.

const svgSpace = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

export function make(tag, className, text) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

export function draw(tag, attributes = {}, text) {
  const e = document.createElementNS(svgSpace, tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  if (text !== undefined) e.textContent = text;
  return e;
}

// say sets a text if it is another one: what did not change is not announced again, and keeps a selection.
export function say(element, text) {
  const s = String(text);
  if (element.textContent !== s) element.textContent = s;
}

export function attribute(element, name, value) {
  const s = String(value);
  if (element.getAttribute(name) !== s) element.setAttribute(name, s);
}

// keyed keeps one child of the parent for each item, in their order. Children stay the same while their item is there, so
// that the focus stays where it is.
export function keyed(parent, items, key, create, update) {
  const have = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let after = null;
  for (const item of items) {
    const k = String(key(item));
    let child = have.get(k);
    have.delete(k);
    if (!child) {
      child = create(item);
      child.dataset.key = k;
    }
    update(child, item);
    const next = after ? after.nextSibling : parent.firstChild;
    if (child !== next) parent.insertBefore(child, next);
    after = child;
  }
  for (const child of have.values()) child.remove();
}

// cells makes or updates the cells of a row of a table.
export function cells(row, values) {
  values.forEach((value, i) => {
    const numeric = typeof value === "number";
    const cell = row.children[i] ?? row.appendChild(make(i === 0 ? "th" : "td", numeric ? "num" : ""));
    if (i === 0) cell.scope = "row";
    say(cell, numeric ? count(value) : value);
  });
}

const grouped = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

export const count = (n) => grouped.format(n);
export const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;
export const time = (t) => clock.format(new Date(t));

// span says a time in microseconds.
export function span(micros) {
  if (micros < 1000) return `${micros} µs`;
  if (micros < 1e6) return `${Number((micros / 1000).toPrecision(3))} ms`;
  return `${Number((micros / 1e6).toPrecision(3))} s`;
}

// left says for how long it still is until then, from the relay's now.
export function until(then, now) {
  const s = Math.max(0, Math.round((new Date(then) - new Date(now)) / 1000));
  const two = (n) => String(n).padStart(2, "0");
  const h = Math.floor(s / 3600);
  return h ? `${h}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`;
}

// announce tells those who do not see the page.
export function announce(text) {
  byId("announce").textContent = text;
}
