/** What every page does: theme button, menus that close, questions before what cannot be undone, toasts that go away, local times.
    Keys are in keys.js. */

document.querySelector("[data-theme-toggle]")?.addEventListener("click", () => window.progeny.toggleTheme());

// Menus close on a click elsewhere and on Escape.
document.addEventListener("click", ({ target }) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(target)) menu.open = false;
});
document.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// <form data-confirm="Question?" data-confirm-yes="Delete run">: asks in a dialog, then submits.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.dataset.confirm || form.dataset.confirmed) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  const dialog = document.getElementById("ask");
  dialog.querySelector("p").textContent = form.dataset.confirm;
  dialog.querySelector("[value=yes]").textContent = form.dataset.confirmYes ?? "Yes";
  dialog.returnValue = "";
  dialog.showModal();
  dialog.onclose = () => {
    if (dialog.returnValue !== "yes") return;
    form.dataset.confirmed = "yes";
    form.requestSubmit(event.submitter);
    delete form.dataset.confirmed;
  };
}, { capture: true });

// A form is sent once: a second press of its button does nothing until the page answers or comes back.
document.addEventListener("submit", (event) => {
  const { target: form } = event;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// Toasts: the close button, and six seconds for good news; errors stay.
function settle(toast) {
  toast.querySelector("button").addEventListener("click", () => toast.remove());
  if (toast.dataset.tone !== "bad") setTimeout(() => toast.matches(":hover, :focus-within") || toast.remove(), 6000);
}
document.querySelectorAll(".toast").forEach(settle);

/** Show a message: tone is one of good, warn, bad, info. Other modules call `window.progeny.toast`. */
window.progeny.toast = (text, tone = "info") => {
  const toast = document.getElementById("toast").content.firstElementChild.cloneNode(true);
  toast.dataset.tone = tone;
  toast.querySelector("span").textContent = text;
  document.querySelector(".toasts").append(toast);
  settle(toast);
};

// A part that refreshes itself waits while one of its menus is open, something in it is ticked, or a question is asked.
document.addEventListener("htmx:beforeRequest", (event) => {
  const { target, requestConfig } = event.detail;
  const busy = document.querySelector("dialog[open]") || target.querySelector("details.menu[open], [data-tick]:checked");
  if (!requestConfig.triggeringEvent && busy) event.preventDefault();
});

// What refreshes itself says when it cannot, and leads to sign-in when the session has ended instead of swapping that page in.
const away = document.querySelector(".away");
document.addEventListener("htmx:sendError", () => { away.hidden = false; });
document.addEventListener("htmx:beforeSwap", (event) => {
  away.hidden = event.detail.xhr.status !== 503;
  if (new URL(event.detail.xhr.responseURL).pathname !== away.dataset.signIn) return;
  event.preventDefault();
  if (!event.detail.target.matches(".pills")) location.reload(); // for their sake nobody loses what is half written
});

// Times: written by the server in UTC, shown in the reader's zone, UTC as the title.
function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([title])")) {
    const at = new Date(time.dateTime);
    time.title = `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
    time.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  }
}
localise(document);
document.addEventListener("htmx:load", ({ target }) => localise(target.parentElement ?? document));
