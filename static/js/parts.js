/** The parts of the live page that the server renders: asked for again when something happened, put in place without disturbing who reads. */

const PAUSE_MS = 1000;
const MOVE_MS = 350;
const FOCUSABLE = "a[href], button, summary, select, input, [tabindex]";

export class Parts {
  #timer = 0;
  #asking = false;
  #again = false;
  #held = null;

  /** `onChange()` is called after parts were put in place. */
  constructor(root, onChange) {
    Object.assign(this, { root, onChange });
    this.reduced = matchMedia("(prefers-reduced-motion: reduce)");
    document.addEventListener("click", ({ target }) => target.closest("[data-pill]") && this.#release());
    document.addEventListener("pointerout", () => setTimeout(() => this.#held && !this.#isRead(this.#held.current) && this.#release(), 300));
  }

  /** Something changed: ask for the parts, at most once a second. */
  refresh() {
    if (this.#asking) this.#again = true;
    else this.#timer ||= setTimeout(() => this.#ask(), PAUSE_MS * (0.5 + 0.5 * Math.random()));
  }

  async #ask() {
    this.#timer = 0;
    this.#asking = true;
    try {
      await this.#take(await this.#fetch("live"));
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // the server is away; the feed says so
    }
    this.#asking = false;
    if (this.#again) {
      this.#again = false;
      this.refresh();
    }
  }

  /** The parts of this name, as a document; null when there are none for us. */
  async #fetch(part) {
    const asked = new URLSearchParams(location.search);
    asked.set("part", part);
    const answer = await fetch(`?${asked}`);
    return answer.ok && !answer.redirected ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  }

  async #take(answer) {
    for (const next of answer?.querySelectorAll("[data-part]") ?? []) {
      const current = this.root.querySelector(`[data-part="${next.dataset.part}"]`);
      if (!current || isSame(current, next)) continue;
      if ("later" in next.dataset) await this.#take(await this.#fetch(next.dataset.part));
      else if ("waits" in next.dataset && this.#isRead(current)) this.#hold(current, next);
      else this.#put(current, next);
    }
    this.onChange();
  }

  /** Somebody points at a row or has the keyboard in it: nothing may move. */
  #isRead(part) {
    return part.querySelector("tbody:hover, tbody :focus-visible") !== null;
  }

  #hold(current, next) {
    this.#held = { current, next };
    const known = new Set(rows(current).map(({ dataset }) => dataset.candidate));
    const n = rows(next).filter(({ dataset }) => !known.has(dataset.candidate)).length;
    const pill = current.querySelector("[data-pill]");
    pill.textContent = n ? `${n} new – show` : "New scores – show";
    pill.hidden = false;
  }

  #release() {
    const { current, next } = this.#held;
    this.#held = null;
    this.#put(current, next);
  }

  #put(current, next) {
    const before = new Map(rows(current).map((row) => [row.dataset.candidate, row.getBoundingClientRect().top]));
    if (this.#held?.current === current) this.#held = null;
    for (const { id } of current.querySelectorAll("details[id][open]")) next.querySelector(`#${id}`)?.setAttribute("open", "");
    const settle = keepPlace(current, next);
    current.replaceWith(next);
    settle();
    if (!this.reduced.matches && before.size) rows(next).forEach((row) => move(row, before.get(row.dataset.candidate)));
  }
}

/** What, called when `next` stands in the place of `current`, has the keyboard and what was scrolled sideways where they were. */
function keepPlace(current, next) {
  const places = [...current.querySelectorAll(".scroll")].map(({ scrollLeft }) => scrollLeft);
  const at = [...current.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
  return () => {
    next.querySelectorAll(".scroll").forEach((box, i) => { box.scrollLeft = places[i] ?? 0; });
    if (at >= 0) next.querySelectorAll(FOCUSABLE)[at]?.focus({ preventScroll: true });
  };
}

const rows = (part) => [...part.querySelectorAll("tr[data-candidate]")];

/** Equal as far as a reader sees: forms carry a token that differs in every answer, so parts with forms have a key. */
function isSame(current, next) {
  return "key" in next.dataset ? current.dataset.key === next.dataset.key : current.isEqualNode(next);
}

/** A row glides from where it stood; a new one lights up. */
function move(row, from) {
  const options = { duration: MOVE_MS, easing: "ease-out" };
  if (from === undefined) return row.classList.add("arrived");
  const by = from - row.getBoundingClientRect().top;
  if (by) row.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], options);
}
