// A question before something that clients may feel.

import { byId, say } from "./dom.js";

// confirm asks and returns whether the answer is yes. Escape is no; the focus returns to where it was.
export function confirm({ title, text, yes, no }) {
  const dialog = byId("confirm");
  say(byId("confirm-title"), title);
  say(byId("confirm-text"), text);
  say(byId("confirm-yes"), yes);
  say(byId("confirm-no"), no);
  dialog.returnValue = "no";
  dialog.showModal();
  byId("confirm-no").focus(); // what does no harm is what a hasty Enter does
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

export function setUp() {
  byId("confirm-yes").addEventListener("click", () => byId("confirm").close("yes"));
  byId("confirm-no").addEventListener("click", () => byId("confirm").close("no"));
}
