/** The dot in the bar: how the connection to a run stands (feed.js), in a word. */

const WORDS = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting", polling: "Polling every 3 s", off: "" };

export function showState(state, word) {
  const dot = document.querySelector("[data-live]");
  dot.dataset.state = state === "connecting" ? "reconnecting" : state;
  dot.textContent = word || WORDS[state];
  dot.hidden = !dot.textContent;
}
