/** The live chart. uPlot keeps scales and axes; what is drawn inside is ours: generation band, parents and baselines, candidates, best so far. */

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { duration, percent } from "./figures.js";

const MIN_SPAN = 40;
const LEAST_HEIGHT = 0.3;
const FINE_BUDGET = 160;
const REACH = 24; // px from the pointer to a dot
const LABEL_HEIGHT = 15;
const LABEL_WIDTH = 170;
const NARROW = 560; // px: below it, names stand inside the plot
const TALL = 400;
const SHORT = 280;
const DRAW_MS = 1000; // between two drawings: ten scores a second are drawn together, and with what the page writes every second
const MANY = 3; // dots that arrive together are not pointed out one by one
const NOTE_WIDTH = 64; // px between the words of two notes, at least
const AXES = {
  number: { label: "candidates scored", values: (ticks) => ticks.map((tick) => (Number.isInteger(tick) ? tick : "")) },
  at: { label: "time since the run began", values: (ticks) => ticks.map(time), incrs: [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400, 172800, 604800] },
};
AXES.spent = { ...AXES.at, label: "device time spent, of all workers" };
const COLOURS = ["candidate", "best", "mean", "spread", "grid", "axis"];

export class Chart {
  #plot = null;
  #shown = null;
  #pinned = false;
  #isDue = false;
  #drawn = -Infinity;
  #arrived = [];
  /** The key of a dot that is its place from left to right: number, at or spent. */
  #axis = "number";
  /** One benchmark's {means, references}, by number and by id, when it is looked at alone. */
  #alone = null;
  #notes = [];
  #stamp = null;

  /** `element` holds .chart-plot and [data-tip]; `open(dot)` is called for the candidate that was chosen. */
  constructor(element, history, open) {
    Object.assign(this, { element, history, open });
    this.picture = element.querySelector(".chart-plot");
    this.tip = element.querySelector("[data-tip]");
    this.reduced = matchMedia("(prefers-reduced-motion: reduce)");
    this.#listen();
    new ResizeObserver(() => this.#resize()).observe(this.picture);
    document.addEventListener("theme", () => this.#build());
  }

  /** Draw what the history holds, soon; `arrived` are dots to point out. */
  draw(arrived = []) {
    this.#arrived.push(...arrived);
    if (this.#isDue) return;
    this.#isDue = true;
    if (performance.now() - this.#drawn > DRAW_MS) this.beat();
  }

  /** Called every second: draw what is due. */
  beat() {
    if (this.#isDue) requestAnimationFrame(() => this.#isDue && this.#draw());
  }

  /** Look at another axis, or at one benchmark alone; null for all of them together. */
  view(axis, alone) {
    const isTurned = axis !== this.#axis;
    [this.#axis, this.#alone] = [axis, alone];
    this.element.dataset.axis = axis;
    if (this.#shown && this.#mean(this.#shown) === undefined) this.#show(null);
    if (this.#plot && isTurned) this.#build();
    this.#isDue = true;
    this.beat();
  }

  /** What is written beside the scores: {at, kind, text}. */
  note(notes) {
    this.#notes = notes;
    this.draw();
  }

  #draw() {
    [this.#isDue, this.#drawn] = [false, performance.now()];
    if (!this.#plot) this.#build();
    this.#plot.setData(this.#extent());
    this.#describe();
    const arrived = this.#arrived.splice(0);
    if (!this.reduced.matches && arrived.length <= MANY) arrived.forEach((dot) => this.#pulse(dot));
    if (this.#shown) this.#place();
  }

  /** Point out a candidate that is looked at elsewhere; null for none. */
  highlight(id) {
    const dot = id === null ? null : this.history.dots.find((candidate) => candidate.id === id);
    if (!this.#pinned) this.#show(dot ?? null);
  }

  // the plot

  #build() {
    this.colours = Object.fromEntries(COLOURS.map((name) => [name, window.progeny.colour(`--chart-${name}`)]));
    for (const name of ["surface", "ink", "ink-muted", "warn", "bad"]) this.colours[name] = window.progeny.colour(`--${name}`);
    this.font = getComputedStyle(this.element).fontFamily;
    this.#plot?.destroy();
    const axis = { stroke: this.colours.axis, font: `12px ${this.font}`, ticks: { show: false }, grid: { stroke: this.colours.grid, width: 1 } };
    this.#plot = new uPlot({
      ...this.#size(),
      padding: [12, () => (this.#isNarrow ? 8 : LABEL_WIDTH), 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false, range: () => [0, 1.012 * this.#span()] }, y: { range: () => this.#heights() } },
      axes: [
        { ...axis, grid: { show: false }, size: 30, labelFont: `12px ${this.font}`, labelSize: 20, labelGap: 2, space: 70, ...AXES[this.#axis], values: (_, ticks) => AXES[this.#axis].values(ticks) },
        { ...axis, size: 48, space: 44, values: (_, ticks) => ticks.map((tick) => (tick < 0 || tick > 1 ? "" : `${+(100 * tick).toFixed(1)} %`)) },
      ],
      series: [{}, { stroke: "transparent", points: { show: false } }],
      hooks: { draw: [() => this.#paint()] },
    }, this.#extent(), this.picture);
  }

  #size() {
    const width = this.picture.clientWidth;
    return { width, height: width < NARROW ? SHORT : TALL };
  }

  get #isNarrow() {
    return this.picture.clientWidth < NARROW;
  }

  #resize() {
    if (this.#plot && this.picture.clientWidth) this.#plot.setSize(this.#size());
    if (this.#shown) this.#place();
  }

  #extent() {
    return [[0, this.#span()], [null, null]];
  }

  /** The whole budget when it is small; of a large one as much as is used, in steps that seldom change. */
  #span() {
    const { budget, nScored } = this.history;
    if (this.#axis !== "number") return this.#seconds();
    const wanted = Math.max(MIN_SPAN, 1.1 * nScored);
    let span = budget || MIN_SPAN;
    while (span > FINE_BUDGET && span / 2 >= wanted) span /= 2;
    return Math.max(span, nScored);
  }

  /** As much time as is used, in steps that seldom change. */
  #seconds() {
    const used = this.history.dots.at(-1)?.[this.#axis] ?? 0;
    const step = 2 ** Math.floor(Math.log2(Math.max(used, MIN_SPAN) / 4));
    return step * Math.ceil((used + 0.01 * step) / step);
  }

  /** The height of a dot; undefined where its score on the benchmark is not known. */
  #mean(dot) {
    return this.#alone ? this.#alone.means.get(dot.number) : dot.mean;
  }

  #heights() {
    const { dots, heldOut } = this.history;
    let [low, high] = [1, 0];
    const means = [...dots.map((dot) => this.#mean(dot)), ...this.#references().map(({ mean }) => mean)];
    for (const mean of [...means, ...(this.#alone ? [] : heldOut.values())]) {
      if (mean === undefined) continue;
      low = Math.min(low, mean);
      high = Math.max(high, mean);
    }
    if (low > high) return [0, 1];
    const margin = Math.max(0.05, 0.08 * (high - low));
    const top = Math.min(1, Math.max(LEAST_HEIGHT, Math.ceil(20 * (high + margin)) / 20));
    const bottom = low < LEAST_HEIGHT ? 0 : Math.floor(20 * (low - margin)) / 20;
    const air = 0.02 * (top - bottom); // dots on the edge stay whole
    return [bottom - air, top + air];
  }

  /** The dots as they are drawn, with their places. */
  #dots(which = () => true) {
    const found = [];
    for (const dot of this.history.dots) {
      const mean = this.#mean(dot);
      if (mean !== undefined && which(dot)) found.push({ id: dot.id, x: dot[this.#axis], mean, isBest: dot.isBest, isDoubted: dot.isDoubted });
    }
    return found;
  }

  /** The parents and baselines as they are drawn. */
  #references() {
    const { references } = this.history;
    if (!this.#alone) return references;
    return references.filter(({ id }) => this.#alone.references.has(id)).map((one) => ({ ...one, mean: this.#alone.references.get(one.id) }));
  }

  // the layers, from the bottom

  #paint() {
    const { ctx } = this.#plot;
    ctx.save();
    ctx.beginPath();
    const { left, top, width, height } = this.#plot.bbox;
    ctx.rect(left, top, width, height);
    ctx.clip();
    const dots = this.#dots();
    this.#paintNotes(ctx);
    if (!this.#alone) this.#paintGenerations(ctx);
    this.#paintReferences(ctx);
    this.#paintDots(ctx, dots);
    this.#paintBest(ctx, dots);
    if (!this.#alone) this.#paintHeldOut(ctx);
    ctx.restore();
    ctx.save();
    this.#paintLabels(ctx);
    ctx.restore();
  }

  #x(value) {
    return this.#plot.valToPos(value, "x", true);
  }

  #y(value) {
    return this.#plot.valToPos(value, "y", true);
  }

  get #ratio() {
    return uPlot.pxRatio;
  }

  #paintGenerations(ctx) {
    const rows = this.history.summaries().filter(({ n }) => n > 1);
    if (rows.length < 2) return;
    ctx.fillStyle = this.colours.spread;
    for (const row of rows) row.centre = this.history.along(row.centre, "number", this.#axis);
    ctx.beginPath();
    for (const { centre, mean, spread } of rows) ctx.lineTo(this.#x(centre), this.#y(mean + spread));
    for (const { centre, mean, spread } of rows.toReversed()) ctx.lineTo(this.#x(centre), this.#y(mean - spread));
    ctx.fill();
    ctx.strokeStyle = this.colours.mean;
    ctx.lineWidth = 1.5 * this.#ratio;
    ctx.lineJoin = "round";
    ctx.beginPath();
    for (const { centre, mean } of rows) ctx.lineTo(this.#x(centre), this.#y(mean));
    ctx.stroke();
  }

  #paintReferences(ctx) {
    const { left, width } = this.#plot.bbox;
    ctx.strokeStyle = this.colours["ink-muted"];
    ctx.lineWidth = this.#ratio;
    for (const { kind, mean } of this.#references()) {
      ctx.setLineDash((kind === "parent" ? [6, 4] : [1.5, 3.5]).map((length) => length * this.#ratio));
      ctx.beginPath();
      ctx.moveTo(left, this.#y(mean));
      ctx.lineTo(left + width, this.#y(mean));
      ctx.stroke();
    }
    ctx.setLineDash([]);
  }

  /** Lines where the run paused, went on or ended its search, with words; failures and lost workers as signs at the foot. */
  #paintNotes(ctx) {
    const { left, top, width, height } = this.#plot.bbox;
    const px = this.#ratio;
    ctx.font = `${11 * px}px ${this.font}`;
    ctx.lineWidth = px;
    let free = left; // where words may stand again
    for (const { at, kind, text } of this.#notes) {
      const x = this.#x(this.history.along(at, "at", this.#axis));
      if (kind !== "state") this.#paintSign(ctx, x, top + height, kind);
      else if (x >= left && x <= left + width) free = this.#paintState(ctx, x, text, free);
    }
    ctx.setLineDash([]);
  }

  #paintState(ctx, x, text, free) {
    const { left, top, width, height } = this.#plot.bbox;
    const px = this.#ratio;
    ctx.strokeStyle = ctx.fillStyle = this.colours["ink-muted"];
    ctx.setLineDash([px, 3 * px]);
    ctx.beginPath();
    ctx.moveTo(x, top);
    ctx.lineTo(x, top + height);
    ctx.stroke();
    if (x < free) return free;
    ctx.textBaseline = "top";
    ctx.textAlign = x > left + width - NOTE_WIDTH * px ? "right" : "left";
    ctx.fillText(text, x + (ctx.textAlign === "left" ? 4 : -4) * px, top + 2 * px);
    return x + NOTE_WIDTH * px;
  }

  /** A small cross for a candidate that failed, a triangle for a worker that gave no result. */
  #paintSign(ctx, x, foot, kind) {
    const px = this.#ratio;
    const [r, y] = [3 * px, foot - 6 * px];
    ctx.setLineDash([]);
    ctx.strokeStyle = ctx.fillStyle = this.colours[kind === "lost" ? "warn" : "bad"];
    ctx.beginPath();
    if (kind === "lost") {
      ctx.moveTo(x, y - r);
      ctx.lineTo(x + r, y + r);
      ctx.lineTo(x - r, y + r);
      return ctx.fill();
    }
    ctx.moveTo(x - r, y - r);
    ctx.lineTo(x + r, y + r);
    ctx.moveTo(x - r, y + r);
    ctx.lineTo(x + r, y - r);
    ctx.stroke();
  }

  #paintDots(ctx, dots) {
    const radius = (dots.length > 1500 ? 1.8 : dots.length > 400 ? 2.4 : 3.2) * this.#ratio;
    const stamp = this.#stampOf(radius);
    const half = stamp.width / 2;
    ctx.globalAlpha = dots.length > 1500 ? 0.45 : 0.7;
    for (const { x, mean, isDoubted } of dots) {
      if (!isDoubted) ctx.drawImage(stamp, Math.round(this.#x(x) - half), Math.round(this.#y(mean) - half));
    }
    this.#paintDoubted(ctx, dots, radius);
    ctx.globalAlpha = 1;
  }

  /** A dot, drawn once: ten thousand circles take many times as long as ten thousand copies of one. */
  #stampOf(radius) {
    const key = `${radius} ${this.colours.candidate}`;
    if (this.#stamp?.key !== key) {
      const side = 2 * Math.ceil(radius + 0.5);
      const picture = new OffscreenCanvas(side, side);
      const ctx = picture.getContext("2d");
      ctx.fillStyle = this.colours.candidate;
      ctx.arc(side / 2, side / 2, radius, 0, 2 * Math.PI);
      ctx.fill();
      this.#stamp = { key, picture: picture.transferToImageBitmap() }; // of a canvas every copy would take a snapshot first
    }
    return this.#stamp.picture;
  }

  /** Candidates whose answers cannot be trusted: crosses. */
  #paintDoubted(ctx, dots, radius) {
    ctx.strokeStyle = this.colours.candidate;
    ctx.lineWidth = 1.5 * this.#ratio;
    ctx.beginPath();
    for (const { x: place, mean } of dots.filter(({ isDoubted }) => isDoubted)) {
      const [x, y] = [this.#x(place), this.#y(mean)];
      ctx.moveTo(x - radius, y - radius);
      ctx.lineTo(x + radius, y + radius);
      ctx.moveTo(x - radius, y + radius);
      ctx.lineTo(x + radius, y - radius);
    }
    ctx.stroke();
  }

  /** Where new bests stand on questions that the search does not see: rings, hung from their dots. */
  #paintHeldOut(ctx) {
    ctx.strokeStyle = this.colours.best;
    ctx.fillStyle = this.colours.surface;
    for (const { id, x: place, mean } of this.#dots((dot) => this.history.heldOut.has(dot.id))) {
      const [x, y] = [this.#x(place), this.#y(this.history.heldOut.get(id))];
      ctx.lineWidth = this.#ratio;
      ctx.beginPath();
      ctx.moveTo(x, this.#y(mean));
      ctx.lineTo(x, y);
      ctx.stroke();
      ctx.lineWidth = 1.75 * this.#ratio;
      ctx.beginPath();
      ctx.arc(x, y, 3.5 * this.#ratio, 0, 2 * Math.PI);
      ctx.fill();
      ctx.stroke();
    }
  }

  /** What the search holds for the best so far; on one benchmark alone it may go down, too. */
  #paintBest(ctx, dots) {
    const steps = dots.filter(({ isBest }) => isBest);
    if (!steps.length) return;
    ctx.strokeStyle = ctx.fillStyle = this.colours.best;
    ctx.lineWidth = 2.25 * this.#ratio;
    ctx.lineJoin = "round";
    ctx.beginPath();
    let y = this.#y(steps[0].mean);
    ctx.moveTo(this.#x(steps[0].x), y);
    for (const { x, mean } of steps.slice(1)) {
      ctx.lineTo(this.#x(x), y);
      ctx.lineTo(this.#x(x), (y = this.#y(mean)));
    }
    ctx.lineTo(this.#x(dots.at(-1).x), y);
    ctx.stroke();
    for (const { x, mean } of steps) this.#disc(ctx, this.#x(x), this.#y(mean), 3, this.colours.best);
    const last = steps.at(-1);
    this.#disc(ctx, this.#x(last.x), this.#y(last.mean), 6, this.colours.surface);
    this.#disc(ctx, this.#x(last.x), this.#y(last.mean), 4.5, this.colours.best);
  }

  #disc(ctx, x, y, radius, colour) {
    ctx.beginPath();
    ctx.arc(x, y, radius * this.#ratio, 0, 2 * Math.PI);
    ctx.fillStyle = colour;
    ctx.fill();
  }

  /** Names of the lines, pushed apart where they would touch: right of the plot, or inside it where there is no room. */
  #paintLabels(ctx) {
    const { left, width, top, height } = this.#plot.bbox;
    const px = this.#ratio;
    const step = LABEL_HEIGHT * px;
    const inside = this.#isNarrow;
    const x = left + width + (inside ? -4 : 8) * px;
    ctx.textAlign = inside ? "right" : "left";
    ctx.textBaseline = inside ? "bottom" : "middle";
    ctx.lineJoin = "round";
    ctx.lineWidth = 4 * px;
    ctx.strokeStyle = this.colours.surface;
    let below = top + height + step / 2;
    for (const { name, mean, isBest } of this.#named(inside)) {
      const y = Math.max(top + step / 2, Math.min(this.#y(mean) - (inside ? 2 * px : 0), below - step));
      below = y;
      ctx.font = `${isBest ? 600 : 400} ${11.5 * px}px ${this.font}`;
      ctx.fillStyle = isBest ? this.colours.best : this.colours["ink-muted"];
      const text = `${percent(mean)}  ${shortened(ctx, name, (LABEL_WIDTH - 60) * px)}`;
      if (inside) ctx.strokeText(text, x, y);
      ctx.fillText(text, x, y);
    }
  }

  /** What has a name beside its line, from the lowest up. */
  #named(inside) {
    const [references, best] = [this.#references(), this.#dots(({ isBest }) => isBest).at(-1)];
    const lines = best && !inside ? [...references, { name: "best so far", mean: best.mean, isBest: true }] : references;
    return lines.toSorted((a, b) => a.mean - b.mean);
  }

  #describe() {
    const { nScored, generations, best, bestParent } = this.history;
    const words = [`Scores of ${nScored} candidates in ${generations.size} generations`];
    if (best) words.push(`best so far ${percent(best.mean)}`);
    if (bestParent) words.push(`best parent ${bestParent.name} ${percent(bestParent.mean)}`);
    if (this.#alone) words.push(`drawn on ${this.#alone.name} alone`);
    this.picture.setAttribute("aria-label", words.join(", "));
  }

  // looking at one candidate

  #listen() {
    this.picture.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "touch" && !this.#pinned) this.#show(this.#nearest(event));
    });
    this.picture.addEventListener("pointerleave", () => this.#pinned || this.#show(null));
    this.picture.addEventListener("click", (event) => this.#choose(event));
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("focusout", () => this.#pinned || this.#show(null));
  }

  #nearest({ clientX, clientY }) {
    const { left, top } = this.#plot.over.getBoundingClientRect();
    let [closest, least] = [null, REACH ** 2];
    for (const dot of this.history.dots) {
      const mean = this.#mean(dot);
      if (mean === undefined) continue;
      const dx = this.#plot.valToPos(dot[this.#axis], "x") - (clientX - left);
      const dy = this.#plot.valToPos(mean, "y") - (clientY - top);
      const distance = dx * dx + dy * dy;
      if (distance < least) [closest, least] = [dot, distance];
    }
    return closest;
  }

  /** A mouse opens what it points at; a finger pins it first, and opens it from the tip. */
  #choose(event) {
    const dot = this.#nearest(event);
    if (dot && event.pointerType !== "touch") return this.open(dot);
    this.#pinned = dot !== null;
    this.#show(dot);
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return; // the browser's own: Alt and Left is back
    const { dots } = this.history;
    const at = this.#shown ? dots.indexOf(this.#shown) : -1;
    const next = {
      ArrowRight: () => dots[Math.min(at + 1, dots.length - 1)],
      ArrowLeft: () => dots[at < 0 ? dots.length - 1 : Math.max(at - 1, 0)],
      ArrowUp: () => this.history.best,
      Home: () => dots[0],
      End: () => dots.at(-1),
    }[event.key];
    if (next && dots.length) {
      event.preventDefault();
      this.#show(next());
    } else if (event.key === "Enter" && this.#shown && event.target === this.element) this.open(this.#shown);
    else if (event.key === "Escape") {
      this.#pinned = false;
      this.#show(null);
    }
  }

  #show(dot) {
    if (!this.#plot) return; // there is no place for it yet
    this.#shown = dot;
    this.tip.hidden = dot === null;
    this.picture.classList.toggle("on-dot", dot !== null);
    if (!dot) return this.ring?.remove();
    const { id, generation, index, mean, low, high, number, isBest, isDoubted } = dot;
    const heldOut = this.history.heldOut.get(id);
    const [name, score] = this.tip.children;
    name.textContent = `g${generation}.${index}`;
    const words = [`${percent(mean)} [${percent(low)}, ${percent(high)}]`, `${isBest ? "a new best, " : ""}number ${number}`, `after ${duration(dot.at)}`];
    if (this.#alone) words.unshift(`${percent(this.#mean(dot))} on ${this.#alone.name}`);
    if (heldOut !== undefined) words.push(`${percent(heldOut)} on validation questions`);
    if (isDoubted) words.push("its answers cannot be trusted");
    score.textContent = words.join(" · ");
    this.#link(dot);
    this.#place();
  }

  #link(dot) {
    const link = this.tip.querySelector("a");
    link.hidden = !this.#pinned;
    link.href = this.element.closest("[data-candidates]").dataset.candidates + `${dot.id}/`;
  }

  #place() {
    const x = this.#plot.valToPos(this.#shown[this.#axis], "x");
    const y = this.#plot.valToPos(this.#mean(this.#shown) ?? this.#shown.mean, "y");
    this.ring ??= Object.assign(document.createElement("i"), { className: "chart-ring" });
    this.ring.style.transform = `translate(${x}px, ${y}px)`;
    this.#plot.over.append(this.ring);
    const { offsetLeft, offsetTop, clientWidth } = this.#plot.over;
    const left = Math.min(Math.max(x - this.tip.offsetWidth / 2, 0), clientWidth - this.tip.offsetWidth);
    const above = y - this.tip.offsetHeight - 14;
    this.tip.style.transform = `translate(${offsetLeft + left}px, ${offsetTop + (above < 0 ? y + 14 : above)}px)`;
  }

  #pulse(dot) {
    const ring = Object.assign(document.createElement("i"), { className: dot.isBest ? "chart-pulse best" : "chart-pulse" });
    if (this.#mean(dot) === undefined) return;
    ring.style.left = `${this.#plot.valToPos(dot[this.#axis], "x")}px`;
    ring.style.top = `${this.#plot.valToPos(this.#mean(dot), "y")}px`;
    ring.addEventListener("animationend", () => ring.remove());
    this.#plot.over.append(ring);
  }
}

/** A tick of a time axis. */
function time(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${+(seconds / 60).toFixed(1)} min`;
  return seconds < 172800 ? `${+(seconds / 3600).toFixed(1)} h` : `${+(seconds / 86400).toFixed(1)} d`;
}

/** A text that fits: of names such as org/model the end is kept, which tells them apart, of others the beginning. */
function shortened(ctx, text, width) {
  if (ctx.measureText(text).width <= width) return text;
  const cut = text.includes("/") ? (kept) => [kept.slice(1), `…${kept.slice(1)}`] : (kept) => [kept.slice(0, -1), `${kept.slice(0, -1)}…`];
  let kept = text;
  let shown = text;
  while (kept.length > 1 && ctx.measureText(shown).width > width) [kept, shown] = cut(kept);
  return shown;
}
