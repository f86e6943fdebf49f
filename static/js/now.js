/** What workers do just now, beside the run's state: from hints that come with the feed, else from what the server knew. */

const FORGOTTEN_MS = 4000;
const SHOWN = 2;
const STAGES = { load: "loads", merge: "is merged", evaluate: "answers", write: "is written" };

export class Now {
  #work = new Map();

  show({ candidate, name, split, stage, done, total }) {
    const words = STAGES[stage] ?? stage;
    const text = stage === "evaluate" ? `${name} ${words} ${done} of ${total}${["search", "probe"].includes(split) ? "" : ` (${split} split)`}` : `${name} ${words}`;
    this.#work.set(candidate, { text, at: Date.now() });
    this.draw();
  }

  /** The work on this candidate is over. */
  done(candidate) {
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
    place.textContent = texts.slice(0, SHOWN).join(", ") + more || place.dataset.now;
  }
}
