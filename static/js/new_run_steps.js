/** New run, step by step: the address names the step that is shown; a phone folds what is for experts, too, and shows the summary with the
 * review. A link to a field opens whatever it lies in. Without this file all steps stand below each other, and the same links lead to them. */

const form = document.querySelector("[data-new-run]");
const parts = [...document.querySelectorAll("[data-step]")];
const nav = () => document.querySelector(".steps");
const phone = matchMedia("(max-width: 48rem)");
const FIRST = "goal";
let current = "";

/** The element that the address names, as far as it belongs to a step. */
function named() {
  const found = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  return found?.closest("[data-step]") ? found : null;
}

function mark() {
  for (const link of document.querySelectorAll("[data-step-link]")) {
    if (link.dataset.stepLink === current) link.setAttribute("aria-current", "step");
    else link.removeAttribute("aria-current");
  }
}

function show(name) {
  current = name;
  for (const part of parts) part.hidden = part.dataset.step !== name && (phone.matches || !part.matches("aside"));
  mark();
}

/** Where nobody says where to go: what an answer complains of, else the beginning. */
function beginning() {
  const wrong = "answer" in form.dataset && document.querySelector("[data-step-link][data-state=wrong]");
  return wrong ? wrong.dataset.stepLink : FIRST;
}

/** Go where the address leads: its step is shown, folds open, and the keyboard goes on from there. */
function follow() {
  const goal = named();
  show(goal?.closest("[data-step]").dataset.step ?? (current || beginning()));
  if (!goal) return;
  for (let fold = goal.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  if (goal.id === "import") goal.querySelector("details").open = true;
  const isStep = goal.matches("[data-step]");
  if (!isStep || goal.getBoundingClientRect().top < nav().getBoundingClientRect().bottom) goal.scrollIntoView({ block: "start" });
  const first = isStep ? goal.querySelector(":not([hidden]) > [tabindex='-1']") : goal.querySelector("input, select, textarea");
  first?.focus({ preventScroll: true });
}

function fold() {
  for (const details of document.querySelectorAll("[data-expert]")) details.open = !phone.matches;
  for (const error of form.querySelectorAll("details .error")) error.closest("details").open = true;
  show(current || beginning());
}

// Enter in a field goes on to the next step; from the review, and without this file, it launches.
form.addEventListener("submit", (event) => {
  const next = document.querySelector("[data-step-link][aria-current] + [data-step-link]");
  if (!event.submitter?.matches("[data-enter]") || !next) return;
  event.preventDefault();
  location.hash = next.dataset.stepLink;
});

document.addEventListener("htmx:oobAfterSwap", mark);
addEventListener("hashchange", follow);
phone.addEventListener("change", fold);
document.documentElement.dataset.stepping = "";
fold();
follow();
