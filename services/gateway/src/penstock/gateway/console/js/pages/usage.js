/** Tokens and requests over time, by model or key. */

import { call, isAbort, query, told } from "../api.js";
import { stack } from "../chart.js";
import { fill, h, s } from "../dom.js";
import { clock, compact, count, day } from "../format.js";

export const title = "Usage";
const RANGES = {
  "24 hours": 86_400_000,
  "7 days": 7 * 86_400_000,
  "30 days": 30 * 86_400_000,
  "90 days": 90 * 86_400_000,
};
const SIZE = { height: 300, left: 56, right: 8, top: 12, bottom: 32 };
const GAP = 0.22;

/** @typedef {import("../chart.js").Stacks} Stacks */

/** @param {import("../main.js").Place} place */
export async function open({ host, me, signal }) {
  const page = new UsagePage(signal, me.operator);
  fill(host, page.node);
  await page.load();
}

class UsagePage {
  /**
   * @param {AbortSignal} signal
   * @param {boolean} operator sees all tenants
   */
  constructor(signal, operator) {
    this.signal = signal;
    /** @type {import("../chart.js").Point[]} */
    this.points = [];
    this.to = Date.now();
    const load = () => void this.load();
    const draw = () => this.draw();
    this.range = select("range", Object.keys(RANGES), "24 hours", () => {
      this.bucket.value =
        RANGES[/** @type {keyof typeof RANGES} */ (this.range.value)] > 7 * 86_400_000 ? "day" : "hour";
      load();
    });
    this.bucket = select("bucket", ["hour", "day"], "hour", load);
    this.measure = select("measure", ["tokens", "requests"], "tokens", draw);
    this.group = select("group", ["model", "key", ...(operator ? ["tenant"] : [])], "model", draw);
    this.figures = h("dl", { class: "figures" });
    this.chart = h("div", { class: "chart" }, h("p", { class: "skeleton tall" }, "Loading…"));
    this.width = 0;
    const resized = new ResizeObserver(([entry]) => {
      if (Math.round(entry.contentRect.width) === this.width) return;
      this.width = Math.round(entry.contentRect.width);
      if (this.points.length) this.draw();
    });
    resized.observe(this.chart);
    signal.addEventListener("abort", () => resized.disconnect());
    this.table = h("details", { class: "as-table" });
    const field = (/** @type {string} */ name, /** @type {HTMLElement} */ control) =>
      h("label", { class: "field" }, h("span", name), control);
    this.node = h(
      "div",
      h("header", { class: "page-head" }, h("h1", { tabindex: -1 }, "Usage")),
      h(
        "form",
        {
          class: "filters",
          "aria-label": "What is shown",
          onsubmit: (/** @type {Event} */ e) => e.preventDefault(),
        },
        field("Range", this.range),
        field("Interval", this.bucket),
        field("Count", this.measure),
        field("By", this.group),
      ),
      this.figures,
      this.chart,
      this.table,
    );
  }

  async load() {
    this.to = Date.now();
    const from = this.to - this.length();
    try {
      const { points } = await call(
        "GET",
        `/console/api/usage${query({ from, to: this.to, bucket: this.bucket.value })}`,
        { signal: this.signal },
      );
      this.points = points;
      this.draw();
    } catch (error) {
      if (!isAbort(error)) fill(this.chart, h("p", { class: "problem" }, told(error)));
    }
  }

  length() {
    return RANGES[/** @type {keyof typeof RANGES} */ (this.range.value)];
  }

  draw() {
    const sum = (/** @type {"requests" | "prompt_tokens" | "completion_tokens"} */ name) =>
      count(this.points.reduce((total, one) => total + one[name], 0));
    fill(
      this.figures,
      [
        ["Requests", sum("requests")],
        ["Tokens read", sum("prompt_tokens")],
        ["Tokens written", sum("completion_tokens")],
      ].map(([name, value]) => h("div", h("dt", name), h("dd", { class: "num" }, value))),
    );
    if (!this.points.length) {
      fill(this.table);
      return fill(
        this.chart,
        h(
          "div",
          { class: "empty" },
          h("p", "No usage in this time. Choose a longer range, or ask something under Chat."),
        ),
      );
    }
    const bucket = /** @type {"hour" | "day"} */ (this.bucket.value);
    const group = /** @type {import("../chart.js").Group} */ (
      this.group.value === "key" ? "api_key" : this.group.value
    );
    const measure = /** @type {import("../chart.js").Measure} */ (this.measure.value);
    const stacks = stack(this.points, { group, measure, bucket, from: this.to - this.length(), to: this.to });
    const what = `${measure} by ${this.group.value}, one bar for each ${bucket}`;
    fill(
      this.chart,
      drawing(stacks, bucket, what, Math.max(280, this.width)),
      h(
        "ul",
        { class: "legend" },
        stacks.names.map((name, i) =>
          h(
            "li",
            h("span", { class: `key series-${i}`, "aria-hidden": "true" }),
            `${name} `,
            h("span", { class: "muted num" }, count(stacks.totals[i])),
          ),
        ),
      ),
    );
    fill(this.table, h("summary", "The same as a table"), table(stacks, bucket, what));
  }
}

/**
 * @param {Stacks} stacks
 * @param {"hour" | "day"} bucket
 * @param {string} what
 * @param {number} width pixels
 */
function drawing({ names, buckets, top }, bucket, what, width) {
  const { height, left, right, top: above, bottom } = SIZE;
  const tall = height - above - bottom;
  const step = (width - left - right) / buckets.length;
  const y = (/** @type {number} */ value) => above + tall * (1 - value / top);
  const every = Math.ceil(buckets.length / Math.max(2, Math.floor(width / 110)));
  return s(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": `${what}; the table below says the same`,
    },
    [0, 0.25, 0.5, 0.75, 1].map((part) => [
      s("line", {
        x1: left,
        x2: width - right,
        y1: y(part * top),
        y2: y(part * top),
        class: part ? "grid" : "axis-line",
      }),
      s(
        "text",
        { x: left - 8, y: y(part * top) + 4, class: "axis-text", "text-anchor": "end" },
        compact(part * top),
      ),
    ]),
    buckets.map((one, i) => {
      let below = 0;
      const x = left + i * step;
      return s(
        "g",
        { class: "stack" },
        s(
          "title",
          `${label(one.at, bucket)}: ${count(one.total)}${one.values.length > 1 ? ` (${names.map((name, j) => `${name} ${count(one.values[j])}`).join(", ")})` : ""}`,
        ),
        s("rect", { x, y: above, width: step, height: tall, class: "hover" }),
        one.values.map((value, j) => {
          const bar = s("rect", {
            x: x + (step * GAP) / 2,
            y: y(below + value),
            width: step * (1 - GAP),
            height: (tall * value) / top,
            class: `series-${j}`,
          });
          below += value;
          return value ? bar : null;
        }),
        i % every === 0 &&
          s(
            "text",
            { x: x + step / 2, y: height - 10, class: "axis-text", "text-anchor": "middle" },
            short(one.at, bucket),
          ),
      );
    }),
  );
}

/**
 * @param {Stacks} stacks
 * @param {"hour" | "day"} bucket
 * @param {string} what
 */
function table({ names, buckets }, bucket, what) {
  const used = buckets.filter((one) => one.total);
  return h(
    "div",
    { class: "table-frame", tabindex: 0, role: "region", "aria-label": `Table of ${what}` },
    h(
      "table",
      { class: "data" },
      h(
        "thead",
        h(
          "tr",
          h("th", { scope: "col" }, bucket),
          names.map((name) => h("th", { scope: "col", class: "num" }, name)),
          h("th", { scope: "col", class: "num" }, "all"),
        ),
      ),
      h(
        "tbody",
        used.map((one) =>
          h(
            "tr",
            h("th", { scope: "row" }, label(one.at, bucket)),
            one.values.map((value) => h("td", { class: "num" }, count(value))),
            h("td", { class: "num" }, count(one.total)),
          ),
        ),
      ),
    ),
  );
}

/**
 * @param {number} at
 * @param {"hour" | "day"} bucket
 */
function label(at, bucket) {
  return bucket === "day" ? day(at) : `${day(at)} ${clock(at, at).slice(0, 5)}`;
}

/**
 * @param {number} at
 * @param {"hour" | "day"} bucket
 */
function short(at, bucket) {
  const time = clock(at, at).slice(0, 5);
  return bucket === "day" || time === "00:00" ? day(at).slice(5) : time;
}

/**
 * @param {string} id
 * @param {string[]} values
 * @param {string} value
 * @param {() => void} onchange
 */
function select(id, values, value, onchange) {
  return h(
    "select",
    { id, onchange },
    values.map((one) => h("option", { value: one, selected: one === value }, one)),
  );
}
