/** Pictures of many numbers (templates/_plot.html). The library comes when a picture comes into sight, after the text is there.

    What a picture shows is a kind: a module `plots/<kind>.js` with

      option(data, colours, width)   what ECharts draws of the numbers that the figure's address answered with
      rows(data)                     the same numbers as a table: rows of cells, the first row its head; a number is aligned as one
      say(data, i)                   optional: the i-th item of the first series in words, for the tip and for the arrow keys
      open(data, i)                  optional: the candidate that the i-th item is; a click of a mouse, or Enter, leads to its page, which
                                     is below the address in the figure's `data-candidates`

    Numbers with `nothing` have no picture: the text says why. Their `note` stands below the picture. A figure asks anew on `refresh`. */

import { written } from "./plots/axes.js";

const LIBRARY = "../vendor/echarts/echarts.esm.min.js";
const COLOURS = ["ink", "ink-muted", "ink-faint", "surface", "raised", "line", "line-strong", "accent", "good", "warn", "bad", "chart-grid", "chart-axis", "chart-candidate", "chart-best"];
const AHEAD = "200px"; // how far below the screen a picture is got ready
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
const MAX_ROWS = 500;

const reduced = matchMedia("(prefers-reduced-motion: reduce)");

class Plot {
  #chart = null;
  #data = null;
  #kind = null;
  #at = -1;
  #gone = new AbortController();

  constructor(figure) {
    this.figure = figure;
    this.canvas = figure.querySelector(".plot-canvas");
    this.said = figure.querySelector("[data-said]");
    this.again = figure.querySelector("[data-again]");
    this.more = figure.querySelector("details");
    this.again.addEventListener("click", () => this.ask());
    this.more.addEventListener("toggle", () => this.#fill());
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    figure.addEventListener("refresh", () => this.ask());
    document.addEventListener("theme", () => this.#draw(), { signal: this.#gone.signal });
    this.sizes = new ResizeObserver(() => this.#resize());
    this.sizes.observe(this.canvas);
  }

  /** Ask for the numbers and draw them. What is shown already stays until they are there. */
  async ask() {
    this.again.hidden = true;
    try {
      const { plot, url } = this.figure.dataset;
      const [kind, answer] = await Promise.all([import(`./plots/${plot}.js`), fetch(url), import(LIBRARY)]);
      if (!answer.ok || answer.redirected) throw new TypeError(`the server answered ${answer.status}`);
      this.#data = await answer.json();
      this.#kind = kind;
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error;
      return this.#fail();
    }
    this.#become(this.#data.nothing ? "empty" : "ready", this.#data.nothing ?? this.#data.note ?? "");
    if (!this.#data.nothing) await this.#draw();
    this.#fill();
  }

  #fail() {
    if (this.#chart) return; // the picture that is there is older, and better than none
    this.#become("error", "The numbers cannot be had at the moment.");
    this.again.hidden = false;
  }

  #become(state, words) {
    this.figure.dataset.state = state;
    this.said.textContent = words;
  }

  async #draw() {
    const echarts = await import(LIBRARY);
    if (!this.figure.isConnected) return this.#end();
    if (!this.#data || this.#data.nothing) return;
    this.#chart ??= this.#made(echarts);
    const colours = read(this.canvas);
    const option = this.#kind.option(this.#data, colours, this.canvas.clientWidth);
    this.#chart.setOption({ ...common(colours), ...option, tooltip: { ...tip(colours, (i) => this.#say(i)), ...option.tooltip } }, true);
  }

  #made(echarts) {
    const chart = echarts.init(this.canvas);
    chart.on("click", { seriesIndex: 0 }, ({ dataIndex, event }) => event.event.pointerType !== "touch" && this.#open(dataIndex));
    return chart;
  }

  /** Another stands in the figure's place. */
  #end() {
    this.#gone.abort();
    this.sizes.disconnect();
    this.#chart?.dispose();
    this.#chart = this.#data = null;
  }

  #open(i) {
    const { candidates } = this.figure.dataset;
    if (candidates && this.#kind.open) location.assign(`${candidates}${this.#kind.open(this.#data, i)}/`);
  }

  /** A figure that was taken out of the page has no size any more, which is told, too. */
  #resize() {
    if (!this.figure.isConnected) return this.#end();
    if (!this.#chart || !this.canvas.clientWidth) return;
    this.#chart.resize();
    this.#draw(); // what fits beside what depends on the width
  }

  #say(i) {
    return this.#kind.say?.(this.#data, i) ?? "";
  }

  /** Walk along the items of the first series. */
  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const step = STEPS[event.key];
    if (event.key === "Enter" && this.#at >= 0) return this.#open(this.#at);
    if (!this.#chart || !this.#kind?.say || (step === undefined && event.key !== "Escape")) return;
    event.preventDefault();
    const n = this.#chart.getOption().series[0].data.length;
    this.#at = step === undefined ? -1 : Math.min(Math.max(this.#at < 0 && Number.isFinite(step) ? 0 : this.#at + step, 0), n - 1);
    this.said.textContent = this.#at < 0 ? (this.#data.note ?? "") : this.#say(this.#at).replaceAll("\n", ", ");
    this.#chart.dispatchAction({ type: "downplay", seriesIndex: 0 });
    if (this.#at < 0) return this.#chart.dispatchAction({ type: "hideTip" });
    for (const type of ["highlight", "showTip"]) this.#chart.dispatchAction({ type, seriesIndex: 0, dataIndex: this.#at });
  }

  /** The table is made when somebody opens it. */
  #fill() {
    if (!this.more.open || !this.#data || this.#data.nothing) return;
    const [head, ...body] = this.#kind.rows(this.#data);
    const table = this.more.querySelector("table");
    table.replaceChildren(part("thead", [head], "th", body[0]), part("tbody", body.slice(0, MAX_ROWS), "td"));
    if (body.length > MAX_ROWS) table.append(Object.assign(document.createElement("caption"), { textContent: `The first ${MAX_ROWS} of ${body.length} rows.` }));
  }
}

/** Rows of a table; `like` is a row whose numbers say how the columns are aligned. */
function part(tag, rows, cell, like) {
  const made = document.createElement(tag);
  for (const row of rows) {
    const line = made.insertRow();
    row.forEach((value, i) => {
      const box = document.createElement(cell);
      box.textContent = typeof value === "number" ? written(value) : (value ?? "–");
      if (cell === "th") box.scope = "col";
      if (typeof (like ?? row)[i] === "number") box.className = "num";
      line.append(box);
    });
  }
  return made;
}

/** The colours and the font of the page, as the theme has them: `colours.ink`, `colours.series[0]`, `colours.ramp[0]` … `ramp[6]`. */
function read(element) {
  const found = Object.fromEntries(COLOURS.map((name) => [name, window.progeny.colour(`--${name}`)]));
  const list = (name, from, to) => Array.from({ length: to - from + 1 }, (_, i) => window.progeny.colour(`--${name}-${from + i}`));
  return { ...found, series: list("series", 1, 8), ramp: list("ramp", 0, 6), font: getComputedStyle(element).fontFamily };
}

function common(colours) {
  return {
    animation: !reduced.matches,
    animationDuration: 300,
    backgroundColor: "transparent",
    color: colours.series,
    textStyle: { color: colours["ink-muted"], fontFamily: colours.font, fontSize: 12 },
    aria: { enabled: false }, // the figure has its own words
  };
}

/** Text, not markup: the content policy allows no style in it. */
function tip(colours, say) {
  return {
    renderMode: "richText",
    confine: true,
    backgroundColor: colours.raised,
    borderColor: colours["line-strong"],
    borderWidth: 1,
    textStyle: { color: colours.ink, fontFamily: colours.font, fontSize: 12 },
    formatter: ({ dataIndex }) => say(dataIndex),
  };
}

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    new Plot(target).ask();
  }
}, { rootMargin: AHEAD });

const known = new WeakSet();

/** Draw the figures in here that are not drawn yet. */
export function look(root) {
  for (const figure of root.querySelectorAll("[data-plot]")) {
    if (known.has(figure)) continue;
    known.add(figure);
    seen.observe(figure);
  }
}

look(document);
document.addEventListener("htmx:load", ({ target }) => look(target.parentElement ?? document));
