/**
 * One answer, from its question to its end, whatever breaks in between. The answer is a log on the server, every
 * event of it has a number, and text is taken once.
 *
 * @typedef {{index: number, document_id: string, title: string, start: number, end: number, quote: string,
 *   file_id: string | null, filename: string | null, page: number | null, headings: string[]}} Citation
 * @typedef {"running" | "completed" | "failed" | "cancelled" | "interrupted"} State
 *   interrupted: the console gave up reading; the answer may be going on
 * @typedef {{key: string, model: string, store: string, question: string, requestId: string, text: string, last: number, state: State,
 *   citations: Citation[], grounding: string, finish: string, error: {code: string, message: string} | null,
 *   askedMs: number, firstMs: number | null, endedMs: number | null, tokens: number | null, resumed: boolean}} Turn
 *   `last` is the number of the last event taken, -1 for none; times are this machine's Unix milliseconds
 *
 * @typedef {{ask: (turn: Turn) => Promise<Response>, resume: (turn: Turn) => Promise<Response>,
 *   read: (response: Response, onEvent: (event: import("./sse.js").StreamEvent) => void) => Promise<void>,
 *   pause: (ms: number) => Promise<void>, now: () => number, changed: () => void}} Line
 *   the way to the gateway
 */

import { ApiError } from "./api.js";
import { requestIdOf } from "./format.js";
import { backoff } from "./sse.js";

/** So many tries in a row may bring nothing. With the pauses between them, nearly a minute. */
const TRIES = 9;

/** An error that only the gateway at hand has: the answer may be going on. */
class Broken extends Error {
  /** @param {{code: string, message: string}} error */
  constructor(error) {
    super(error.message);
    this.code = error.code;
  }
}

/**
 * A turn that has not been asked yet.
 *
 * @param {{key: string, question: string, model?: string, store?: string}} asked `key` makes asking again harmless
 * @param {number} now
 * @returns {Turn}
 */
export function newTurn({ key, question, model = "", store = "" }, now) {
  return {
    key,
    model,
    store,
    question,
    requestId: "",
    text: "",
    last: -1,
    state: "running",
    citations: [],
    grounding: "",
    finish: "",
    error: null,
    askedMs: now,
    firstMs: null,
    endedMs: null,
    tokens: null,
    resumed: false,
  };
}

/**
 * Take an event into the turn; one that it has already changes nothing. Raises Broken.
 *
 * @param {Turn} turn
 * @param {import("./sse.js").StreamEvent} event
 * @param {number} now
 */
export function take(turn, event, now) {
  const number = event.id === null ? NaN : Number(event.id);
  if (number <= turn.last) return;
  if (event.data === "[DONE]") {
    finish(turn, "completed", now);
  } else {
    const data = JSON.parse(event.data);
    if (data.error) {
      if (Number.isNaN(number)) throw new Broken(data.error);
      fail(turn, data.error, now);
    } else {
      takeChunk(turn, data, now);
    }
  }
  if (!Number.isNaN(number)) turn.last = number;
}

/**
 * @param {Turn} turn
 * @param {any} chunk a ChatCompletionChunk
 * @param {number} now
 */
function takeChunk(turn, chunk, now) {
  turn.requestId ||= requestIdOf(String(chunk.id));
  const text = chunk.choices[0]?.delta?.content;
  if (text) {
    turn.firstMs ??= now;
    turn.text += text;
  }
  if (chunk.citations) turn.citations = chunk.citations;
  if (chunk.grounding) turn.grounding = chunk.grounding;
  if (chunk.choices[0]?.finish_reason) turn.finish = chunk.choices[0].finish_reason;
  if (chunk.usage) turn.tokens = chunk.usage.completion_tokens;
}

/**
 * Bring a turn to its end: ask, read, and connect again at the place where the stream broke. Raises AbortError.
 *
 * @param {Turn} turn
 * @param {Line} line
 */
export async function run(turn, line) {
  for (let tries = 0; turn.state === "running"; tries++) {
    const before = turn.last;
    /** @type {ApiError | Broken} */
    let broken;
    try {
      const response = await (turn.requestId ? line.resume(turn) : line.ask(turn));
      turn.requestId ||= response.headers.get("x-request-id") ?? "";
      line.changed();
      if (response.status === 204) return finish(turn, "completed", line.now());
      await line.read(response, (event) => {
        take(turn, event, line.now());
        line.changed();
      });
      if (turn.state !== "running") return;
      broken = new Broken({ code: "broken", message: "The connection broke off before the answer's end." });
    } catch (error) {
      if (!(error instanceof ApiError || error instanceof Broken)) throw error;
      broken = error;
    } finally {
      line.changed();
    }
    if (turn.last > before) tries = 0;
    if (broken instanceof ApiError && isLasting(broken)) {
      if (broken.status >= 499) turn.requestId ||= broken.requestId; // it was taken: there is a trace
      return fail(turn, broken, line.now());
    }
    if (tries >= TRIES) return interrupt(turn, broken);
    turn.resumed = turn.resumed || turn.requestId !== "";
    const wait = broken instanceof ApiError ? broken.retryAfterMs : null;
    await line.pause(Math.max(wait ?? 0, backoff(tries)));
  }
}

/**
 * Whether asking again would bring the same: a refusal, or an answer that failed before its first word.
 *
 * @param {ApiError} error
 */
function isLasting(error) {
  const passing = [0, 408, 425, 429, 502, 503];
  return !passing.includes(error.status) || error.code === "not_configured";
}

/**
 * @param {Turn} turn
 * @param {State} state
 * @param {number} now
 */
function finish(turn, state, now) {
  turn.state = state;
  turn.endedMs = now;
}

/**
 * @param {Turn} turn
 * @param {{code: string, message: string}} error
 * @param {number} now
 */
function fail(turn, { code, message }, now) {
  turn.error = { code, message };
  finish(turn, code === "request_cancelled" ? "cancelled" : "failed", now);
}

/**
 * @param {Turn} turn
 * @param {{code: string, message: string}} error
 */
function interrupt(turn, { code, message }) {
  turn.state = "interrupted";
  turn.error = { code, message };
}

/**
 * How fast the answer came, from what this console saw; null where it did not see it.
 *
 * @param {Turn} turn
 * @returns {{firstMs: number | null, tokensPerS: number | null}}
 */
export function speed({ resumed, askedMs, firstMs, endedMs, tokens }) {
  if (resumed || firstMs === null) return { firstMs: null, tokensPerS: null };
  return { firstMs: firstMs - askedMs, tokensPerS: tokensPerS(tokens, firstMs, endedMs) };
}

/**
 * Tokens a second from the first on.
 *
 * @param {number | null} tokens
 * @param {number | null} firstMs
 * @param {number | null} endedMs
 */
export function tokensPerS(tokens, firstMs, endedMs) {
  if (tokens === null || tokens < 2 || firstMs === null || endedMs === null || endedMs <= firstMs)
    return null;
  return ((tokens - 1) / (endedMs - firstMs)) * 1000;
}
