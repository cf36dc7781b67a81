import assert from "node:assert/strict";
import test from "node:test";

import { Parser, backoff } from "../../src/penstock/gateway/console/js/sse.js";

const STREAM =
  '\ufeff: a comment\r\nid: 0\r\ndata: {"a":1}\r\n\r\nid:7\ndata: one\ndata:two\n\n: keep-alive\n\ndata: no id\r\rid: 9\n\ndata: cut off';
const EVENTS = [
  { id: "0", data: '{"a":1}' },
  { id: "7", data: "one\ntwo" },
  { id: null, data: "no id" },
];

function parsed(pieces) {
  const found = [];
  const parser = new Parser((event) => found.push(event));
  for (const piece of pieces) parser.push(piece);
  return found;
}

test("events are the same wherever the stream is cut", () => {
  assert.deepEqual(parsed([STREAM]), EVENTS);
  assert.deepEqual(parsed([...STREAM]), EVENTS);
  for (let at = 1; at < STREAM.length; at++) {
    assert.deepEqual(parsed([STREAM.slice(0, at), STREAM.slice(at)]), EVENTS, `cut at ${at}`);
  }
});

test("an event that has not ended is not told", () => {
  assert.deepEqual(parsed(["id: 1\ndata: half"]), []);
});

test("each try waits longer, up to a bound, and never all at once", () => {
  const waits = [0, 1, 2, 3, 4, 5, 20].map((attempt) => backoff(attempt, () => 1));
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
  assert.equal(
    backoff(0, () => 0),
    250,
  );
});
