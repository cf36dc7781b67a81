/**
 * Server-sent events (WHATWG HTML, section 9.2) read by fetch: EventSource can neither post, nor send
 * Last-Event-ID at will, nor tell a refusal's reason.
 *
 * @typedef {{id: string | null, data: string}} StreamEvent
 */

import { ApiError, isAbort, send, unreachable } from "./api.js";

/** Longer than the 15 s after which a silent stream has a comment. */
export const SILENCE_MS = 40_000;

/** Cuts text that arrives in any pieces into events. An event's id is its own: null where it has none. */
export class Parser {
  /** @param {(event: StreamEvent) => void} onEvent */
  constructor(onEvent) {
    this.onEvent = onEvent;
    this.rest = "";
    this.begun = false;
    /** @type {string[]} */
    this.data = [];
    /** @type {string | null} */
    this.id = null;
  }

  /** @param {string} text */
  push(text) {
    this.rest += text;
    if (!this.begun && this.rest) {
      this.begun = true;
      if (this.rest.startsWith("\ufeff")) this.rest = this.rest.slice(1);
    }
    // A CR at the very end may be half of a CR LF.
    const whole = this.rest.endsWith("\r") ? this.rest.slice(0, -1) : this.rest;
    const lines = whole.split(/\r\n|\n|\r/);
    this.rest = lines.pop() + this.rest.slice(whole.length);
    for (const line of lines) this.line(line);
  }

  /** @param {string} line */
  line(line) {
    if (line === "") {
      if (this.data.length) this.onEvent({ id: this.id, data: this.data.join("\n") });
      this.clear();
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") this.data.push(value);
    else if (field === "id") this.id = value;
  }

  clear() {
    this.data = [];
    this.id = null;
  }
}

/**
 * How long to wait before try `attempt` (from 0): doubled each time, up to 10 s, and not all at the same moment.
 *
 * @param {number} attempt
 * @param {() => number} random
 */
export function backoff(attempt, random = Math.random) {
  return Math.min(10_000, 500 * 2 ** attempt) * (0.5 + random() / 2);
}

/**
 * Wait, or until the network is back if that is sooner. Raises AbortError.
 *
 * @param {number} ms
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new DOMException("", "AbortError"));
    const done = (/** @type {Event | null} */ event) => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      event?.type === "abort" ? reject(new DOMException("", "AbortError")) : resolve();
    };
    const timer = setTimeout(done, ms, null);
    addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}

/**
 * Read a response's events to its end. A stream that is silent for too long counts as broken: a connection
 * whose other side has gone says nothing. Raises ApiError with status 0, or AbortError.
 *
 * @param {Response} response
 * @param {(event: StreamEvent) => void} onEvent
 * @param {AbortSignal} signal
 */
export async function readEvents(response, onEvent, signal) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  const parser = new Parser(onEvent);
  let silent = false;
  const giveUp = () => {
    silent = true;
    reader.cancel().catch(() => undefined);
  };
  let timer = setTimeout(giveUp, SILENCE_MS);
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error) => {
        throw signal.aborted ? error : unreachable();
      });
      if (done) break;
      clearTimeout(timer);
      timer = setTimeout(giveUp, SILENCE_MS);
      parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    clearTimeout(timer);
    reader.cancel().catch(() => undefined);
  }
  if (silent) throw unreachable();
}

/**
 * Follow a stream of JSON objects until the signal, connecting again when it breaks.
 *
 * @param {string} path
 * @param {{signal: AbortSignal, onData: (data: any) => void, onState: (state: "live" | "waiting" | "refused", error?: ApiError) => void}} what
 */
export async function follow(path, { signal, onData, onState }) {
  for (let attempt = 0; !signal.aborted;) {
    try {
      const response = await send("GET", path, { signal, headers: { accept: "text/event-stream" } });
      onState("live");
      await readEvents(
        response,
        (event) => {
          attempt = 0;
          onData(JSON.parse(event.data));
        },
        signal,
      );
      onState("waiting");
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      const lasting = error.status >= 400 && error.status < 500 && error.status !== 429;
      onState(lasting ? "refused" : "waiting", error);
      if (lasting) return;
    }
    await pause(backoff(attempt++), signal).catch(() => undefined);
  }
}
