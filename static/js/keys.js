/** Single keys, as the dialog #keys lists them. Never while somebody types, nor while a dialog is open. Where keys lead is in the page:
    [data-search] is searched, [data-go] are links of the rail, [data-row] are rows, [data-compare] in a row puts it on the list to compare. */

const CHORD_MS = 1200;
const OFF = "progeny.keys-off";
const TYPED = "input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable]";

const help = document.getElementById("keys");
let chord = 0;
let at = -1;

/** Whether somebody has switched single keys off on this device. */
export const areOff = () => localStorage.getItem(OFF) !== null;

const rows = () => [...document.querySelectorAll("[data-row]")].filter((row) => row.checkVisibility());
const current = () => document.activeElement?.closest("[data-row]") ?? null;

/** The row that has the keyboard, moved by so many; rows of a part that was replaced meanwhile count from where the old one stood. */
function move(by) {
  const all = rows();
  if (!all.length) return;
  const from = current() ? all.indexOf(current()) : at;
  at = Math.min(Math.max(from + by, 0), all.length - 1);
  all[at].tabIndex = -1;
  all[at].focus({ preventScroll: true });
  all[at].scrollIntoView({ block: "nearest" });
}

/** Presses what the selector finds, and says whether there was any. */
function press(selector, root = document) {
  const found = root?.querySelector(selector);
  found?.click();
  return Boolean(found);
}

const KEYS = {
  "/": () => document.querySelector("[data-search]")?.focus(),
  "?": () => help.showModal(),
  g: () => { chord = Date.now(); },
  j: () => move(1),
  k: () => move(-1),
  x: () => press("[data-compare]", current()),
  c: () => press("[data-tray]:not([hidden]) [data-tray-open]") || press("[data-go=c]"),
  Enter: () => press("a[href]", document.activeElement),
};

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (areOff() || target.closest?.(TYPED) || document.querySelector("dialog[open]")) return;
  const goes = Date.now() - chord < CHORD_MS && document.querySelector(`[data-go="${CSS.escape(key)}"]`);
  chord = 0;
  if (goes) goes.click();
  else if (key === "Enter" ? target.matches("[data-row]") : Object.hasOwn(KEYS, key)) KEYS[key]();
  else return;
  event.preventDefault();
});

const isOn = help.querySelector("[data-keys-on]");
isOn.checked = !areOff();
isOn.addEventListener("change", () => (isOn.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "yes")));
document.querySelector("[data-keys]").addEventListener("click", () => help.showModal());
