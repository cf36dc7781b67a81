import assert from "node:assert/strict";
import test from "node:test";

import {
  excerpt,
  flowing,
  locate,
  placeOf,
  stitch,
  unitsTo,
} from "../../src/penstock/gateway/console/js/passages.js";

const TEXT = Array.from(
  { length: 60 },
  (_, i) => `Sentence ${i} tells of gates 𝒢, pipes and ${i * 7} turbines.`,
).join(" ");

/** @param {string} text @param {number} start @param {number} end code points */
const chunk = (text, start, end) => ({ text: [...text].slice(start, end).join(""), start, end });

test("overlapping chunks make their text again, whatever letters it has", () => {
  const length = [...TEXT].length;
  for (const shared of [0, 1, 45, 300]) {
    const chunks = [];
    for (let at = 0; at < length; at += 400)
      chunks.push(chunk(TEXT, at, Math.min(length, at + 400 + shared)));
    assert.equal(stitch(chunks), TEXT);
  }
});

test("what lay between chunks is blank, and moves nothing", () => {
  const text = "The gates\n\n   stand open. Now";
  const made = stitch([chunk(text, 0, 9), chunk(text, 14, 25), chunk(text, 26, 29)]);
  assert.equal(made.length, text.length);
  assert.equal(made.replace(/\s+/g, " "), text.replace(/\s+/g, " "));
  assert.equal(made.indexOf("stand"), text.indexOf("stand"));
  assert.equal(stitch([chunk("abcdef", 0, 6), chunk("abcdef", 2, 4)]), "abcdef");
  assert.equal(stitch([]), "");
});

test("characters are counted as the API does", () => {
  assert.equal(unitsTo("a𝒢b", 2), 3);
  assert.equal(unitsTo("ab", 9), 2);
  assert.deepEqual(locate("𝒢𝒢 gate, gate", "gate", 9), [11, 15]);
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

test("prose flows, and no place in it moves", () => {
  const long = "A penstock is the closed pipe that carries water from a dam, and the word";
  const prose = `# Heading\n${long}\nis also used.\n\n${long}\n- an item\n`;
  const shown = flowing(prose, "notes.MD");
  assert.equal(shown, `# Heading\n${long} is also used.\n\n${long}\n- an item\n`);
  assert.equal(shown.length, prose.length);
  assert.equal(flowing(prose, "notes.py"), prose);
});
