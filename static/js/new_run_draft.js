/** New run: the form is kept as a draft while it is filled in. What the server has not taken yet stays in this tab, and is sent again when the
 * page is opened again: after signing in, or when the server answers again. */

const WAIT = 800; // milliseconds after the last change
const STORE = "new-run";
const form = document.querySelector("[data-new-run]");
const said = document.querySelector("[data-draft-said]");
const token = form.elements.csrfmiddlewaretoken.value;
const here = () => location.pathname + location.search;
let timer = 0;

/** Every field as it would be sent, without the token. */
const fields = () => [...new FormData(form)].filter(([name]) => name !== "csrfmiddlewaretoken");

/** The answer's status: 204 when it is kept, 200 when the form was launched; 0 when there was no answer, or it was another page. */
async function send(pairs) {
  const body = new FormData();
  body.append("csrfmiddlewaretoken", token);
  for (const [name, value] of pairs) body.append(name, value);
  try {
    return (await fetch(form.dataset.draft, { method: "POST", body, redirect: "manual", keepalive: true })).status;
  } catch {
    return 0;
  }
}

function changed() {
  sessionStorage.setItem(STORE, JSON.stringify({ here: here(), pairs: fields() }));
  clearTimeout(timer);
  timer = setTimeout(save, WAIT);
}

async function save() {
  clearTimeout(timer);
  const stored = sessionStorage.getItem(STORE);
  if (!stored) return;
  const status = await send(JSON.parse(stored).pairs);
  if (status === 204 && sessionStorage.getItem(STORE) === stored) sessionStorage.removeItem(STORE);
  const time = new Date().toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  if (status === 204) said.textContent = `Draft saved at ${time}.`;
  else if (status === 200) said.textContent = "This form was launched: changes are not kept as a draft.";
  else said.textContent = "The draft cannot be saved now. What you chose is kept in this tab.";
}

/** What was left by a page that could not save it becomes the draft, and where it was left, it is shown; not in place of an answer to it. */
async function recover() {
  const left = JSON.parse(sessionStorage.getItem(STORE) ?? "null");
  if (!left) return;
  const status = await send(left.pairs);
  if ([200, 204, 400].includes(status)) sessionStorage.removeItem(STORE);
  if (status === 204 && left.here === here() && !("answer" in form.dataset)) location.replace(location.pathname);
}

form.addEventListener("input", changed);
form.addEventListener("change", changed);
form.addEventListener("submit", () => clearTimeout(timer));
addEventListener("pagehide", save);
recover();
