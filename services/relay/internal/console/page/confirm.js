// A question before something that clients may feel.

import { byId, say } from "./dom.js";

let settle = null; // takes the answer to the question that is open

// confirm asks and returns whether the answer is yes. Escape is no; the focus returns to where it was.
export function confirm({ title, text, yes, no }) {
  answer(false);
  say(byId("confirm-title"), title);
  say(byId("confirm-text"), text);
  say(byId("confirm-yes"), yes);
  say(byId("confirm-no"), no);
  byId("confirm").showModal();
  byId("confirm-no").focus(); // what does no harm is what a hasty Enter does
  return new Promise((resolve) => (settle = resolve));
}

function answer(yes) {
  const waiting = settle;
  settle = null;
  byId("confirm").close();
  waiting?.(yes);
}

export function setUp() {
  byId("confirm-yes").addEventListener("click", () => answer(true));
  byId("confirm-no").addEventListener("click", () => answer(false));
  // The event may come late, when the next question is open already; that one is not answered by it.
  byId("confirm").addEventListener("close", () => byId("confirm").open || answer(false));
}
