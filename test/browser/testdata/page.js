// Sends numbered messages to an application that echoes, for as long as the test wants, and checks each that comes back.
import { connect } from "/client/holdfast.js";

const seen = { ready: true, sent: 0, received: 0, faults: [], events: [], ended: null };
window.seen = seen;

let connection;
let sending;
let stopping = false;

window.begin = async (addresses) => {
  connection = await connect({ addresses, application: "echo", onEvent: (e) => seen.events.push(said(e)) });
  sending = send();
  receive();
};

// said is what the test is told of an event.
const said = ({ type, broken = false, relay = "", ingress = "", error }) => ({
  type, broken, relay, ingress, error: error === undefined ? "" : error.message,
});

const message = (n) => `${n} ${"x".repeat((n * 37) % 300)}`;

async function send() {
  while (!stopping) {
    await connection.send(message(seen.sent));
    seen.sent++;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function receive() {
  try {
    for await (const data of connection) {
      if (data !== message(seen.received)) seen.faults.push(`message ${seen.received} is ${data.slice(0, 20)}`);
      seen.received++;
    }
  } catch (error) {
    seen.faults.push(`the iteration threw ${error.message}`);
  }
}

// where says what carries the connection at the moment.
window.where = () => ({ relay: connection.relay, ingress: connection.ingress, connected: connection.connected });

window.finish = async () => {
  stopping = true;
  await sending;
};

window.leave = async () => {
  const { reason, error } = await connection.close();
  seen.ended = { reason, error: error?.message ?? "" };
};
