import assert from "node:assert/strict";
import test from "node:test";

import { excerpt, locate, overlap, placeOf, stitch } from "../../src/penstock/gateway/console/js/passages.js";

const TEXT = Array.from(
  { length: 60 },
  (_, i) => `Sentence ${i} tells of gates, pipes and ${i * 7} turbines.`,
).join(" ");

test("overlapping chunks make their text again", () => {
  for (const shared of [20, 45, 300]) {
    const chunks = [];
    for (let at = 0; at < TEXT.length; at += 400) chunks.push(TEXT.slice(at, at + 400 + shared));
    assert.equal(stitch(chunks), TEXT);
  }
});

test("chunks that do not overlap are set apart, and a letter in common is no overlap", () => {
  assert.equal(stitch(["The gates", "stand open"]), "The gates\n\nstand open");
  assert.equal(stitch(["alone"]), "alone");
  assert.equal(stitch([]), "");
});

test("the overlap is the longest one", () => {
  assert.equal(overlap("xabab", "ababy"), 4);
  assert.equal(overlap("aaaa", "aaa"), 3);
  assert.equal(overlap("abc", "xyz"), 0);
  assert.equal(overlap("", "abc"), 0);
});

test("of equal passages the one near its place is meant", () => {
  assert.deepEqual(locate("gate, gate, gate", "gate", 7), [6, 10]);
  assert.deepEqual(locate("gate, gate, gate", "gate", 900), [12, 16]);
  assert.equal(locate("gate", "pipe", 0), null);
  assert.equal(locate("gate", "", 0), null);
});

test("an excerpt holds its passage, and is cut between lines", () => {
  const text = Array.from({ length: 100 }, (_, i) => `line ${i}`).join("\n");
  const place = locate(text, "line 50", 0);
  const [from, to] = excerpt(text, place, 60);
  assert.ok(from <= place[0] && to >= place[1]);
  assert.match(text.slice(from, to), /^line \d+\n[^]*line \d+$/);
  assert.deepEqual(excerpt("short", [1, 3], 60), [0, 5]);
});

test("a place in words", () => {
  assert.equal(placeOf({ page: 3, headings: ["A", "B"] }), "page 3, A › B");
  assert.equal(placeOf({ page: null, headings: [] }), "");
});
