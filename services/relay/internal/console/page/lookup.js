// One connection, by its id.

import { byId, count, keyed, make, say, span } from "./dom.js";
import { get, post } from "./api.js";
import { confirm } from "./confirm.js";

const again = 2_000; // how often what is shown is asked for again, in ms

let shown = ""; // the id
let askedAt = 0;
let asking = false;
let state = null;

export function setUp() {
  byId("lookup").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  byId("move").addEventListener("click", move);
  byId("close").addEventListener("click", close);
}

// follow takes the newest state; what is shown is asked for again from time to time.
export function follow(newest, allowed) {
  state = newest;
  byId("found-actions").hidden = !allowed;
  if (shown && !document.hidden && performance.now() - askedAt > again) refresh();
}

async function submit() {
  const id = byId("lookup-id").value.trim().toLowerCase();
  if (!/^[0-9a-f]{16}$/.test(id)) {
    tell(id ? `"${id}" is no connection id. One has 16 hexadecimal digits, such as 00c0ffee00c0ffee.` : "Give the id of a connection.", true);
    byId("lookup-id").focus();
    return;
  }
  shown = id;
  byId("found").hidden = true;
  tell("Looking it up…");
  await refresh("Found.");
}

async function refresh(success) {
  if (asking && !success) return;
  const id = shown;
  asking = true;
  askedAt = performance.now();
  try {
    const { connections } = await get(`/api/connections?id=${id}`);
    if (id !== shown) return;
    if (connections.length === 0) {
      gone();
      return;
    }
    show(connections[0]);
    if (success) tell(success);
  } catch (error) {
    if (id === shown) failed(error);
  } finally {
    asking = false;
  }
}

function failed(error) {
  if (error.status === 0) return; // the banner says that the relay is away, and what is shown is marked as stale
  tell(error.message, true);
}

function gone() {
  byId("found").hidden = true;
  tell(`No connection ${shown} is known. It has ended, or is on another relay.`, true);
  shown = "";
}

function show(c) {
  const facts = [
    ["Connection", c.id],
    ["Application", c.application],
    ["State", c.state],
    ["Epoch", c.epoch],
    ["Client", c.away ? "resumable, away: its stream is gone" : c.resumable ? "resumable" : "plain"],
    ["Client came in via", `${c.client_ingress}, from ${c.client_address}`],
    ["Server connection", `${c.server_connection_id}, via ${c.server_ingress}`],
    ["App server", c.server_id],
    ["Connected", new Date(c.connected_at).toLocaleString("en-GB")],
    ["Messages", `${count(c.messages_received)} from the client, ${count(c.messages_sent)} to it`],
  ];
  keyed(byId("found-list"), facts, ([name]) => name, ([name]) => {
    const pair = make("div");
    pair.append(make("dt", "", name), make("dd"));
    return pair;
  }, (pair, [, value]) => say(pair.lastChild, value));
  byId("found").dataset.state = c.state;
  targets(c);
  byId("found").hidden = false;
}

// targets offers the other server connections of the connection's app server.
function targets(c) {
  const all = state?.server_connections ?? [];
  const current = all.find((s) => s.id === c.server_connection_id);
  const others = all.filter((s) => s.instance_id === current?.instance_id && s.id !== c.server_connection_id && !s.draining);
  const select = byId("move-target");
  const options = [{ id: "", text: "the least loaded other" }, ...others.map((s) => ({ id: s.id, text: `${s.id}, via ${s.ingress}` }))];
  keyed(select, options, (o) => o.id, () => make("option"), (option, o) => {
    if (option.value !== o.id || !option.hasAttribute("value")) option.value = o.id;
    say(option, o.text);
  });
}

async function move() {
  const id = shown;
  try {
    const r = await post("/api/move", { connection_id: id, target: byId("move-target").value });
    tell(`Moved to ${r.server_connection_id}; it paused for ${span(r.pause_us)}.`);
  } catch (error) {
    tell(error.message, true);
  }
  if (id === shown) await refresh();
}

async function close() {
  const id = shown;
  const yes = await confirm({
    title: "Close this connection?",
    text: `Its client and its app server are told that an operator closed ${id}. This cannot be undone.`,
    yes: "Close it", no: "Keep it",
  });
  if (!yes) return;
  try {
    await post("/api/close", { connection_id: id });
    tell("It is closing.");
  } catch (error) {
    tell(error.message, true);
  }
}

function tell(text, wrong = false) {
  const e = byId("lookup-says");
  say(e, text);
  e.classList.toggle("wrong", wrong);
}
