/** The parts of the live page that the server renders: asked for again when something happened, put in place without disturbing who reads.
    Parts with `data-lazy` are asked for once the page is there. */

import { markMoves, places } from "./moves.js";
import { renew } from "./renew.js";

const PAUSE_MS = 1000;
const BUSY_MS = 4000; // between two askings, when something happens all the time
const MOVE_MS = 350;

export class Parts {
  #timer = 0;
  #asking = false;
  #again = false;
  #asked = -Infinity;
  #isCalm = true;
  #sent = new WeakMap(); // of a part that was put in place, what it was before scripts wrote in it
  #held = new Map(); // parts that wait until nobody reads, by name: {current, next}

  /** `onChange()` is called after parts were put in place. */
  constructor(root, onChange) {
    Object.assign(this, { root, onChange });
    this.reduced = matchMedia("(prefers-reduced-motion: reduce)");
    document.addEventListener("click", ({ target }) => target.closest("[data-pill]") && this.#release(target.closest("[data-part]").dataset.part));
    document.addEventListener("pointerout", () => setTimeout(() => {
      for (const [name, { current }] of this.#held) if (!this.#isRead(current)) this.#release(name);
    }, 300));
    root.querySelectorAll("[data-lazy]").forEach(({ dataset }) => this.ask(dataset.part));
  }

  /** Ask for one part, whatever is in its place. */
  async ask(name) {
    try {
      await this.#take(await this.#fetch(name));
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // the server is away; the feed says so
    }
  }

  /** Something changed: ask for the parts, within a second after a while of silence, else less often. */
  refresh() {
    const soon = PAUSE_MS * (0.5 + 0.5 * Math.random());
    if (this.#asking) this.#again = true;
    else this.#timer ||= setTimeout(() => this.#ask(), Math.max(soon, this.#asked + BUSY_MS - performance.now()));
  }

  async #ask() {
    this.#timer = 0;
    this.#asking = true;
    this.#isCalm = performance.now() - this.#asked > 2 * BUSY_MS;
    this.#asked = performance.now();
    await this.ask("live");
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
      if (!current || isSame(this.#sent.get(current) ?? current, next)) continue;
      if ("later" in next.dataset) await this.#take(await this.#fetch(next.dataset.part));
      else if (this.#mustWait(current, next)) this.#hold(current, next);
      else this.#put(current, next);
    }
    this.onChange();
  }

  /** Rows would move under whoever reads them; what was chosen anew does not wait. */
  #mustWait(current, next) {
    return "waits" in next.dataset && current.dataset.choice === next.dataset.choice && this.#isRead(current);
  }

  /** Somebody points at a row or has the keyboard in it: nothing may move. */
  #isRead(part) {
    return part.querySelector(":is(tbody, ol):hover, :is(tbody, ol) :focus-visible") !== null;
  }

  #hold(current, next) {
    this.#held.set(next.dataset.part, { current, next });
    const known = new Set(rows(current).map(key));
    const n = rows(next).filter((row) => !known.has(key(row))).length;
    const pill = current.querySelector("[data-pill]");
    pill.textContent = n ? `${n} new – show` : "New scores – show";
    pill.hidden = false;
  }

  #release(name) {
    const { current, next } = this.#held.get(name);
    this.#put(current, next);
  }

  #put(current, next) {
    const isTurned = current.dataset.choice !== next.dataset.choice;
    const glides = !this.reduced.matches && this.#isCalm && !isTurned;
    const before = glides && new Map(rows(current).map((row) => [key(row), row.getBoundingClientRect().top]));
    this.#held.delete(current.dataset.part);
    const sent = next.cloneNode(true);
    if (!isTurned) markMoves(next, places(current));
    const [part] = renew(current, next);
    this.#sent.set(part, sent);
    part.dispatchEvent(new CustomEvent("htmx:load", { bubbles: true })); // what writes local times and draws pictures waits for it
    if (before?.size) rows(part).forEach((row) => move(row, before.get(key(row))));
  }
}

const rows = (part) => [...part.querySelectorAll("tr[data-candidate], li[data-entry]")];
const key = ({ dataset }) => dataset.candidate ?? dataset.entry;

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
