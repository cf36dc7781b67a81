import assert from "node:assert/strict";
import test from "node:test";

import { layOut, ticks, unfolded } from "../../src/penstock/gateway/console/js/waterfall.js";

function span(id, parent, start, end, name = id, service = "s") {
  return {
    span_id: id,
    parent_id: parent,
    name,
    kind: "internal",
    service,
    instance: "",
    start_ms: start,
    end_ms: end,
    error: "",
    attributes: {},
    events: [],
    links: [],
  };
}
const named = (rows) => rows.map(({ span, depth }) => `${"  ".repeat(depth)}${span.span_id}`);

test("parents stand before their children, children in order of time", () => {
  const { rows, start, end } = layOut([
    span("c", "a", 30, 40),
    span("b", "a", 10, 20),
    span("a", null, 0, 50),
    span("d", "b", 12, 60),
    span("z", "gone", 5, 6),
  ]);
  assert.deepEqual(named(rows), ["a", "  b", "    d", "  c", "z"]);
  assert.deepEqual([start, end], [0, 60]);
  assert.equal(rows[0].children, 2);
  assert.deepEqual([rows[3].position, rows[3].siblings], [2, 2]);
});

test("a wait before a span is a row of its own, told from work, and where the service changes", () => {
  const { rows, start } = layOut([
    {
      ...span("b", "a", 5, 9, "process chat.requests", "y"),
      attributes: { "penstock.wait_ms": 7 },
      error: "e",
    },
    span("a", null, 0, 9, "send chat.requests", "x"),
    span("c", "b", 5, 9, "await", "y"),
  ]);
  assert.equal(start, -2);
  assert.deepEqual(
    rows.map(({ span, depth, isWait, entersService }) => [span.name, depth, isWait, entersService]),
    [
      ["send chat.requests", 0, false, true],
      ["wait chat.requests", 1, true, true],
      ["process chat.requests", 1, false, true],
      ["await", 2, false, false],
    ],
  );
  const wait = rows[1].span;
  assert.deepEqual([wait.start_ms, wait.end_ms, wait.error], [-2, 5, ""]);
});

test("spans that are each other's parents are all shown, and end", () => {
  const { rows } = layOut([span("a", "b", 0, 1), span("b", "a", 0, 1), span("c", "c", 0, 1)]);
  assert.equal(rows.length, 3);
});

test("no spans, and spans without length, can be drawn", () => {
  assert.equal(layOut([]).rows.length, 0);
  const { start, end } = layOut([span("a", null, 5, 5)]);
  assert.ok(end > start);
});

test("what is below a folded row is hidden, and only that", () => {
  const { rows } = layOut([
    span("a", null, 0, 9),
    span("b", "a", 1, 5),
    span("c", "b", 2, 3),
    span("d", "a", 6, 7),
  ]);
  assert.deepEqual(named(unfolded(rows, new Set(["b"]))), ["a", "  b", "  d"]);
  assert.deepEqual(named(unfolded(rows, new Set(["a", "b"]))), ["a"]);
  assert.equal(unfolded(rows, new Set()).length, 4);
});

test("marks of the axis are few and round", () => {
  assert.deepEqual(ticks(2900), [0, 500, 1000, 1500, 2000, 2500]);
  for (const length of [0.02, 0.7, 3, 99, 1001, 86_400_000]) {
    const found = ticks(length);
    assert.ok(found.length >= 2 && found.length <= 8, `${length}: ${found}`);
    assert.ok(found.every((at) => at <= length * 1.0001));
  }
});
