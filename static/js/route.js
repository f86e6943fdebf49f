/** Looking along a route: pointing at a hop, tapping it or walking with the arrow keys says it in words below the picture. */

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };

const routeOf = (element) => element.closest?.("[data-route]");
const hops = (route) => [...route.querySelectorAll("[data-hop]")];

function show(route, hop) {
  for (const other of route.querySelectorAll(".hop.current")) other.classList.remove("current");
  hop?.classList.add("current");
  route.querySelector("[data-said]").textContent = hop?.dataset.words ?? "";
}

/** The whole column of the hop comes into sight, without moving the page. */
function reveal(route, hop) {
  const box = route.querySelector(".scroll");
  const [seen, wanted] = [box.getBoundingClientRect(), hop.getBoundingClientRect()];
  if (wanted.left < seen.left) box.scrollBy({ left: wanted.left - seen.left });
  if (wanted.right > seen.right) box.scrollBy({ left: wanted.right - seen.right });
}

// Parts of a live page are replaced: the document listens for whatever stands in it.
document.addEventListener("pointerover", ({ target }) => {
  const hop = target.closest?.("[data-hop]");
  if (hop) show(routeOf(hop), hop);
});
document.addEventListener("click", ({ target }) => {
  const hop = target.closest?.("[data-hop]");
  if (hop) show(routeOf(hop), hop);
});
document.addEventListener("keydown", (event) => {
  const route = routeOf(event.target);
  if (!route || !event.target.matches(".scroll") || event.target.querySelector("table")) return;
  const step = STEPS[event.key];
  if (step === undefined && event.key !== "Escape") return;
  event.preventDefault();
  if (step === undefined) return show(route, null);
  const all = hops(route);
  const at = all.findIndex((hop) => hop.classList.contains("current"));
  const next = all[at < 0 && Number.isFinite(step) ? 0 : Math.min(Math.max(at + step, 0), all.length - 1)];
  show(route, next);
  reveal(route, next);
});
