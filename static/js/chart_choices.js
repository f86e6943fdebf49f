/** How the chart is looked at: what runs from left to right, and which benchmark. The address keeps both, and the scores on one benchmark come
    when it is first chosen, then those of new candidates. */

const AXES = { candidates: "number", time: "at", device: "spent" };
const ASK_MS = 2000;

export class ChartChoices {
  #known = new Map(); // benchmark -> {name, means, references, upto}
  #timer = 0;

  /** `onChange(axis, alone)` is called at the start and after each choice; `alone` is null for all benchmarks together. */
  constructor(element, onChange) {
    Object.assign(this, { element, onChange });
    element.addEventListener("click", ({ target }) => this.#choose(target.closest("button")));
    addEventListener("popstate", () => this.#show());
    this.#show();
  }

  /** So many candidates are scored now. */
  grown(n) {
    const known = this.#known.get(this.#asked.by);
    if (known && n > known.upto) this.#timer ||= setTimeout(() => this.#ask(), ASK_MS);
  }

  get #asked() {
    const asked = new URLSearchParams(location.search);
    const [x, by] = [asked.get("x"), asked.get("by") ?? ""];
    const isThere = this.element.querySelector(`[data-by="${CSS.escape(by)}"]`) !== null;
    return { x: x in AXES ? x : "candidates", by: isThere ? by : "" };
  }

  #choose(button) {
    if (!button) return;
    const address = new URL(location);
    for (const name of ["x", "by"]) {
      if (button.dataset[name] === undefined) continue;
      if (["", "candidates"].includes(button.dataset[name])) address.searchParams.delete(name);
      else address.searchParams.set(name, button.dataset[name]);
    }
    window.history.replaceState(null, "", address);
    this.#show();
  }

  #show() {
    const { x, by } = this.#asked;
    for (const button of this.element.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", button.dataset.x === x || button.dataset.by === by);
    }
    if (by !== "" && !this.#known.has(by)) this.#ask();
    else this.onChange(AXES[x], this.#known.get(by) ?? null);
  }

  async #ask() {
    this.#timer = 0;
    const { by } = this.#asked;
    if (by === "") return;
    const button = this.element.querySelector(`[data-by="${CSS.escape(by)}"]`);
    const known = this.#known.get(by) ?? { name: button.textContent, means: new Map(), references: new Map(), upto: 0 };
    try {
      const answer = await fetch(`${button.dataset.url}&after=${known.upto}`);
      if (answer.ok && !answer.redirected) this.#take(known, await answer.json());
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // the server is away; the feed says so
    }
    this.#known.set(by, known);
    this.#show();
  }

  #take(known, { after, means, references }) {
    means.forEach((mean, i) => known.means.set(after + i + 1, mean));
    known.references = new Map(Object.entries(references).map(([id, mean]) => [Number(id), mean]));
    known.upto = after + means.length;
  }
}
