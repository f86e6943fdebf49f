/** The dot in the bar: how the connection to a run stands (feed.js), in a word. */

const WORDS = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting", polling: "Polling every 3 s", off: "" };

export function showState(state, word) {
  const dot = document.querySelector("[data-live]");
  const [sign, said] = [state === "connecting" ? "reconnecting" : state, word || WORDS[state]];
  if (dot.dataset.state === sign && dot.textContent === said) return; // it is said with every frame
  dot.dataset.state = sign;
  dot.textContent = said;
  dot.hidden = !said;
}
