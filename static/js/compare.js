/** Reading answers side by side: `n` goes to the next question on which the models disagree, `p` to the one before, over pages too; unless single
    keys are off (keys.js). */

import { areOff } from "./keys.js";

const questions = document.querySelector("[data-questions]");

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (!questions || !["n", "p"].includes(key) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (areOff() || target.closest("input, select, textarea, dialog")) return;
  event.preventDefault();
  go(key === "n" ? 1 : -1);
});

function go(step) {
  const all = [...questions.querySelectorAll("[data-differs]")];
  const next = step > 0 ? all.find(isAfter) : all.findLast(isBefore);
  if (next) {
    next.focus({ preventScroll: true });
    return next.scrollIntoView({ block: "center" });
  }
  const page = questions.querySelector(step > 0 ? "[data-next]" : "[data-previous]");
  if (page) {
    sessionStorage.setItem("progeny.disagreement", step > 0 ? "first" : "last");
    return page.click();
  }
  window.progeny.toast(step > 0 ? "This was the last disagreement." : "This was the first disagreement.");
}

const current = () => questions.querySelector("[data-differs]:focus");
const isAfter = (question) => !current() || current().compareDocumentPosition(question) & Node.DOCUMENT_POSITION_FOLLOWING;
const isBefore = (question) => current() && current().compareDocumentPosition(question) & Node.DOCUMENT_POSITION_PRECEDING;

// The page was opened by such a key: it goes on where it was, once the browser is done with the address's fragment, which takes the focus.
const from = questions && sessionStorage.getItem("progeny.disagreement");
if (from) {
  sessionStorage.removeItem("progeny.disagreement");
  addEventListener("load", () => setTimeout(() => arrive(from === "first")));
}

function arrive(isFirst) {
  const all = [...questions.querySelectorAll("[data-differs]")];
  const found = isFirst ? all[0] : all.at(-1);
  if (found) found.focus();
  else go(isFirst ? 1 : -1);
}
