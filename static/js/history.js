/** What is known of a run: its scored candidates, their generations, the parents and baselines. Built from a snapshot, kept up by events. */

export class History {
  seq = -1;
  state = "";
  budget = 0;
  nScored = 0;
  bestFitness = null;
  bestIsHealthy = false;
  /** {id, number, generation, index, mean, low, high, isBest, isDoubted}, in the order in which they were scored */
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
    for (const { kind, payload } of fresh) this.#take(kind, payload);
    if (fresh.length) this.seq = fresh.at(-1).seq;
    return fresh;
  }

  #restart({ seq, state, budget, n_scored, best, best_fitness, best_is_healthy, dots, doubted, held_out, generations, references }) {
    const [isBest, isDoubted] = [new Set(best), new Set(doubted)];
    Object.assign(this, { seq, state, budget, references, nScored: n_scored, bestFitness: best_fitness, bestIsHealthy: best_is_healthy });
    this.dots = dots.id.map((id, i) => ({
      id,
      number: dots.number[i],
      generation: dots.generation[i],
      index: dots.index[i],
      mean: dots.mean[i],
      low: dots.low[i],
      high: dots.high[i],
      isBest: isBest.has(dots.number[i]),
      isDoubted: isDoubted.has(dots.number[i]),
    }));
    this.heldOut = new Map(held_out.id.map((id, i) => [id, held_out.mean[i]]));
    this.generations = new Map(generations.map(({ generation, n, mean, spread, centre, best }) => [
      generation, { n, sum: n * mean, squares: n * (spread ** 2 + mean ** 2), numbers: n * centre, best },
    ]));
  }

  #take(kind, payload) {
    if (kind === "run.state") this.state = payload.state;
    if (kind !== "evaluation.done") return;
    if (payload.split === "validation" && payload.kind === "evolved") this.heldOut.set(payload.candidate, payload.mean);
    if (payload.split !== "search") return;
    if (payload.kind === "evolved") this.#score(payload);
    else if (!this.references.some(({ id }) => id === payload.candidate)) this.references.push({ ...payload, id: payload.candidate });
  }

  #score({ candidate, number, generation, index, mean, low, high, fitness, is_healthy = true }) {
    if (number <= this.nScored) return; // the snapshot was newer than its number
    // Answers that can be trusted beat any that cannot; among equals in that, the higher fitness.
    const isBest = this.bestFitness === null || (is_healthy === this.bestIsHealthy ? fitness > this.bestFitness : is_healthy);
    if (isBest) Object.assign(this, { bestFitness: fitness, bestIsHealthy: is_healthy });
    this.nScored = number;
    this.dots.push({ id: candidate, number, generation, index, mean, low, high, isBest, isDoubted: !is_healthy });
    const known = this.generations.get(generation) ?? { n: 0, sum: 0, squares: 0, numbers: 0, best: mean };
    this.generations.set(generation, {
      n: known.n + 1,
      sum: known.sum + mean,
      squares: known.squares + mean ** 2,
      numbers: known.numbers + number,
      best: Math.max(known.best, mean),
    });
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
