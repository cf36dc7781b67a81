import assert from "node:assert/strict";
import test from "node:test";

import { runs, shortType } from "../../src/penstock/gateway/console/js/records.js";
import {
  MOST,
  RequestList,
  stageOf,
  stagesDone,
} from "../../src/penstock/gateway/console/js/request_list.js";
import { inSight } from "../../src/penstock/gateway/console/js/window.js";

function request(number, more = {}) {
  return {
    id: `id-${String(number).padStart(6, "0")}`,
    state: "completed",
    stage: "done",
    created_ms: number,
    error: null,
    ...more,
  };
}
const ids = (list) => list.items.map((one) => one.created_ms);

test("only rows in sight are drawn, and those in sight always", () => {
  assert.deepEqual(inSight({ top: 0, height: 440, row: 44, total: 5000, spare: 8 }), [0, 18]);
  assert.deepEqual(inSight({ top: -50, height: 440, row: 44, total: 3, spare: 8 }), [0, 3]);
  assert.deepEqual(inSight({ top: 1e9, height: 440, row: 44, total: 5000, spare: 8 }), [5000, 5000]);
  for (let top = 0; top < 5000 * 44; top += 977) {
    const [from, to] = inSight({ top, height: 440, row: 44, total: 5000, spare: 8 });
    assert.ok(from * 44 <= top && (to === 5000 || to * 44 >= top + 440));
    assert.ok(to - from < 30);
  }
});

test("requests are listed newest first, whatever order they come in, and once", () => {
  const list = new RequestList({ state: "", prefix: "" });
  list.take([request(2), request(3)]);
  assert.equal(list.take([request(1), request(5), request(4), request(5)]), 2);
  assert.deepEqual(ids(list), [5, 4, 3, 2, 1]);

  const sameMoment = new RequestList({ state: "", prefix: "" });
  sameMoment.take([1, 3, 2].map((number) => ({ ...request(number), created_ms: 7 })));
  assert.deepEqual(
    sameMoment.items.map((one) => one.id.at(-1)),
    ["3", "2", "1"],
  );
});

test("a known request changes in place, and leaves a list it no longer belongs to", () => {
  const list = new RequestList({ state: "running", prefix: "" });
  list.take([
    request(1, { state: "running", stage: "retrieval" }),
    request(2, { state: "running" }),
    request(3),
  ]);
  assert.deepEqual(ids(list), [2, 1]);
  list.take([{ ...request(1), state: "running", stage: "generation" }]);
  assert.equal(list.items[1].stage, "generation");
  list.take([request(2)]);
  assert.deepEqual(ids(list), [1]);
  list.take([request(2, { state: "running" })]);
  assert.deepEqual(ids(list), [2, 1]);
});

test("a prefix chooses, and the list is bounded", () => {
  const list = new RequestList({ state: "", prefix: "id-00000" });
  list.take([request(1), request(12)]);
  assert.deepEqual(ids(list), [1]);
  const all = new RequestList({ state: "", prefix: "" });
  all.take(Array.from({ length: MOST + 5 }, (_, i) => request(i)));
  assert.equal(all.items.length, MOST);
  assert.equal(all.items.at(-1).created_ms, 5);
  assert.equal(all.known.size, MOST);
});

test("how far a request is", () => {
  assert.equal(stagesDone(request(1)), 5);
  assert.equal(stagesDone(request(1, { state: "running", stage: "generation" })), 2);
  assert.equal(
    stageOf(request(1, { state: "failed", stage: "retrieval", error: { code: "deadline_exceeded" } })),
    "deadline_exceeded in retrieval",
  );
});

test("records of one kind that follow each other in their topic are one", () => {
  const record = (topic, offset, type, epoch = 1) => ({
    topic,
    partition: 0,
    offset,
    time_ms: offset,
    type,
    epoch,
    bytes: 10,
    headers: {},
  });
  const found = runs([
    record("a", 1, "x"),
    record("b", 1, "y"),
    record("c", 1, "y"),
    record("b", 2, "y"),
    record("c", 2, "y"),
    record("b", 3, "z"),
    record("b", 4, "y"),
    record("b", 5, "y", 2),
    record("a", 2, "x"),
  ]);
  assert.deepEqual(
    found.map((run) => `${run.first.topic} ${run.first.type} ${run.records.length}`),
    ["a x 2", "b y 2", "c y 2", "b z 1", "b y 1", "b y 1"],
  );
  assert.deepEqual([found[1].first.offset, found[1].last.offset, found[1].bytes], [1, 2, 20]);
  assert.equal(shortType("penstock.chat.requested.v1"), "chat.requested");
});
