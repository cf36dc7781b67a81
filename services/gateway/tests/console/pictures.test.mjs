import assert from "node:assert/strict";
import test from "node:test";

import { niceTop, stack } from "../../src/penstock/gateway/console/js/chart.js";
import { BOX, level, picture, verdict } from "../../src/penstock/gateway/console/js/flow.js";
import { href, keyIn, parse } from "../../src/penstock/gateway/console/js/router.js";

const HOUR = 3_600_000;
const stage = (service, reads, writes, more = {}) => ({
  service,
  reads,
  writes,
  replicas: 1,
  ready: true,
  lag: 0,
  lag_tokens: null,
  oldest_ms: null,
  rate: 1,
  slots: null,
  retries_per_s: null,
  ...more,
});
const STAGES = [
  stage("postprocessing", ["chat.generated"], ["chat.responses", "usage.recorded"]),
  stage("generation", ["chat.retrieved", "chat.cancellations"], ["chat.generated"]),
  stage("gateway", ["chat.responses"], ["chat.requests", "chat.cancellations"]),
  stage("retrieval", ["chat.tokenized", "documents.chunked"], ["chat.retrieved", "documents.indexed"]),
  stage("ingestion", ["documents.indexed"], ["documents.chunked"]),
  stage("tokenization", ["chat.requests"], ["chat.tokenized"]),
];
const words = { count: String, duration: (ms) => `${ms} ms` };

test("the way of a question is one line, from left to right", () => {
  const { boxes, pipes, width } = picture({ stages: STAGES, backends: [] });
  const line = boxes.filter((box) => box.y === boxes[0].y).map((box) => box.name);
  assert.deepEqual(line, ["gateway", "tokenization", "retrieval", "generation", "postprocessing"]);
  assert.ok(boxes.every((box) => box.x >= 0 && box.x + BOX.width <= width));
  const ways = pipes.map(({ from, to }) => `${from} ${to}`);
  for (const way of [
    "gateway tokenization",
    "postprocessing gateway",
    "ingestion retrieval",
    "retrieval ingestion",
  ])
    assert.ok(ways.includes(way), way);
  assert.equal(
    new Set(boxes.map((box) => `${box.x} ${box.y}`)).size,
    STAGES.length,
    "no two boxes in one place",
  );
});

test("stages that only feed each other stand below, with pipes there and back", () => {
  const stages = [
    ...STAGES.filter(({ service }) => service !== "retrieval" && service !== "ingestion"),
    stage("retrieval", ["chat.tokenized"], ["chat.retrieved"]),
    stage("ingestion", ["documents.indexed"], ["documents.chunked"]),
    stage("indexing", ["documents.chunked"], ["documents.indexed"]),
  ];
  const { boxes, pipes } = picture({ stages, backends: [{ name: "b" }] });
  const ways = pipes.map(({ from, to }) => `${from} ${to}`);
  assert.ok(ways.includes("ingestion indexing") && ways.includes("indexing ingestion"));
  assert.equal(new Set(boxes.map((box) => `${box.x} ${box.y}`)).size, stages.length);
});

test("a pipeline of which nothing is known yet can be drawn", () => {
  assert.deepEqual(picture({ stages: [], backends: [] }).boxes, []);
  assert.equal(picture({ stages: STAGES.slice(0, 1), backends: [] }).boxes.length, 1);
});

test("a tank fills with what waits", () => {
  assert.equal(level(0), 0);
  assert.ok(level(1) > 0 && level(1) < level(100) && level(100) < level(5000));
  assert.equal(level(1e9), 1);
});

test("the words say which stage holds back, and what to do", () => {
  const of = (more, backends = []) =>
    verdict(
      {
        stages: [stage("generation", [], [], { lag: 12, oldest_ms: 900, ...more })],
        backends,
        holding_back: "generation",
      },
      words,
    );
  assert.match(
    of({}),
    /^generation holds the others back: 12 records wait before it, the oldest for 900 ms\. Add a replica: penstock scale generation=2\.$/,
  );
  assert.match(of({ slots: { used: 4, free: 0 } }), /All 4 slots of its backends are taken/);
  assert.match(of({ ready: false }), /not ready/);
  assert.match(of({ replicas: 0 }), /No process of it runs/);
  assert.match(of({}, [{ name: "b", available: false }]), /No backend is available/);
  assert.match(verdict({ stages: STAGES, backends: [], holding_back: null }, words), /nothing is held back/);
});

test("usage is stacked in buckets, empty ones too", () => {
  const point = (hour, model, tokens) => ({
    at_ms: hour * HOUR,
    tenant: "t",
    model,
    api_key: "k",
    requests: 1,
    prompt_tokens: tokens,
    completion_tokens: 1,
  });
  const { names, buckets, totals } = stack([point(2, "a", 9), point(2, "b", 99), point(4, "a", 4)], {
    group: "model",
    measure: "tokens",
    bucket: "hour",
    from: 1.5 * HOUR,
    to: 5 * HOUR,
  });
  assert.deepEqual(names, ["b", "a"]);
  assert.deepEqual(
    buckets.map((one) => one.total),
    [0, 110, 0, 5],
  );
  assert.deepEqual(totals, [100, 15]);
});

test("many groups become few, and nothing is lost", () => {
  const points = Array.from({ length: 20 }, (_, i) => ({
    at_ms: 0,
    tenant: "t",
    model: `m${i}`,
    api_key: "",
    requests: i + 1,
    prompt_tokens: 0,
    completion_tokens: 0,
  }));
  const { names, totals } = stack(points, {
    group: "model",
    measure: "requests",
    bucket: "day",
    from: 0,
    to: 1,
  });
  assert.equal(names.length, 6);
  assert.equal(names.at(-1), "others");
  assert.deepEqual(totals.slice(0, 5), [20, 19, 18, 17, 16]);
  assert.equal(
    totals.reduce((a, b) => a + b),
    210,
  );
});

test("an axis ends at a round number", () => {
  for (const value of [0, 3, 5, 9, 11, 99, 101, 4321, 1e6])
    assert.ok(niceTop(value) >= value && niceTop(value) <= Math.max(4, value * 2.5), String(value));
});

test("pages by the fragment, and the key in it", () => {
  assert.deepEqual(parse(""), { page: "chat", id: "" });
  assert.deepEqual(parse("#/requests/01a2"), { page: "requests", id: "01a2" });
  assert.deepEqual(parse(href("requests", "a/b c")), { page: "requests", id: "a/b c" });
  assert.deepEqual(parse("#/requests/%"), { page: "chat", id: "" });
  assert.equal(keyIn("#key=sk-abc"), "sk-abc");
  assert.equal(keyIn("#key=sk%2Dabc%20"), "sk-abc");
  assert.equal(keyIn("#/chat"), null);
});
