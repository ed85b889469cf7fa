// Compiled by the tests and never run: the types of the library are those that an application needs.
import { type Closure, type Connection, type ConnectionEvent, HoldfastError, connect } from "../holdfast.js";

async function application(): Promise<number> {
  const events: ConnectionEvent[] = [];
  const connection: Connection = await connect({
    addresses: ["wss://a.example.org", "wss://b.example.org"],
    application: "chat",
    token: async () => "jwt",
    onEvent: (event) => {
      events.push(event);
      if (event.type === "lost") console.error(event.error.reason, event.error.code);
      if (event.type === "reconnecting") console.warn(event.broken, event.delay.toFixed(0), event.attempt);
      if (event.type === "recovered") console.info(event.address, event.relay, event.ingress, event.interrupted.toFixed(0));
    },
    WebSocket,
    signal: new AbortController().signal,
    connectTime: 1000,
    network: window,
  });
  await connection.send("text");
  await connection.send(new Uint8Array([1, 2]));
  for await (const data of connection) {
    const size: number = typeof data === "string" ? data.length : data.byteLength;
    console.log(size);
  }
  const one: string | Uint8Array | undefined = await connection.receive();
  await connection.closeSend();
  const closure: Closure = await connection.close();
  if (closure.error instanceof HoldfastError) throw closure.error;
  connection.abort();
  connection.check();
  return connection.id.length + connection.relay.length + connection.ingress.length + connection.maxMessageBytes + (one?.length ?? 0) + Number(connection.connected);
}

async function refused(connection: Connection): Promise<void> {
  // @ts-expect-error addresses are needed
  await connect({ application: "chat" });
  // @ts-expect-error numbers are no messages
  await connection.send(1);
  // @ts-expect-error what the relay says is not to be changed
  connection.id = "";
  // @ts-expect-error a token is a string
  await connect({ addresses: [], token: () => 7 });
  const events = (event: ConnectionEvent) => {
    // @ts-expect-error not every event has an error
    return event.error;
  };
  await connect({ addresses: [], onEvent: events, onMessage: (data) => data.length });
}

void [application, refused];
