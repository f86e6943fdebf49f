/** The live page: joins the feed, the history, the chart and the parts that the server renders. */

import { Chart } from "./chart.js";
import { ChartChoices } from "./chart_choices.js";
import { Feed } from "./feed.js";
import { duration, percent } from "./figures.js";
import { ENDED, History } from "./history.js";
import { showState } from "./live_dot.js";
import { Now } from "./now.js";
import { Parts } from "./parts.js";
import { Views } from "./views.js";

const AWAY_MS = 10000;
const NOTED = ["run.state", "evaluation.failed"]; // events that the chart notes
const NOTES_MS = 1500;
const NOTES_ANYWAY_MS = 60000; // of lost workers no event tells
const PICTURES_MS = 5000;

const root = document.querySelector("[data-run]");
const history = new History();
const chart = new Chart(root.querySelector("[data-chart]"), history, ({ id }) => location.assign(`${root.dataset.candidates}${id}/`));
const parts = new Parts(document, settle);
const now = new Now();
const choices = new ChartChoices(root.querySelector("[data-chart-choices]"), (axis, alone) => chart.view(axis, alone));
new Views(root, () => parts.ask("deep"));
let isOver = false;
let shown = Number(root.dataset.seq); // the newest event that the parts on the page know of, at least
const feed = new Feed({
  socketPath: root.dataset.socket,
  historyPath: root.dataset.history,
  position: () => history.seq,
  onFrame: hear,
  onState: showState,
});

feed.open();
setInterval(tick, 1000);

function hear(frame) {
  if (frame.type === "progress") return now.show(frame);
  if (frame.type === "export") return true;
  const known = history.dots.length;
  const fresh = history.apply(frame);
  if (fresh === null) return false;
  if (frame.type === "snapshot") greet();
  if (history.seq > shown) {
    shown = history.seq;
    parts.refresh();
  }
  for (const { payload } of fresh) now.done(payload.candidate);
  if (fresh.length) noteSoon(fresh.some(({ kind }) => NOTED.includes(kind)) ? NOTES_MS : NOTES_ANYWAY_MS);
  choices.grown(history.nScored);
  chart.draw(frame.type === "snapshot" ? [] : history.dots.slice(known));
  sayWhatIsAwaited(root.querySelector("[data-empty]"));
  root.querySelector("[data-doubted]").toggleAttribute("hidden", !history.dots.some(({ isDoubted }) => isDoubted));
  fillTable();
  if (ENDED.includes(history.state)) finish();
  return true;
}

/** Below the empty chart: no longer that a worker is awaited when one is at work. */
function sayWhatIsAwaited(said) {
  if (said.hidden) return; // a dot stays: to hide it again would have the page laid out anew
  said.hidden = history.dots.length > 0;
  if (history.state === "running") said.textContent = said.dataset.onceStarted;
}

/** Nothing more will happen: show the last parts and hang up. While something is still measured of an ended run, listen on. */
function finish() {
  if (isOver || root.querySelector("[data-unfinished]:not([data-unfinished='0'])")) return;
  isOver = true;
  parts.refresh();
  redraw();
  now.clear();
  feed.close();
}

// what was missed

let remembered = -1;
const seenKey = `progeny.seen.${root.dataset.run}`;

/** On return: how many results came in the meantime. */
function greet() {
  const seen = Number(localStorage.getItem(seenKey) ?? history.nScored);
  const missed = history.nScored - seen;
  if (missed > 0) {
    const stillRuns = ENDED.includes(history.state) ? "It has ended" : "Still running";
    window.progeny.toast(`${stillRuns}: you missed ${missed} result${missed === 1 ? "" : "s"}.`);
  }
}

/** What has been seen. Not with every frame, because each time the browser writes it down. */
function remember() {
  if (history.seq < 0 || remembered === history.nScored) return;
  remembered = history.nScored;
  localStorage.setItem(seenKey, remembered);
}
addEventListener("pagehide", () => document.hidden || remember());

let hiddenAt = 0;
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    hiddenAt = Date.now();
    remember();
  } else if (Date.now() - hiddenAt > AWAY_MS) {
    greet();
    remember();
  }
});

// what is written beside the scores

let noting = { at: Infinity, timer: 0 };

/** Ask for the notes in so many ms, unless they are asked for sooner. */
function noteSoon(ms) {
  const at = Date.now() + ms;
  if (at >= noting.at) return;
  clearTimeout(noting.timer);
  noting = { at, timer: setTimeout(note, ms) };
}

async function note() {
  noting = { at: Infinity, timer: 0 };
  try {
    const answer = await fetch(root.dataset.notes);
    if (!answer.ok || answer.redirected) return;
    const { notes } = await answer.json();
    chart.note(notes);
    for (const sign of root.querySelectorAll("[data-noted]")) sign.hidden = !notes.some(({ kind }) => kind === sign.dataset.noted);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // the server is away; the feed says so
  }
}
note();

// small things

function tick() {
  const elapsed = document.querySelector("[data-since]");
  if (elapsed) elapsed.textContent = since(Date.parse(elapsed.dataset.since));
  const age = document.querySelector("[data-age]");
  if (age) age.textContent = `${since(Math.max(Date.parse(age.dataset.age), history.newestAt ?? 0))} ago`;
  now.expire();
  if (document.hidden) return;
  chart.beat();
  remember();
}

const since = (ms) => duration(Math.floor(Math.max(0, Date.now() - ms) / 1000));

/** Parts are in their places: with them the last that was measured of an ended run may have come. */
function settle() {
  now.draw();
  if (ENDED.includes(history.state)) finish();
  else if (Date.now() - drawn > PICTURES_MS) redraw();
}

let drawn = Date.now();

/** Pictures of what changes ask for their numbers anew: those that have asked already. */
function redraw() {
  drawn = Date.now();
  for (const figure of root.querySelectorAll("[data-plot]:not([data-state=loading])")) figure.dispatchEvent(new CustomEvent("refresh"));
}

const table = root.querySelector("[data-chart-table]");
table.addEventListener("toggle", fillTable);

function fillTable() {
  if (!table.open) return;
  table.querySelector("tbody").replaceChildren(...history.summaries().map(({ generation, n, best, mean, spread }) => {
    const row = document.createElement("tr");
    for (const text of [generation, n, percent(best), percent(mean), percent(spread)]) {
      const cell = row.appendChild(document.createElement("td"));
      cell.textContent = text;
      cell.className = "num";
    }
    return row;
  }));
}

root.addEventListener("pointerover", ({ target }) => {
  const row = target.closest("tr[data-candidate]");
  if (row) chart.highlight(Number(row.dataset.candidate));
});
root.addEventListener("pointerout", ({ target }) => target.closest("tr[data-candidate]") && chart.highlight(null));
