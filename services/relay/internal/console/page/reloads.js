// The ingresses, one card each: in service, or the reload as it happens.

import { announce, byId, count, keyed, make, plural, say, until } from "./dom.js";
import { post } from "./api.js";
import { confirm } from "./confirm.js";

const reasons = {
  client_through_ingress: "came in through this ingress themselves",
  no_other_server_connection: "whose app server has no other server connection",
  target_draining: "for which every other server connection is draining",
  in_handoff: "in a handoff",
  opening: "not confirmed by the app server yet",
  target_suspect: "for which no other server connection answers",
};

const told = new Map(); // what was announced of each reload

export function show(state, allowed) {
  byId("no-ingress").hidden = state.ingresses.length > 0;
  const reloads = new Map(state.reloads.map((r) => [r.ingress, r]));
  keyed(
    byId("ingresses"), state.ingresses, (i) => i.name, create,
    (card, ingress) => update(card, ingress, reloads.get(ingress.name), state, allowed),
  );
  for (const name of told.keys()) if (!reloads.has(name)) told.delete(name);
}

function create(ingress) {
  const card = make("li", "card");
  card.tabIndex = -1;
  const head = card.appendChild(make("div", "card-head"));
  head.append(make("h3", "", ingress.name), make("span", "chip state"));
  card.append(make("p", "counts"));
  const progress = card.appendChild(make("div", "progress"));
  const bar = progress.appendChild(make("progress"));
  bar.setAttribute("aria-label", `Reload of ingress ${ingress.name}`);
  progress.append(make("p", "verdict"), make("ul", "left"), make("p", "muted returns"));
  const actions = card.appendChild(make("div", "row actions"));
  const button = (action, text, className, run) => {
    const b = actions.appendChild(make("button", className, text));
    b.type = "button";
    b.dataset.action = action;
    b.setAttribute("aria-label", `${text.replace("…", "")} ${action === "reload" ? "ingress" : "of ingress"} ${ingress.name}`);
    b.addEventListener("click", () => run(card, ingress.name));
  };
  button("reload", "Reload…", "quiet", reload);
  button("complete", "Complete the reload", "", (c, name) => act(c, "/api/reload/complete", { ingress: name }, `Ingress ${name} is in service.`));
  button("cancel", "Cancel the reload", "quiet", (c, name) => act(c, "/api/reload/cancel", { ingress: name }, `The reload of ingress ${name} is cancelled.`));
  card.append(make("p", "problem"));
  card.lastChild.setAttribute("role", "status");
  return card;
}

function update(card, ingress, reload, state, allowed) {
  const part = (selector) => card.querySelector(selector);
  card.ingress = ingress;
  const status = !ingress.draining ? "in service" : !reload?.done ? "moving connections off" : reload.safe ? "safe to reload" : "not safe to reload";
  card.dataset.status = !ingress.draining ? "service" : !reload?.done ? "moving" : reload.safe ? "safe" : "unsafe";
  say(part(".state"), status);
  say(part(".counts"), [
    plural(ingress.client_connections, "client") + (ingress.clients_away > 0 ? `, ${count(ingress.clients_away)} away` : ""), plural(ingress.server_connections, "server connection"),
    plural(ingress.logical_connections, "logical connection") + " over them",
  ].join(" · "));
  part(".progress").hidden = !reload;
  if (reload) progress(part, reload, state.time);
  part(".actions").hidden = !allowed;
  offer(card, ingress.draining ? ["complete", "cancel"] : ["reload"]);
  tell(ingress.name, reload);
}

function progress(part, r, now) {
  const bar = part("progress");
  bar.max = Math.max(1, r.planned);
  bar.value = r.planned === 0 && r.done ? 1 : r.moved;
  say(part(".verdict"), verdict(r));
  keyed(
    part(".left"), r.left.filter((l) => l.connections > 0), (l) => l.reason, () => make("li"),
    (item, l) => say(item, `${count(l.connections)} ${reasons[l.reason] ?? l.reason.replaceAll("_", " ")}`),
  );
  say(part(".returns"), r.returns_at ? `Returns to service by itself in ${until(r.returns_at, now)}.` : "");
}

function verdict(r) {
  const moved = r.planned > 0 ? `${count(r.moved)} of ${count(r.planned)} moved` : "Nothing to move";
  const closed = r.closed > 0 ? `, ${count(r.closed)} ended by themselves` : "";
  const clients = r.clients_asked > 0 ? ` Of the clients that were asked, ${count(r.clients_moved)} of ${count(r.clients_asked)} moved.` : "";
  const took = r.done ? ` in ${(r.elapsed_ms / 1000).toFixed(1)} s` : "";
  const left = r.left.reduce((n, l) => n + l.connections, 0);
  return `${moved}${closed}${took}.${clients} ${left > 0 ? `Left on it: ${count(left)}.` : r.done ? "Nothing is left on it." : ""}`.trim();
}

// tell announces the beginning, each quarter and the end.
function tell(name, r) {
  if (!r) return;
  const quarter = r.planned > 0 ? Math.floor((4 * r.moved) / r.planned) : 0;
  const step = r.done ? (r.safe ? "safe" : "unsafe") : String(quarter);
  if (told.get(name) === step) return;
  told.set(name, step);
  const end = { safe: " It is safe to reload.", unsafe: " It is not safe to reload." }[step] ?? "";
  announce(`Reload of ingress ${name}: ${verdict(r)}${end}`);
}

// offer shows the buttons of the actions. A focus on one that goes away passes on to the card: were it on another button, a
// second press of the key would do what nobody asked for.
function offer(card, actions) {
  let lost = false;
  for (const b of card.querySelectorAll("button[data-action]")) {
    const wanted = actions.includes(b.dataset.action);
    if (!wanted && b === document.activeElement) lost = true;
    b.hidden = !wanted;
  }
  if (lost) card.focus();
}

async function reload(card, name) {
  const i = card.ingress;
  const yes = await confirm({
    title: `Reload ingress ${name}?`,
    text: `It goes out of service. The ${plural(i.logical_connections, "logical connection")} over its server connections move to ` +
      `others, but for those of clients that came in through it themselves (${plural(i.client_connections, "client")} did): the resumable ` +
      "ones are asked to come another way, the others stay until the ingress cuts them. Reload the ingress when it is safe, and " +
      "complete the reload here after that.",
    yes: "Take it out of service", no: "Leave it in service",
  });
  if (yes) await act(card, "/api/reload", { ingress: name }, "");
}

async function act(card, path, body, success) {
  const problem = card.querySelector(".problem");
  say(problem, "");
  try {
    await post(path, body);
    if (success) announce(success);
  } catch (error) {
    say(problem, error.message);
  }
}
