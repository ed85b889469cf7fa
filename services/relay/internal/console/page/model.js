// From the state of the relay to what is drawn of it: a bounded number of nodes, whatever the number of connections.

const maxLeft = 12;
const maxRight = 24;

const byName = new Intl.Collator("en", { numeric: true }).compare;

// model returns the ingresses that clients came in through, the rows of server connections, and the blocks of app servers
// beside them. A row has one server connection, or one ingress of an application when there are too many.
export function model(state) {
  const rows = serverRows(state.server_connections);
  return { total: clientsOf(state), left: clientRows(state.ingresses), rows, apps: blocks(rows) };
}

export const clientsOf = (state) => state.ingresses.reduce((n, i) => n + i.client_connections, 0);
export const awayOf = (state) => state.ingresses.reduce((n, i) => n + i.clients_away, 0);
export const carriedBy = (state) => state.server_connections.reduce((n, s) => n + s.logical_connections, 0);
export const processesOf = (state) => new Set(state.server_connections.map((s) => s.instance_id)).size;

function clientRows(ingresses) {
  const row = (i) => ({
    key: i.name, name: i.name, count: i.client_connections, draining: i.draining,
    note: i.draining ? "reloading" : "",
  });
  if (ingresses.length <= maxLeft) return ingresses.map(row).sort((a, b) => byName(a.key, b.key));
  const sorted = [...ingresses].sort((a, b) => b.client_connections - a.client_connections);
  return [...sorted.slice(0, maxLeft - 1).map(row), rest(sorted.slice(maxLeft - 1), (i) => i.client_connections)];
}

function rest(items, countOf) {
  return {
    key: "…", name: `${items.length} more`, draining: items.some((i) => i.draining), note: "",
    count: items.reduce((n, i) => n + countOf(i), 0), ids: items.flatMap((i) => i.ids ?? []),
  };
}

function serverRows(connections) {
  const one = (s) => ({
    key: s.id, ids: [s.id], name: s.id, note: `via ${s.ingress}`, count: s.logical_connections, draining: s.draining,
    app: s.instance_id, appName: s.server_id, application: s.application, ingress: s.ingress,
  });
  const order = (a, b) =>
    byName(a.application, b.application) || byName(a.appName, b.appName) || byName(a.app, b.app) ||
    byName(a.ingress, b.ingress) || byName(a.key, b.key);
  if (connections.length <= maxRight) return connections.map(one).sort(order);

  const groups = new Map();
  for (const s of connections) {
    const key = `${s.application}\n${s.ingress}`;
    const g = groups.get(key) ?? {
      key, ids: [], count: 0, draining: true, app: s.application, appName: s.application, application: s.application,
      ingress: s.ingress, servers: new Set(),
    };
    g.ids.push(s.id);
    g.servers.add(s.instance_id);
    g.count += s.logical_connections;
    g.draining = g.draining && s.draining;
    groups.set(key, g);
  }
  const all = [...groups.values()].map((g) => ({ ...g, name: `via ${g.ingress}`, note: `over ${g.ids.length}` })).sort(order);
  if (all.length <= maxRight) return all;
  const sorted = [...all].sort((a, b) => b.count - a.count);
  const others = sorted.slice(maxRight - 1);
  const last = {
    ...rest(others, (g) => g.count), app: "…", appName: "other", application: "", ingress: "",
    servers: new Set(others.flatMap((g) => [...g.servers])),
  };
  return [...sorted.slice(0, maxRight - 1).sort(order), last];
}

// blocks returns the app servers, each with the rows that it stands beside.
function blocks(rows) {
  const all = [];
  rows.forEach((row, i) => {
    let block = all.at(-1);
    if (!block || block.key !== row.app) {
      block = { key: row.app, name: row.appName, note: row.application, first: i, last: i, count: 0, servers: new Set() };
      all.push(block);
    }
    block.last = i;
    block.count += row.count;
    for (const server of row.servers ?? []) block.servers.add(server);
  });
  for (const block of all) if (block.servers.size > 0) block.note = `${block.servers.size} app servers`;
  return all;
}
