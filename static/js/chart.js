/** The live chart. uPlot keeps scales and axes; what is drawn inside is ours: generation band, parents and baselines, candidates, best so far. */

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { percent } from "./figures.js";

const MIN_SPAN = 40;
const LEAST_HEIGHT = 0.3;
const FINE_BUDGET = 160;
const REACH = 24; // px from the pointer to a dot
const LABEL_HEIGHT = 15;
const LABEL_WIDTH = 170;
const NARROW = 560; // px: below it, names stand inside the plot
const TALL = 400;
const SHORT = 280;
const COLOURS = ["candidate", "best", "mean", "spread", "grid", "axis"];

export class Chart {
  #plot = null;
  #shown = null;
  #pinned = false;
  #frame = 0;

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

  /** Draw what the history holds, in the next frame; `arrived` are dots to point out. */
  draw(arrived = []) {
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => {
      if (!this.#plot) this.#build();
      this.#plot.setData(this.#extent());
      this.#describe();
      if (!this.reduced.matches) arrived.forEach((dot) => this.#pulse(dot));
      if (this.#shown) this.#place();
    });
  }

  /** Point out a candidate that is looked at elsewhere; null for none. */
  highlight(id) {
    const dot = id === null ? null : this.history.dots.find((candidate) => candidate.id === id);
    if (!this.#pinned) this.#show(dot ?? null);
  }

  // the plot

  #build() {
    this.colours = Object.fromEntries(COLOURS.map((name) => [name, window.progeny.colour(`--chart-${name}`)]));
    for (const name of ["surface", "ink", "ink-muted"]) this.colours[name] = window.progeny.colour(`--${name}`);
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
        { ...axis, grid: { show: false }, size: 30, label: "candidates scored", labelFont: `12px ${this.font}`, labelSize: 20, labelGap: 2, space: 70, values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? tick : "")) },
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
    const wanted = Math.max(MIN_SPAN, 1.1 * nScored);
    let span = budget || MIN_SPAN;
    while (span > FINE_BUDGET && span / 2 >= wanted) span /= 2;
    return Math.max(span, nScored);
  }

  #heights() {
    const { dots, references, heldOut } = this.history;
    let [low, high] = [1, 0];
    const means = [...dots, ...references].map(({ mean }) => mean);
    for (const mean of [...means, ...heldOut.values()]) {
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

  // the layers, from the bottom

  #paint() {
    const { ctx } = this.#plot;
    ctx.save();
    ctx.beginPath();
    const { left, top, width, height } = this.#plot.bbox;
    ctx.rect(left, top, width, height);
    ctx.clip();
    this.#paintGenerations(ctx);
    this.#paintReferences(ctx);
    this.#paintDots(ctx);
    this.#paintBest(ctx);
    this.#paintHeldOut(ctx);
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
    for (const { kind, mean } of this.history.references) {
      ctx.setLineDash((kind === "parent" ? [6, 4] : [1.5, 3.5]).map((length) => length * this.#ratio));
      ctx.beginPath();
      ctx.moveTo(left, this.#y(mean));
      ctx.lineTo(left + width, this.#y(mean));
      ctx.stroke();
    }
    ctx.setLineDash([]);
  }

  #paintDots(ctx) {
    const { dots } = this.history;
    const radius = (dots.length > 1500 ? 1.8 : dots.length > 400 ? 2.4 : 3.2) * this.#ratio;
    ctx.fillStyle = this.colours.candidate;
    ctx.globalAlpha = dots.length > 1500 ? 0.45 : 0.7;
    ctx.beginPath();
    for (const { number, mean } of dots.filter(({ isDoubted }) => !isDoubted)) {
      const [x, y] = [this.#x(number), this.#y(mean)];
      ctx.moveTo(x + radius, y);
      ctx.arc(x, y, radius, 0, 2 * Math.PI);
    }
    ctx.fill();
    this.#paintDoubted(ctx, radius);
    ctx.globalAlpha = 1;
  }

  /** Candidates whose answers cannot be trusted: crosses. */
  #paintDoubted(ctx, radius) {
    ctx.strokeStyle = this.colours.candidate;
    ctx.lineWidth = 1.5 * this.#ratio;
    ctx.beginPath();
    for (const { number, mean } of this.history.dots.filter(({ isDoubted }) => isDoubted)) {
      const [x, y] = [this.#x(number), this.#y(mean)];
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
    for (const { id, number, mean } of this.history.dots.filter((dot) => this.history.heldOut.has(dot.id))) {
      const [x, y] = [this.#x(number), this.#y(this.history.heldOut.get(id))];
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

  #paintBest(ctx) {
    const steps = this.history.dots.filter(({ isBest }) => isBest);
    if (!steps.length) return;
    ctx.strokeStyle = ctx.fillStyle = this.colours.best;
    ctx.lineWidth = 2.25 * this.#ratio;
    ctx.lineJoin = "round";
    ctx.beginPath();
    let y = this.#y(steps[0].mean);
    ctx.moveTo(this.#x(steps[0].number), y);
    for (const { number, mean } of steps.slice(1)) {
      ctx.lineTo(this.#x(number), y);
      ctx.lineTo(this.#x(number), (y = this.#y(mean)));
    }
    ctx.lineTo(this.#x(this.history.nScored), y);
    ctx.stroke();
    for (const { number, mean } of steps) this.#disc(ctx, this.#x(number), this.#y(mean), 3, this.colours.best);
    const last = steps.at(-1);
    this.#disc(ctx, this.#x(last.number), this.#y(last.mean), 6, this.colours.surface);
    this.#disc(ctx, this.#x(last.number), this.#y(last.mean), 4.5, this.colours.best);
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
    const { references, best } = this.history;
    const lines = best && !inside ? [...references, { name: "best so far", mean: best.mean, isBest: true }] : references;
    return lines.toSorted((a, b) => a.mean - b.mean);
  }

  #describe() {
    const { nScored, generations, best, bestParent } = this.history;
    const words = [`Scores of ${nScored} candidates in ${generations.size} generations`];
    if (best) words.push(`best so far ${percent(best.mean)}`);
    if (bestParent) words.push(`best parent ${bestParent.name} ${percent(bestParent.mean)}`);
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
      const dx = this.#plot.valToPos(dot.number, "x") - (clientX - left);
      const dy = this.#plot.valToPos(dot.mean, "y") - (clientY - top);
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
    this.#shown = dot;
    this.tip.hidden = dot === null;
    this.picture.classList.toggle("on-dot", dot !== null);
    if (!dot) return this.ring?.remove();
    const { id, generation, index, mean, low, high, number, isBest, isDoubted } = dot;
    const heldOut = this.history.heldOut.get(id);
    const [name, score] = this.tip.children;
    name.textContent = `g${generation}.${index}`;
    const words = [`${percent(mean)} [${percent(low)}, ${percent(high)}]`, `${isBest ? "a new best, " : ""}number ${number}`];
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
    const x = this.#plot.valToPos(this.#shown.number, "x");
    const y = this.#plot.valToPos(this.#shown.mean, "y");
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
    ring.style.left = `${this.#plot.valToPos(dot.number, "x")}px`;
    ring.style.top = `${this.#plot.valToPos(dot.mean, "y")}px`;
    ring.addEventListener("animationend", () => ring.remove());
    this.#plot.over.append(ring);
  }
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
