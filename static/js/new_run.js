/** New run: shows only what belongs to the chosen space, method, granularity and benchmarks. Settings of other methods are disabled, so they
 * are not sent; the server takes no notice of anything else that is hidden. The summary asks for the recipe's file while that is unfolded, and
 * is asked for anew when a candidate was tried. */

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
  for (const said of form.querySelectorAll("[data-chosen]")) said.textContent = titleOf(said.dataset.chosen);
  form.querySelector("[data-swap]").disabled = !form.elements.model_b.value;
  form.querySelector("[data-public-test-notice]").hidden = !form.querySelector("[data-public-test] :checked");
}

/** The values of the buttons of this name that are on. */
const chosenOf = (name) => [...form.querySelectorAll(`[name="${CSS.escape(name)}"]:checked`)].map(({ value }) => value);

/** What the chosen button of this name says, to follow a heading. */
function titleOf(name) {
  const chosen = form.querySelector(`[name="${CSS.escape(name)}"]:checked`);
  return chosen ? `: ${chosen.closest("label").querySelector("strong").textContent}` : "";
}

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

const refresh = () => window.htmx.trigger("#summary", "refresh");
document.querySelector("[data-yaml]").addEventListener("toggle", ({ target }) => {
  document.getElementById("yaml-wanted").disabled = !target.open;
  if (target.open) refresh();
});
document.getElementById("trial").addEventListener("htmx:load", ({ target }) => { if (target.matches("[data-trial=done]")) refresh(); });
