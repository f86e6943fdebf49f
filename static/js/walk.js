/** Looking along a picture whose marks stand in a row: pointing at one, tapping it or walking with the arrow keys says it in words below.
    The picture is in a [data-walk], its marks have [data-words], and [data-said] is where these go. Pictures in one [data-together] are
    scrolled together. */

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };

const pictureOf = (element) => element.closest?.("[data-walk]");

function show(picture, mark) {
  for (const other of picture.querySelectorAll(".current")) other.classList.remove("current");
  mark?.classList.add("current");
  picture.querySelector("[data-said]").textContent = mark?.dataset.words ?? "";
}

function point({ target }) {
  const mark = target.closest?.("[data-words]");
  if (mark) show(pictureOf(mark), mark);
}

/** The whole column of the mark comes into sight, without moving the page. */
function reveal(box, mark) {
  const [seen, wanted] = [box.getBoundingClientRect(), mark.getBoundingClientRect()];
  if (wanted.left < seen.left) box.scrollBy({ left: wanted.left - seen.left });
  if (wanted.right > seen.right) box.scrollBy({ left: wanted.right - seen.right });
}

// Parts of a live page are replaced: the document listens for whatever stands in it.
document.addEventListener("pointerover", point);
document.addEventListener("scroll", ({ target }) => {
  if (!target.matches?.("[data-together] .scroll:has(svg)")) return;
  for (const box of target.closest("[data-together]").querySelectorAll(".scroll:has(svg)")) box.scrollLeft = target.scrollLeft;
}, true);
document.addEventListener("click", point);
document.addEventListener("keydown", (event) => {
  const picture = pictureOf(event.target);
  if (!picture || event.altKey || event.ctrlKey || event.metaKey || !event.target.matches(".scroll:has(svg)")) return;
  const step = STEPS[event.key];
  if (step === undefined && event.key !== "Escape") return;
  event.preventDefault();
  if (step === undefined) return show(picture, null);
  const marks = [...picture.querySelectorAll("[data-words]")];
  const at = marks.findIndex((mark) => mark.classList.contains("current"));
  const next = marks[at < 0 && Number.isFinite(step) ? 0 : Math.min(Math.max(at + step, 0), marks.length - 1)];
  show(picture, next);
  reveal(event.target, next);
});
