/** New run, step by step: the address names the step. A phone shows one step at a time with what is for experts folded; a wide page shows all
 * of them, and the address follows the scrolling. A link to a field opens whatever it lies in. */

const parts = [...document.querySelectorAll("[data-step]")];
const phone = matchMedia("(max-width: 48rem)");
const SETTLING = 400; // milliseconds in which the page follows the address, and the address not the page
let current = "";
let followed = 0;

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
  for (const part of parts) part.hidden = phone.matches && part.dataset.step !== name;
  mark();
}

/** Go where the address leads: its step is shown, folds open, and the keyboard goes on from there. */
function follow() {
  const goal = named();
  show(goal?.closest("[data-step]").dataset.step ?? (current || "goal"));
  if (!goal) return;
  for (let fold = goal.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  if (goal.id === "import") goal.querySelector("details").open = true;
  followed = Date.now();
  goal.scrollIntoView({ block: "start" });
  const first = goal.matches("[data-step]") ? goal.querySelector("[tabindex='-1']") : goal.querySelector("input, select, textarea");
  first?.focus({ preventScroll: true });
}

function fold() {
  for (const details of document.querySelectorAll("[data-expert]")) details.open = !phone.matches || !!details.querySelector(".error");
  show(current || "goal");
}

// On a wide page the step is the one at the top of what is seen.
const seen = new IntersectionObserver((entries) => {
  const entered = entries.filter((entry) => entry.isIntersecting).at(-1);
  if (phone.matches || Date.now() - followed < SETTLING || !entered || entered.target.dataset.step === current) return;
  show(entered.target.dataset.step);
  history.replaceState(null, "", `#${current}`);
}, { rootMargin: "-20% 0px -75% 0px" });
for (const part of parts) if (!part.matches("aside") && part.id !== "import") seen.observe(part);

document.addEventListener("htmx:oobAfterSwap", mark);
addEventListener("hashchange", follow);
phone.addEventListener("change", fold);
fold();
follow();
