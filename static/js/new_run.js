/** New run: shows only what belongs to the chosen method and granularity. What is hidden is disabled, so it is not sent. */

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
  for (const field of form.querySelectorAll("[data-shown-for]")) {
    const [name, ...values] = field.dataset.shownFor.split(" ");
    field.hidden = !values.includes(form.elements[name].value);
  }
}

// Before the summary asks the server, so that it sends what is shown.
form.addEventListener("change", follow, { capture: true });
follow();
