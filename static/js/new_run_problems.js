/** New run: what the server finds wrong with a field is said below the field, too, once somebody has changed it, as long as it is wrong. */

const form = document.querySelector("[data-new-run]");
const summary = document.getElementById("summary");
const placeOf = (element) => element.closest("[id^='field-']");
const changed = new Set([...form.querySelectorAll(".error")].map(placeOf)); // what an answer complains of may be mended, too

form.addEventListener("input", ({ target }) => changed.add(placeOf(target)));
summary.addEventListener("htmx:afterSettle", ({ target }) => {
  if (target !== summary) return;
  for (const place of changed) if (place) say(place, found(place));
});

/** The sentences of the summary about the field in this place. */
const found = ({ id }) => [...summary.querySelectorAll(`[data-about="${CSS.escape(id)}"]`)].map(({ textContent }) => textContent);

function say(place, sentences) {
  const said = [...place.querySelectorAll(".error")].filter((error) => placeOf(error) === place);
  if (sentences.join() === said.map(({ textContent }) => textContent).join()) return;
  said.forEach((error) => error.remove());
  const errors = sentences.map((text, i) => Object.assign(document.createElement("p"), { className: "error", id: `${place.id}-wrong-${i}`, textContent: text }));
  const control = place.matches("fieldset") ? place : place.querySelector("input, select, textarea");
  control.after(...(control === place ? [] : errors));
  if (control === place) place.append(...errors);
  describe(control, said.map(({ id }) => id), errors.map(({ id }) => id));
  if (control !== place) control.setAttribute("aria-invalid", errors.length > 0);
  place.querySelector("[data-invalid]")?.setAttribute("data-invalid", errors.length > 0);
}

function describe(control, gone, come) {
  const ids = (control.getAttribute("aria-describedby") ?? "").split(" ").filter((id) => id && !gone.includes(id));
  control.setAttribute("aria-describedby", [...ids, ...come].join(" "));
}
