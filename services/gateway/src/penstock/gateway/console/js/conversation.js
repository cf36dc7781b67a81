/**
 * A conversation and its running answer. It goes on while another page is shown, and after a reload of the tab:
 * text and place in the stream are kept together in the session storage, so that they always fit.
 */

import { isAbort, send, told } from "./api.js";
import { newTurn, run } from "./answer.js";
import { pause, readEvents } from "./sse.js";

const KEPT_AS = "penstock.conversation";
const SAVE_EVERY_MS = 400;
/** For how long the gateway waits for a tab that reloads or a network that is away, in seconds. */
const GRACE_S = "60";

/** @typedef {import("./answer.js").Turn} Turn */

/** Fires `change` whenever something is to be shown anew. */
export class Conversation extends EventTarget {
  /**
   * @param {Storage | null} storage where it is kept; null: nowhere
   * @param {{model?: string, store?: string, turns?: Turn[]}} [kept]
   */
  constructor(storage, { model = "", store = "", turns = [] } = {}) {
    super();
    this.storage = storage;
    this.model = model;
    this.store = store;
    this.turns = turns;
    this.closing = new AbortController();
    this.saving = 0;
    if (storage) addEventListener("pagehide", () => this.save(), { signal: this.closing.signal });
  }

  /** The answer that is being written, if one is. */
  get running() {
    return this.turns.find((turn) => turn.state === "running") ?? null;
  }

  /** @param {string} question */
  ask(question) {
    const { model, store } = this;
    const turn = newTurn({ key: newKey(), question, model, store }, Date.now());
    this.turns.push(turn);
    this.go(turn);
    return turn;
  }

  /** Go on with answers that a reload cut off. */
  goOn() {
    for (const turn of this.turns.filter((one) => one.state === "running")) {
      turn.resumed = true;
      this.go(turn);
    }
  }

  /**
   * Read an answer again that could not be reached, or ask its question anew.
   *
   * @param {Turn} turn
   */
  again(turn) {
    if (turn.state === "interrupted") {
      Object.assign(turn, { state: "running", error: null, resumed: turn.requestId !== "" });
      this.go(turn);
    } else {
      this.turns = this.turns.filter((one) => one !== turn);
      this.ask(turn.question);
    }
  }

  /**
   * Give an answer up: what is there stays. Raises ApiError.
   *
   * @param {Turn} turn
   */
  async stop(turn) {
    while (turn.state === "running" && !turn.requestId) await pause(100, this.closing.signal);
    if (turn.state === "running") await send("POST", `/v1/chat/completions/${turn.requestId}/cancel`);
  }

  /** Forget all of it. */
  close() {
    this.closing.abort();
    this.storage?.removeItem(KEPT_AS);
    this.storage = null;
  }

  /** @param {Turn} turn */
  async go(turn) {
    const { signal } = this.closing;
    const before = this.turns.slice(0, this.turns.indexOf(turn));
    const waited = { "x-disconnect-grace": GRACE_S };
    try {
      await run(turn, {
        ask: () =>
          send("POST", "/v1/chat/completions", {
            json: this.body(turn, before),
            headers: { "idempotency-key": turn.key, ...waited },
            signal,
          }),
        resume: () =>
          send("GET", `/v1/chat/completions/${turn.requestId}/stream?include_usage=true`, {
            headers: { ...(turn.last >= 0 ? { "last-event-id": String(turn.last) } : {}), ...waited },
            signal,
          }),
        read: (response, onEvent) => readEvents(response, onEvent, signal),
        pause: (ms) => pause(ms, signal),
        now: Date.now,
        changed: () => this.changed(),
      });
    } catch (error) {
      if (isAbort(error)) return;
      Object.assign(turn, { state: "failed", error: { code: "console", message: told(error) } });
      throw error;
    } finally {
      this.changed();
    }
  }

  /**
   * @param {Turn} turn
   * @param {Turn[]} before
   */
  body(turn, before) {
    const said = before.filter((one) => one.question && one.text && one.state !== "failed");
    const messages = said.flatMap((one) => [
      { role: "user", content: one.question },
      { role: "assistant", content: one.text },
    ]);
    return {
      model: turn.model,
      stream: true,
      stream_options: { include_usage: true },
      messages: [...messages, { role: "user", content: turn.question }],
      ...(turn.store ? { vector_store_ids: [turn.store] } : {}),
    };
  }

  changed() {
    this.dispatchEvent(new Event("change"));
    if (!this.running) this.save();
    else this.saving ||= window.setTimeout(() => this.save(), SAVE_EVERY_MS);
  }

  save() {
    clearTimeout(this.saving);
    this.saving = 0;
    try {
      const { model, store, turns } = this;
      this.storage?.setItem(KEPT_AS, JSON.stringify({ model, store, turns }));
    } catch {
      this.storage = null; // too long for the storage: it lives as long as the tab
    }
  }
}

/** An idempotency key; crypto.randomUUID is there on secure pages only. */
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}

/** @type {Conversation | null} */
let current = null;

/** The conversation of this tab, made or taken up again. */
export function conversation() {
  if (!current) {
    current = new Conversation(sessionStorage, kept());
    current.goOn();
  }
  return current;
}

/** Begin a new one, of the same model and store. */
export function startAnew() {
  const { model, store } = conversation();
  current?.close();
  current = new Conversation(sessionStorage, { model, store });
  return current;
}

/** Leave nothing behind for whoever signs in next. */
export function forget() {
  current?.close();
  current = null;
  sessionStorage.removeItem(KEPT_AS);
}

/**
 * An answer that was asked for elsewhere, read from its beginning; its question is not known here.
 *
 * @param {string} requestId
 */
export function elsewhere(requestId) {
  const turn = { ...newTurn({ key: "", question: "" }, Date.now()), requestId, resumed: true };
  const found = new Conversation(null, { turns: [turn] });
  found.go(turn);
  return found;
}

/** @returns {{model?: string, store?: string, turns?: Turn[]} | undefined} */
function kept() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT_AS) ?? "null") ?? undefined;
  } catch {
    return undefined;
  }
}
