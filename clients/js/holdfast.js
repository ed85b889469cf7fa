// The client library of Holdfast: resumable connections over WebSocket.
import { Connection } from "./connection.js";

export { HoldfastError } from "./reasons.js";

// connect returns a connection once it is open. Options are in holdfast.d.ts.
export async function connect(options) {
  const { addresses, token, onMessage, onEvent } = options;
  if (!Array.isArray(addresses) || addresses.length === 0) throw new TypeError("no addresses; give at least one, such as wss://example.org");
  for (const address of addresses) check(address);
  for (const [name, f] of Object.entries({ token, onMessage, onEvent })) {
    if (f !== undefined && typeof f !== "function") throw new TypeError(`${name} is a ${typeof f}; a function is wanted`);
  }
  const { connectTime = 30_000 } = options;
  if (!(connectTime >= 0)) throw new TypeError(`connectTime ${connectTime} is not allowed; 0 and more is`);
  const WebSocket = options.WebSocket ?? globalThis.WebSocket;
  if (WebSocket === undefined) throw new TypeError("there is no WebSocket here; give one");
  const network = typeof globalThis.addEventListener === "function" ? globalThis : undefined;
  return new Connection({
    application: "", clock, random: Math.random, network, ...options, addresses: [...addresses], connectTime, WebSocket,
  }).begin();
}

const clock = {
  now: () => Date.now(),
  setTimeout: (f, ms) => setTimeout(f, ms),
  clearTimeout: (timer) => clearTimeout(timer),
};

function check(address) {
  let url;
  try {
    url = new URL(address);
  } catch {
    throw new TypeError(`address ${address} is no URL; one such as wss://example.org is`);
  }
  if (url.protocol !== "ws:" && url.protocol !== "wss:") throw new TypeError(`address ${address} is not allowed; ws:// and wss:// are`);
  if (url.hash !== "") throw new TypeError(`address ${address} has a fragment, which a WebSocket does not take`);
}
