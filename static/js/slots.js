/** Looking at the map of slots over generations: pointing at a cell, tapping it or walking with the arrow keys says it in words. */

const STEPS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0], Home: [0, -Infinity], End: [0, Infinity] };

const mapOf = (element) => element.closest?.("[data-slots]");
const within = (number, n) => Math.min(Math.max(number, 0), n - 1);

function shape(map) {
  const rows = [...map.querySelectorAll("[data-slot]")];
  return { rows, sizes: map.dataset.sizes.split(" ") };
}

function show(map, row, generation) {
  const { rows, sizes } = shape(map);
  const at = 2 * (row * sizes.length + generation);
  const percent = parseInt(map.dataset.slots.slice(at, at + 2), 16);
  const cursor = map.querySelector(".cursor");
  const box = rows[row].getBBox();
  const width = box.width / sizes.length;
  cursor.setAttribute("x", box.x + generation * width);
  cursor.setAttribute("y", box.y + box.height / 2 - cursor.height.baseVal.value / 2);
  cursor.setAttribute("visibility", "visible");
  Object.assign(cursor.dataset, { row, generation });
  map.querySelector("[data-said]").textContent = `Generation ${generation}: ${percent} % of ${sizes[generation]} candidates pass ${rows[row].dataset.slot}`;
}

function hide(map) {
  map.querySelector(".cursor").setAttribute("visibility", "hidden");
  map.querySelector("[data-said]").textContent = "";
}

function point({ target, clientX }) {
  if (!target.matches?.("[data-slot]")) return;
  const map = mapOf(target);
  const { rows, sizes } = shape(map);
  const { left, width } = target.getBoundingClientRect();
  show(map, rows.indexOf(target), within(Math.floor(((clientX - left) / width) * sizes.length), sizes.length));
}

/** The cell comes into sight: sideways inside the picture, up and down by the page. */
function reveal(map) {
  map.querySelector(".cursor").scrollIntoView({ block: "nearest", inline: "nearest" });
}

// The part is replaced when a generation opens: the document listens for whatever stands in it.
document.addEventListener("pointermove", point);
document.addEventListener("click", point);
document.addEventListener("keydown", (event) => {
  const map = mapOf(event.target);
  if (!map || event.target.querySelector("table")) return;
  if (event.key === "Escape") return hide(map);
  const step = STEPS[event.key];
  if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const { rows, sizes } = shape(map);
  const { row, generation } = map.querySelector(".cursor").dataset;
  if (row === undefined) show(map, 0, sizes.length - 1);
  else show(map, within(Number(row) + step[0], rows.length), within(Number(generation) + step[1], sizes.length));
  reveal(map);
});
