/** The whole leaderboard while its run goes on: says how many rows are new, and shows them when asked. Nothing moves by itself. */

import { Feed } from "./feed.js";
import { ENDED } from "./history.js";
import { showState } from "./live_dot.js";
import { markMoves, places } from "./moves.js";

const board = () => document.querySelector("[data-board]");
let seq = Number(board().dataset.seq);
let news = 0; // scores that the table lacks
let added = new Set(); // candidates among them that were never scored before

if (!("ended" in board().dataset)) listen();

function listen() {
  const run = `/runs/${board().dataset.run}/`;
  const feed = new Feed({
    socketPath: `/ws${run}`,
    historyPath: `${run}history.json`,
    position: () => seq,
    onFrame: (frame) => hear(frame, feed),
    onState: showState,
  });
  feed.open();
}

function hear(frame, feed) {
  if (frame.type === "snapshot") {
    if (frame.seq > seq) news += 1; // too much was missed to tell how many
    seq = frame.seq;
    if (ENDED.includes(frame.state)) feed.close();
  } else if (frame.events) {
    const fresh = frame.events.filter((event) => event.seq > seq);
    if (fresh.length && fresh[0].seq !== seq + 1) return false;
    for (const event of fresh) take(event, feed);
    seq = fresh.at(-1)?.seq ?? seq;
  }
  say();
  return true;
}

function take({ kind, payload }, feed) {
  if (kind === "run.state" && ENDED.includes(payload.state)) feed.close();
  if (kind !== "evaluation.done" || payload.split === "probe") return;
  news += 1;
  if (payload.split === "search") added.add(payload.candidate);
}

function say() {
  const pill = board().querySelector("[data-pill]");
  pill.textContent = added.size ? `${added.size} new – show` : "New scores – show";
  pill.hidden = news === 0;
}

document.addEventListener("click", async ({ target }) => {
  if (!target.closest("[data-board] [data-pill]")) return;
  [news, added] = [0, new Set()];
  const asked = new URLSearchParams(location.search);
  asked.set("part", "board");
  const before = places(board());
  await window.htmx.ajax("GET", `${location.pathname}?${asked}`, { target: board(), swap: "outerHTML" });
  markMoves(board(), before);
  say();
});
