/** New run: shows only what belongs to the chosen space, method, granularity and benchmarks. Settings of other methods are disabled, so they
 * are not sent; the server takes no notice of anything else that is hidden. */

const form = document.querySelector("[data-new-run]");

function follow() {
  const method = form.elements.method.value;
  const chosen = form.querySelector(`[data-method="${CSS.escape(method)}"]`);
  form.querySelector("[data-base]").disabled = chosen?.dataset.baseModel === "none";
  for (const settings of form.querySelectorAll("[data-settings-of]")) {
    settings.disabled = settings.hidden = settings.dataset.settingsOf !== method;
  }
  const shown = form.querySelector("[data-settings-of]:not([hidden])");
  form.querySelector("[data-settings]").hidden = !shown?.children.length;
  for (const field of form.querySelectorAll("[data-shown-for]")) field.hidden = !isChosen(field.dataset.shownFor);
  for (const field of form.querySelectorAll("[data-shown-with-several]")) {
    field.hidden = chosenOf(field.dataset.shownWithSeveral).length < 2 && !("wrong" in field.dataset);
  }
  form.querySelector("[data-swap]").disabled = !form.elements.model_b.value;
  form.querySelector("[data-public-test-notice]").hidden = !form.querySelector("[data-public-test] :checked");
}

/** The values of the buttons of this name that are on. */
const chosenOf = (name) => [...form.querySelectorAll(`[name="${CSS.escape(name)}"]:checked`)].map(({ value }) => value);

/** Whether one of the values after the name is on. */
function isChosen(words) {
  const [name, ...values] = words.split(" ");
  return chosenOf(name).some((value) => values.includes(value));
}

// Without this file the server swaps them, and sends the page anew.
form.querySelector("[data-swap]").addEventListener("click", (event) => {
  const { model_a: a, model_b: b } = form.elements;
  event.preventDefault();
  [a.value, b.value] = [b.value, a.value];
  b.dispatchEvent(new Event("change", { bubbles: true }));
});

// Before the summary asks the server, so that it sends what is shown.
form.addEventListener("change", follow, { capture: true });
follow();
