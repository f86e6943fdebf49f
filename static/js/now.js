/** What workers do just now: in a few words beside the run's state, and for every candidate how far it is. From hints that come with the
    feed, else from what the server knew. */

const FORGOTTEN_MS = 4000;
const SHOWN = 2;
const MANY = 8; // candidates with a bar of their own
const STAGES = { load: "loads", merge: "is merged", evaluate: "answers", write: "is written" };

export class Now {
  #work = new Map();

  show({ candidate, name, split, stage, done, total }) {
    const words = STAGES[stage] ?? stage;
    const far = stage === "evaluate" ? `answers ${done} of ${total} questions` : words;
    const text = stage === "evaluate" ? `${name} ${words} ${done} of ${total}${["search", "probe"].includes(split) ? "" : ` (${split} split)`}` : `${name} ${words}`;
    this.#work.set(candidate, { name, text, far, done, total, at: Date.now() });
    this.draw();
  }

  /** The work on this candidate is over. */
  done(candidate) {
    document.querySelector(`[data-worked="${CSS.escape(candidate)}"]`)?.remove();
    if (this.#work.delete(candidate)) this.draw();
  }

  expire() {
    for (const [candidate, { at }] of this.#work) if (Date.now() - at > FORGOTTEN_MS) this.#work.delete(candidate);
    this.draw();
  }

  clear() {
    this.#work.clear();
    this.draw();
  }

  draw() {
    const texts = [...this.#work.values()].map(({ text }) => text);
    const more = texts.length > SHOWN ? ` and ${texts.length - SHOWN} more` : "";
    const place = document.querySelector("[data-now]");
    const words = texts.slice(0, SHOWN).join(", ") + more || place.dataset.now;
    if (place.textContent !== words) place.textContent = words;
    this.#drawBars(document.querySelector("[data-work]"));
  }

  #drawBars(list) {
    for (const [candidate, work] of [...this.#work].slice(0, MANY)) {
      const row = list.querySelector(`[data-worked="${CSS.escape(candidate)}"]`) ?? list.appendChild(bar(candidate, work.name));
      fill(row, work);
    }
  }
}

/** A candidate that the page does not know yet. */
function bar(candidate, name) {
  const row = document.createElement("li");
  row.dataset.worked = candidate;
  row.append(Object.assign(document.createElement("b"), { textContent: name }), " ", document.createElement("span"));
  return row;
}

function fill(row, { name, far, done, total }) {
  row.querySelector("span").textContent = far;
  const progress = row.querySelector("progress") ?? row.appendChild(Object.assign(document.createElement("progress"), { className: "thin" }));
  progress.ariaLabel = `${name}: ${far}`;
  progress.max = total || 1;
  progress.value = total ? done : 0;
}
