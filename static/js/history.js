/** What is known of a run: its scored candidates, their generations, the parents and baselines. Built from a snapshot, kept up by events. */

/** The states in which a run searches no more. */
export const ENDED = ["done", "stopped", "failed"];

export class History {
  seq = -1;
  state = "";
  budget = 0;
  nScored = 0;
  bestFitness = null;
  bestIsHealthy = false;
  /** When the run began, in ms; null before its first claim. */
  started = null;
  /** The device seconds that all scores of the search have taken. */
  spent = 0;
  /** When the newest event came about, in ms; null when none came since the page was opened. */
  newestAt = null;
  /** {id, number, generation, index, mean, low, high, at, spent, isBest, isDoubted}, in the order in which they were scored;
      `at` and `spent` are seconds since the run began, and device seconds until then */
  dots = [];
  /** generation -> {n, sum, squares, numbers, best} */
  generations = new Map();
  /** candidate -> mean on the validation split */
  heldOut = new Map();
  /** {id, name, kind, mean, low, high} */
  references = [];

  get best() {
    return this.dots.findLast((dot) => dot.isBest);
  }

  get bestParent() {
    return this.references.filter(({ kind }) => kind === "parent").sort((a, b) => b.mean - a.mean)[0];
  }

  /** Take in a frame. Returns the events that are new, or null when some are missing between what is known and this frame. */
  apply(frame) {
    if (frame.type === "snapshot") {
      this.#restart(frame);
      return [];
    }
    const fresh = frame.events.filter(({ seq }) => seq > this.seq);
    if (fresh.length && fresh[0].seq !== this.seq + 1) return null;
    for (const { kind, at, payload } of fresh) this.#take(kind, Date.parse(at), payload);
    if (fresh.length) [this.seq, this.newestAt] = [fresh.at(-1).seq, Date.parse(fresh.at(-1).at)];
    return fresh;
  }

  #restart({ seq, state, started, spent, budget, n_scored, best, best_fitness, best_is_healthy, dots, doubted, held_out, generations, references }) {
    const [isBest, isDoubted] = [new Set(best), new Set(doubted)];
    this.started = started && Date.parse(started);
    Object.assign(this, { seq, state, spent, budget, references, nScored: n_scored, bestFitness: best_fitness, bestIsHealthy: best_is_healthy });
    this.dots = dots.id.map((id, i) => ({
      id,
      number: dots.number[i],
      generation: dots.generation[i],
      index: dots.index[i],
      mean: dots.mean[i],
      low: dots.low[i],
      high: dots.high[i],
      at: dots.at[i],
      spent: dots.spent[i],
      isBest: isBest.has(dots.number[i]),
      isDoubted: isDoubted.has(dots.number[i]),
    }));
    this.heldOut = new Map(held_out.id.map((id, i) => [id, held_out.mean[i]]));
    this.generations = new Map(generations.map(({ generation, n, mean, spread, centre, best }) => [
      generation, { n, sum: n * mean, squares: n * (spread ** 2 + mean ** 2), numbers: n * centre, best },
    ]));
  }

  #take(kind, at, payload) {
    if (kind === "run.state") {
      this.state = payload.state;
      if (payload.state === "running") this.started ??= at;
    }
    if (kind !== "evaluation.done" || this.#isKnown(payload)) return;
    const { split, candidate, mean, seconds } = payload;
    if (["search", "validation"].includes(split)) this.spent += seconds;
    if (split === "validation") this.heldOut.set(candidate, mean);
    if (split !== "search") return;
    if (payload.kind === "evolved") this.#score(payload, (at - this.started) / 1000);
    else this.references.push({ ...payload, id: candidate });
  }

  /** A snapshot may be newer than its number: events then tell again what it holds. */
  #isKnown({ kind, split, candidate, number }) {
    if (split === "validation") return kind !== "evolved" || this.heldOut.has(candidate);
    return split === "search" && (kind === "evolved" ? number <= this.nScored : this.references.some(({ id }) => id === candidate));
  }

  #score({ candidate, number, generation, index, mean, low, high, fitness, is_healthy = true }, at) {
    // Answers that can be trusted beat any that cannot; among equals in that, the higher fitness.
    const isBest = this.bestFitness === null || (is_healthy === this.bestIsHealthy ? fitness > this.bestFitness : is_healthy);
    if (isBest) Object.assign(this, { bestFitness: fitness, bestIsHealthy: is_healthy });
    this.nScored = number;
    this.dots.push({ id: candidate, number, generation, index, mean, low, high, at, spent: this.spent, isBest, isDoubted: !is_healthy });
    const known = this.generations.get(generation) ?? { n: 0, sum: 0, squares: 0, numbers: 0, best: mean };
    this.generations.set(generation, {
      n: known.n + 1,
      sum: known.sum + mean,
      squares: known.squares + mean ** 2,
      numbers: known.numbers + number,
      best: Math.max(known.best, mean),
    });
  }

  /** Where on one axis something stands of which the place on another is known: `from` and `to` are number, at or spent. */
  along(value, from, to) {
    const { dots } = this;
    let [below, above] = [-1, dots.length]; // the dots around the value
    while (above - below > 1) {
      const middle = (below + above) >> 1;
      if (dots[middle][from] <= value) below = middle;
      else above = middle;
    }
    const [a, b] = [dots[below] ?? { [from]: 0, [to]: 0 }, dots[above]];
    if (!b) return to === from ? value : a[to];
    return a[to] + (b[to] - a[to]) * ((value - a[from]) / (b[from] - a[from] || 1));
  }

  /** Rows {generation, n, mean, spread, centre, best} in order. */
  summaries() {
    return [...this.generations].sort(([a], [b]) => a - b).map(([generation, { n, sum, squares, numbers, best }]) => ({
      generation,
      n,
      best,
      mean: sum / n,
      spread: Math.sqrt(Math.max(0, squares / n - (sum / n) ** 2)),
      centre: numbers / n,
    }));
  }
}
