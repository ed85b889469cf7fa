// The page: it follows the relay and shows each update, and says so when there are none.

import { byId, cells, count, keyed, make, plural, say, time } from "./dom.js";
import { follow } from "./api.js";
import { awayOf, carriedBy, clientsOf, processesOf } from "./model.js";
import * as confirm from "./confirm.js";
import * as lookup from "./lookup.js";
import * as pauses from "./pauses.js";
import * as reloads from "./reloads.js";
import * as topology from "./topology.js";

const maxRows = 200; // of a table
const maxNews = 100;

let state = null;
let moved = 0;
let missed = 0;
let news = [];
let serial = 0;

function update({ state: newest, since, pause_bounds_us: bounds }) {
  state = { ...newest, ingresses: newest.ingresses.filter(used) };
  moved += since.moved;
  missed += since.missed;
  connection("live", "Live");
  fresh();
  noServer();
  const allowed = !state.read_only;
  byId("read-only").hidden = allowed;
  say(byId("relay-id"), state.relay_id);
  say(document.querySelector("title"), `${state.relay_id} – Holdfast relay`);
  figures();
  topology.show(state);
  topology.move(since.flows);
  tables();
  reloads.show(state, allowed);
  pauses.add(since, bounds);
  lookup.follow(state, allowed);
  happened(since);
}

// used tells a way that is none from the ingresses: streams that came in through no ingress came "direct", while there are any.
const used = (i) => i.name !== "direct" || i.draining || i.client_connections + i.server_connections > 0;

function figures() {
  const clients = clientsOf(state);
  say(byId("n-clients"), count(clients));
  say(byId("n-away"), count(awayOf(state)));
  say(byId("n-servers"), count(state.server_connections.length));
  say(byId("n-apps"), count(processesOf(state)));
  say(byId("n-waiting"), count(Math.max(0, clients - carriedBy(state))));
  say(byId("n-moved"), count(moved));
}

function tables() {
  keyed(byId("t-ingresses"), state.ingresses, (i) => i.name, () => make("tr"), (row, i) =>
    cells(row, [i.name, i.draining ? "reloading" : "in service", i.client_connections, i.clients_away, i.server_connections, i.logical_connections]));
  const all = state.server_connections;
  keyed(byId("t-servers"), all.slice(0, maxRows), (s) => s.id, () => make("tr"), (row, s) =>
    cells(row, [s.id, s.server_id, s.application, s.ingress, s.draining ? "draining" : "in service", s.logical_connections, s.address]));
  say(byId("t-more"), all.length > maxRows ? `And ${count(all.length - maxRows)} more; holdfast list servers has them all.` : "");
}

function happened(since) {
  for (const e of since.news) if (e.kind !== "watching") news.unshift({ ...e, serial: ++serial });
  clientsCame(since);
  news = news.slice(0, maxNews);
  byId("no-news").hidden = news.length > 0;
  keyed(byId("news"), news, (e) => e.serial, (e) => {
    const item = make("li");
    const at = item.appendChild(make("time", "", time(e.time)));
    at.dateTime = e.time;
    item.append(make("span"));
    return item;
  }, (item, e) => say(item.lastChild, sentence(e)));
  byId("missed").hidden = missed === 0;
  say(byId("missed"), `${plural(missed, "event")} came faster than they could be counted; counts of moves and pauses lack those.`);
}

// clientsCame tells what the clients did that move themselves, in one line until something else happens.
function clientsCame(since) {
  const { clients_resumed: resumed, clients_away: away, let_go: letGo } = since;
  if (resumed + away + letGo === 0) return;
  const last = news[0]?.kind === "clients" ? news.shift() : { kind: "clients", time: state.time, serial: ++serial, resumed: 0, away: 0, letGo: 0 };
  news.unshift({ ...last, resumed: last.resumed + resumed, away: last.away + away, letGo: last.letGo + letGo });
}

function sentence(e) {
  if (e.kind === "clients") {
    return [
      e.resumed > 0 ? `${plural(e.resumed, "client")} resumed` : "", e.away > 0 ? `${plural(e.away, "client")} away` : "",
      e.letGo > 0 ? `${plural(e.letGo, "connection")} let go` : "",
    ].filter(Boolean).join(" · ");
  }
  const kind = e.kind.replaceAll("_", " ");
  const what = e.server_connection_id ? `${e.server_connection_id} via ${e.ingress}` : e.ingress ? `ingress ${e.ingress}` : "";
  return [`${kind[0].toUpperCase()}${kind.slice(1)}`, what, e.detail].filter(Boolean).join(" · ");
}

// connection says in the header how it stands with the relay.
function connection(kind, text) {
  byId("link").dataset.link = kind;
  say(byId("link-text"), text);
}

function banner(kind, title, text, next) {
  const b = byId("banner");
  b.dataset.kind = kind;
  say(byId("banner-title"), title);
  say(byId("banner-text"), text);
  const button = byId("retry");
  if (!next && button === document.activeElement) byId("main").focus();
  button.hidden = !next;
  say(byId("banner-next"), next ? `Next try in ${Math.max(1, Math.round(next))} s.` : "");
  b.hidden = false;
}

function noServer() {
  if (state.server_connections.length > 0) {
    if (byId("retry") === document.activeElement) byId("main").focus();
    byId("banner").hidden = true;
    return;
  }
  const clients = clientsOf(state);
  banner("empty", "No app server is attached.", clients > 0
    ? `${plural(clients, "client")} ${clients === 1 ? "waits" : "wait"} for one to come back; each is closed after the park time.`
    : "Clients are refused until one attaches.");
}

function fresh() {
  document.body.classList.remove("stale");
  for (const e of document.querySelectorAll(".as-of")) say(e, "");
}

// stale marks all that is shown as what it is: old.
function stale() {
  document.body.classList.add("stale");
  const text = state ? `Stale: as of ${time(state.time)}` : "";
  for (const e of document.querySelectorAll(".as-of")) say(e, text);
}

const retry = follow({
  update,
  trying: () => connection(state ? "trying" : "connecting", state ? "Trying to reach the relay" : "Connecting to the relay"),
  lost(why, next) {
    connection("lost", "No connection to the relay");
    stale();
    banner("lost", "The relay is away.", state ? `${why} What is shown is old.` : why, next);
  },
  refused(refusal, next) {
    const denied = refusal.status === 401 || refusal.status === 403;
    connection("lost", denied ? "Not allowed" : "Refused");
    stale();
    banner("lost", denied ? "The relay does not let this page in." : "The relay refuses.", refusal.message, next);
  },
});

byId("retry").addEventListener("click", retry);
confirm.setUp();
topology.setUp();
pauses.setUp();
lookup.setUp();
