import assert from "node:assert/strict";
import test from "node:test";

import { newTurn, run, speed, take } from "../../src/penstock/gateway/console/js/answer.js";
import { ApiError } from "../../src/penstock/gateway/console/js/api.js";

const TEXT = "A penstock is a pipe. 🚰 It has a gate [1].";
const CITATION = { index: 1, quote: "It has a gate." };

/** The events of an answer as the gateway numbers them: by characters, a surrogate pair being one. */
function eventsOf(text) {
  const letters = [...text];
  const chunk = (choices, more = {}) => JSON.stringify({ id: "chatcmpl-r1", choices, ...more });
  const events = [{ id: "0", data: chunk([{ delta: { role: "assistant", content: "" } }]) }];
  for (let at = 0; at < letters.length; at += 5) {
    const piece = letters.slice(at, at + 5);
    events.push({ id: String(at + piece.length), data: chunk([{ delta: { content: piece.join("") } }]) });
  }
  const end = letters.length;
  events.push({
    id: String(end + 1),
    data: chunk([{ delta: {}, finish_reason: "stop" }], { citations: [CITATION] }),
  });
  events.push({ id: String(end + 2), data: chunk([], { usage: { completion_tokens: 11 } }) });
  events.push({ id: String(end + 3), data: "[DONE]" });
  return events;
}

/** A gateway whose connections break after so many events, one number a connection; then they hold. */
function gateway(events, breaks) {
  const calls = [];
  let clock = 1000;
  const respond = (kind) => async (turn) => {
    calls.push([kind, turn.last]);
    return { status: 200, headers: new Headers({ "x-request-id": "r1" }) };
  };
  return {
    calls,
    ask: respond("ask"),
    resume: respond("resume"),
    read: async (_response, onEvent) => {
      const [, last] = calls.at(-1);
      const rest = events.filter(({ id }) => id === null || Number(id) > last);
      const most = breaks.length ? breaks.shift() : Infinity;
      for (const event of rest.slice(0, most)) onEvent(event);
      if (most < rest.length) throw new ApiError(0, "unreachable", "gone");
    },
    pause: async () => undefined,
    now: () => (clock += 10),
    changed: () => undefined,
  };
}

test("an answer that is never interrupted", async () => {
  const turn = newTurn({ key: "k", question: "?" }, 1000);
  const line = gateway(eventsOf(TEXT), []);
  await run(turn, line);
  assert.equal(turn.text, TEXT);
  assert.equal(turn.state, "completed");
  assert.equal(turn.requestId, "r1");
  assert.deepEqual(turn.citations, [CITATION]);
  assert.equal(turn.tokens, 11);
  const { firstMs, tokensPerS } = speed(turn);
  assert.ok(firstMs > 0 && tokensPerS > 0);
});

test("wherever the connection breaks, the text is the same and asked for once", async () => {
  const events = eventsOf(TEXT);
  for (let at = 0; at < events.length; at++) {
    const turn = newTurn({ key: "k", question: "?" }, 1000);
    const line = gateway(events, [at, 1, 0, 2]);
    await run(turn, line);
    assert.equal(turn.text, TEXT, `broken after ${at} events`);
    assert.equal(turn.state, "completed");
    assert.equal(line.calls.filter(([kind]) => kind === "ask").length, 1);
    assert.deepEqual(turn.citations, [CITATION]);
  }
});

test("events that come twice change nothing", () => {
  const turn = newTurn({ key: "k", question: "?" }, 1000);
  for (const event of eventsOf(TEXT).flatMap((one) => [one, one])) take(turn, event, 1000);
  assert.equal(turn.text, TEXT);
});

test("an error with a number ends the answer, one without is only this gateway's", async () => {
  const failed = {
    id: "6",
    data: JSON.stringify({ error: { code: "answer_interrupted", message: "It broke off." } }),
  };
  const turn = newTurn({ key: "k", question: "?" }, 1000);
  await run(turn, gateway([...eventsOf(TEXT).slice(0, 2), failed], []));
  assert.equal(turn.state, "failed");
  assert.equal(turn.error.message, "It broke off.");

  const stopping = {
    id: null,
    data: JSON.stringify({ error: { code: "shutting_down", message: "Go elsewhere." } }),
  };
  const other = newTurn({ key: "k", question: "?" }, 1000);
  const line = gateway(eventsOf(TEXT), []);
  const { read } = line;
  line.read = async (response, onEvent) =>
    line.calls.length > 1 ? read(response, onEvent) : onEvent(stopping);
  await run(other, line);
  assert.equal(other.state, "completed");
  assert.equal(other.text, TEXT);
});

test("a refusal ends it at once, an absence only after many tries", async () => {
  const refused = newTurn({ key: "k", question: "?" }, 1000);
  const line = gateway([], []);
  line.ask = async () => {
    throw new ApiError(400, "invalid_value", "Too long.");
  };
  await run(refused, line);
  assert.equal(refused.state, "failed");
  assert.equal(refused.error.message, "Too long.");

  const away = newTurn({ key: "k", question: "?" }, 1000);
  let tries = 0;
  line.ask = async () => {
    tries++;
    throw new ApiError(503, "not_ready", "Not ready.");
  };
  await run(away, line);
  assert.equal(away.state, "interrupted");
  assert.ok(tries > 5);
});

test("a cancelled answer keeps its text", async () => {
  const turn = newTurn({ key: "k", question: "?" }, 1000);
  const cancelled = {
    id: "6",
    data: JSON.stringify({ error: { code: "request_cancelled", message: "Cancelled." } }),
  };
  await run(turn, gateway([...eventsOf(TEXT).slice(0, 2), cancelled], []));
  assert.equal(turn.state, "cancelled");
  assert.equal(turn.text, TEXT.slice(0, 5));
});

test("204 says that all of it is here", async () => {
  const turn = { ...newTurn({ key: "k", question: "?" }, 1000), requestId: "r1", text: TEXT, last: 99 };
  const line = gateway([], []);
  line.resume = async () => ({ status: 204, headers: new Headers() });
  await run(turn, line);
  assert.equal(turn.state, "completed");
});
