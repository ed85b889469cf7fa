// What the page asks of the relay.

// Refusal is an answer of the relay that is no success.
export class Refusal extends Error {
  constructor(status, reason, message) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

async function refusal(response) {
  let reason = "";
  let message = "";
  try {
    const body = await response.json();
    ({ reason = "", message = "" } = body.error ?? {});
  } catch {
    // What stands in front of the relay may answer with anything.
  }
  return new Refusal(response.status, reason, message || words(response.status));
}

function words(status) {
  switch (status) {
    case 401:
      return "The relay wants to know who you are.";
    case 403:
      return "You are not allowed to do this.";
    default:
      return `The relay answered with status ${status}.`;
  }
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", ...options });
  } catch {
    throw new Refusal(0, "NO_ANSWER", "The relay does not answer.");
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

export async function get(path) {
  return (await ask(path, { signal: AbortSignal.timeout(10_000) })).json();
}

export async function post(path, body) {
  const response = await ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return response.json();
}

const silence = 7_000; // the relay says something every 2 seconds
const firstWait = 500;
const longestWait = 10_000;
const refusedWait = 30_000;

// follow keeps a stream of updates open, for as long as the page lives. It tells
//   update(u)                 an update came
//   lost(why, seconds)        there is no stream; the next try is in so many seconds
//   refused(refusal, seconds) the relay does not let us; likewise
//   trying()                  a try begins
// and returns a function that tries at once.
export function follow(tell) {
  let wake = () => {};
  const wait = (ms) =>
    new Promise((done) => {
      const timer = setTimeout(done, ms);
      wake = () => {
        clearTimeout(timer);
        done();
      };
    });
  (async () => {
    for (let failures = 0; ; failures++) {
      tell.trying();
      let why = "The stream of updates ended.";
      let refused = null;
      try {
        await once((kind, value) => {
          failures = -1;
          if (kind === "update") tell.update(value);
          if (kind === "bye") why = "The relay is shutting down.";
        });
      } catch (error) {
        if (error instanceof Refusal && error.status !== 0) refused = error;
        else why = error.message;
      }
      const denied = refused && (refused.status === 401 || refused.status === 403);
      const most = denied ? refusedWait : Math.min(longestWait, firstWait * 2 ** Math.min(Math.max(failures, 0), 10));
      const ms = most * (0.5 + Math.random() / 2); // pages must not come back all at once
      if (refused) tell.refused(refused, ms / 1000);
      else tell.lost(why, ms / 1000);
      await wait(ms);
    }
  })();
  return () => wake();
}

// once opens one stream and hands on what comes until it ends.
async function once(take) {
  const over = new AbortController();
  let silent = false;
  const tooLong = () => {
    silent = true;
    over.abort();
  };
  let timer = setTimeout(tooLong, silence);
  try {
    const response = await ask("/api/stream", { headers: { Accept: "text/event-stream" }, signal: over.signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(tooLong, silence);
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) dispatch(part, take);
    }
  } catch (error) {
    if (error instanceof Refusal && error.status !== 0) throw error;
    throw new Error(silent ? "The relay has said nothing for 7 seconds." : "The relay does not answer.");
  } finally {
    clearTimeout(timer);
    over.abort();
  }
}

function dispatch(part, take) {
  let kind = "";
  let data = "";
  for (const line of part.split("\n")) {
    if (line.startsWith("event: ")) kind = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  if (data) take(kind, JSON.parse(data));
}
