/** The connection to a run. A websocket; when that fails three times, history asked for every three seconds, until the socket is back.
    Hands over frames and says how it stands; knows nothing of what frames mean. */

const POLL_MS = 3000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15000;
const FAILURES_BEFORE_POLLING = 3;
const REFUSALS = { 4401: "Signed out", 4403: "Refused", 4404: "Not found" };

export class Feed {
  #socket = null;
  #failures = 0;
  #retry = 0;
  #poll = 0;
  #closed = false;

  /** `position()` is the newest event number that is known; `onFrame(frame)` returns false when events are missing between. */
  constructor({ socketPath, historyPath, position, onFrame, onState }) {
    Object.assign(this, { socketPath, historyPath, position, onFrame, onState });
    addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
  }

  open() {
    this.#closed = false;
    this.onState(this.#failures ? "reconnecting" : "connecting");
    this.#connect();
  }

  /** Nothing more is expected. */
  close(state = "off", word = "") {
    this.#closed = true;
    clearTimeout(this.#retry);
    clearInterval(this.#poll);
    this.#poll = 0;
    this.#socket?.close();
    this.#socket = null;
    this.onState(state, word);
  }

  #connect() {
    clearTimeout(this.#retry);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}${this.socketPath}?last=${this.position()}`);
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#socket === socket && this.#hear(JSON.parse(data));
    socket.onclose = ({ code }) => this.#socket === socket && this.#lost(code);
  }

  #hear(frame) {
    this.#failures = 0;
    clearInterval(this.#poll);
    this.#poll = 0;
    this.onState("live");
    if (this.onFrame(frame) === false && this.#socket) {
      this.#socket.close(); // ask again from where we are
      this.#connect();
    }
  }

  #lost(code) {
    this.#socket = null;
    if (this.#closed) return;
    if (code in REFUSALS) return this.close("off", REFUSALS[code]);
    this.#failures += 1;
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.#failures - 1)) * (0.5 + Math.random());
    this.#retry = setTimeout(() => this.#connect(), wait);
    if (this.#failures < FAILURES_BEFORE_POLLING) return this.onState("reconnecting");
    this.onState("polling");
    this.#poll ||= setInterval(() => this.#ask(), POLL_MS);
  }

  async #ask() {
    try {
      const answer = await fetch(`${this.historyPath}?after=${this.position()}`, { headers: { Accept: "application/json" } });
      if (answer.redirected) return this.close("off", REFUSALS[4401]);
      if (answer.status === 404) return this.close("off", REFUSALS[4404]);
      if (answer.ok && this.#poll) this.onFrame(await answer.json());
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // the server is away: the next round asks again
    }
  }

  #hurry() {
    if (this.#closed || this.#socket) return;
    this.#connect();
  }
}
