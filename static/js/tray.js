/** What somebody has chosen to compare (templates/analysis/_tray.html): kept on this device, for this person, over pages and visits.

    `[data-compare="<id>"][data-name]` is a button or a checkbox that puts a candidate in, or takes it out. */

const MOST = 6;
const tray = document.querySelector("[data-tray]");
const key = `progeny.compare.${tray.dataset.tray}`;
const list = tray.querySelector("ul");
const said = tray.querySelector("[data-tray-said]");

/** `[{id, name}, …]`; nothing, where what is stored cannot be read. */
function read() {
  try {
    const found = JSON.parse(localStorage.getItem(key) ?? "[]");
    return Array.isArray(found) ? found.filter(({ id, name }) => /^\d+$/.test(id) && typeof name === "string").slice(0, MOST) : [];
  } catch {
    return [];
  }
}

function write(chosen) {
  localStorage.setItem(key, JSON.stringify(chosen));
  show();
}

/** In, or out again. */
function toggle({ compare: id, name }) {
  const chosen = read();
  const rest = chosen.filter((one) => one.id !== id);
  if (rest.length < chosen.length) {
    write(rest);
    said.textContent = `${name} is left out.`;
  } else if (chosen.length < MOST) {
    write([...chosen, { id, name }]);
    said.textContent = `${name} is chosen, ${chosen.length + 1} in all.`;
  } else {
    show();
    window.progeny.toast(`${MOST} are chosen already: take one out first.`, "warn");
  }
}

function show() {
  const chosen = read();
  tray.hidden = !chosen.length;
  list.replaceChildren(...chosen.map(item));
  const link = tray.querySelector("[data-tray-open]");
  const words = new URLSearchParams(chosen.map(({ id }) => ["c", id]));
  link.href = `${tray.dataset.address}?${words}`;
  link.querySelector("span").textContent = chosen.length > 1 ? `Compare ${chosen.length}` : "Compare";
  mark();
}

function item({ id, name }) {
  const made = tray.querySelector("template").content.firstElementChild.cloneNode(true);
  const [text, out] = made.children;
  text.textContent = text.title = name;
  out.ariaLabel = `Leave out ${name}`;
  out.addEventListener("click", () => {
    toggle({ compare: id, name });
    (list.querySelector("button") ?? document.querySelector(`[data-compare="${id}"]`))?.focus();
  });
  return made;
}

/** Buttons say whether theirs is chosen. */
function mark() {
  const chosen = new Set(read().map(({ id }) => id));
  for (const button of document.querySelectorAll("[data-compare]")) {
    const isIn = chosen.has(button.dataset.compare);
    if (button.type === "checkbox") button.checked = isIn;
    else if (button.ariaPressed !== `${isIn}`) button.ariaPressed = `${isIn}`;
  }
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-compare]");
  if (button) toggle(button.dataset);
});
tray.querySelector("[data-tray-clear]").addEventListener("click", () => {
  write([]);
  said.textContent = "Nothing is chosen.";
});
addEventListener("storage", (event) => event.key === key && show()); // another window chose
addEventListener("pageshow", show);

// Rows come and are replaced while a page is open.
let frame = 0;
new MutationObserver(() => {
  cancelAnimationFrame(frame);
  frame = requestAnimationFrame(mark);
}).observe(document.getElementById("content"), { childList: true, subtree: true });
show();
