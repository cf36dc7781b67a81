import assert from "node:assert/strict";
import test from "node:test";

import * as format from "../../src/penstock/gateway/console/js/format.js";

test("a length of time has few digits and the right unit", () => {
  const cases = [
    [0, "0 ms"],
    [0.004, "0.01 ms"],
    [0.4, "0.40 ms"],
    [2.25, "2.3 ms"],
    [412.4, "412 ms"],
    [999.4, "999 ms"],
    [999.6, "1.00 s"],
    [1420, "1.42 s"],
    [9996, "10.0 s"],
    [59_940, "59.9 s"],
    [59_960, "1 min 0 s"],
    [200_000, "3 min 20 s"],
    [3_569_000, "59 min 29 s"],
    [3_600_000, "1 h 0 min"],
    [90_000_000, "25 h 0 min"],
    [259_200_000, "3 days"],
    [-12, "-12 ms"],
    [null, "–"],
    [NaN, "–"],
  ];
  for (const [ms, text] of cases) assert.equal(format.duration(ms), text, String(ms));
});

test("sizes, counts and rates", () => {
  assert.equal(format.bytes(0), "0 B");
  assert.equal(format.bytes(999), "999 B");
  assert.equal(format.bytes(1234), "1.2 kB");
  assert.equal(format.bytes(999_600), "1.0 MB");
  assert.equal(format.bytes(50_000_000), "50 MB");
  assert.equal(format.count(1234567), "1,234,567");
  assert.equal(format.count(null), "–");
  assert.equal(format.rate(0), "0/s");
  assert.equal(format.rate(0.25), "0.3/s");
  assert.equal(format.rate(1234), "1,234/s");
  assert.equal(format.plural(1, "file"), "1 file");
  assert.equal(format.plural(2000, "file"), "2,000 files");
});

test("a time of day has its date when that is another day's", () => {
  const noon = new Date(2026, 10, 24, 12, 5, 9).getTime();
  assert.equal(format.clock(noon, noon + 60_000), "12:05:09");
  assert.equal(format.clock(noon, noon + 86_400_000), "2026-11-24 12:05:09");
});

test("an id is told from its neighbours by its end", () => {
  assert.equal(format.shortId("01a20bca-a408-7001-851f-3b2ac04df9c7"), "01a20bca…4df9c7");
  assert.equal(format.shortId("short"), "short");
  assert.equal(format.requestIdOf("chatcmpl-01a20bca"), "01a20bca");
  assert.equal(format.requestIdOf("01a20bca"), "01a20bca");
});
