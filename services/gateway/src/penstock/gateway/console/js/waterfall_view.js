/** A trace on the page: a tree of bars over time, moved through by the arrow keys, and what a span says of itself. */

import { fill, h } from "./dom.js";
import { duration } from "./format.js";
import { spanDetails } from "./span_details.js";
import { layOut, ticks, unfolded } from "./waterfall.js";

/** @typedef {import("./waterfall.js").Row} Row */

/** The share of the time axis that is marked: a mark at its very end would have no room for its words. */
const AXIS = 0.94;
/** Events that say how an answer came; others are smaller marks. */
const TOKENS = new Set(["first_token", "last_token"]);

export class WaterfallView {
  /** @param {string} label of the tree */
  constructor(label) {
    /** @type {Set<string>} */
    this.folded = new Set();
    this.current = "";
    this.plot = h("div", {
      class: "waterfall-plot",
      role: "treegrid",
      "aria-label": label,
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.onKey(event),
    });
    this.details = h("aside", { class: "span-details", "aria-label": `${label}: details`, tabindex: 0 });
    this.node = h("div", { class: "waterfall" }, this.plot, this.details);
    this.trace = layOut([]);
    this.describe(null);
  }

  /** @param {import("./waterfall.js").Span[]} spans */
  show(spans) {
    this.trace = layOut(spans);
    if (!this.trace.rows.some((row) => row.span.span_id === this.current))
      this.current = this.trace.rows[0]?.span.span_id ?? "";
    this.draw();
  }

  draw() {
    const focused = this.plot.contains(document.activeElement);
    const { rows, start, end } = this.trace;
    this.shown = unfolded(rows, this.folded);
    fill(
      this.plot,
      h(
        "div",
        { role: "row", class: "waterfall-axis" },
        h("span", { role: "columnheader" }, "Span"),
        h(
          "span",
          { role: "columnheader", class: "axis", "aria-label": "Time" },
          ticks((end - start) * AXIS).map((at) =>
            h("span", { class: "tick num", style: { left: percent(at, end - start) } }, duration(at)),
          ),
        ),
      ),
      this.shown.map((row) => this.row(row)),
    );
    if (focused) this.focus(this.current);
    else this.describe(this.find(this.current) ?? null);
  }

  /** @param {Row} row */
  row(row) {
    const { span, depth, children } = row;
    const id = span.span_id;
    const folded = this.folded.has(id);
    return h(
      "div",
      {
        role: "row",
        class: `span-row ${kindOf(row)}`,
        data: { id },
        tabindex: id === this.current ? 0 : -1,
        "aria-level": depth + 1,
        "aria-posinset": row.position,
        "aria-setsize": row.siblings,
        "aria-expanded": children ? String(!folded) : null,
        onfocus: () => this.choose(row),
        onpointerenter: () => this.describe(row),
        onpointerleave: () => this.describe(this.find(this.current) ?? null),
        onclick: (/** @type {Event} */ event) => {
          if (/** @type {Element} */ (event.target).closest(".twist")) this.fold(row, !folded);
        },
      },
      h(
        "span",
        { role: "gridcell", class: "span-name", style: { "--depth": String(Math.min(depth, 12)) } },
        h(
          "span",
          { class: children ? "twist" : "twist none", "aria-hidden": "true" },
          children ? (folded ? "▸" : "▾") : "",
        ),
        h("span", { class: "span-title" }, span.name, h("span", { class: "muted" }, whither(span))),
        folded && h("span", { class: "muted small" }, ` +${below(this.trace.rows, row)}`),
        row.entersService && h("span", { class: "span-service" }, span.service.replace(/^penstock-/, "")),
      ),
      h("span", { role: "gridcell", class: "span-time" }, this.bar(row)),
    );
  }

  /** @param {Row} row */
  bar(row) {
    const { start, end } = this.trace;
    const { span, isWait } = row;
    const whole = end - start;
    const from = span.start_ms - start;
    const long = span.end_ms - span.start_ms;
    const late = (from + long) / whole > 0.82;
    const inside = late && from / whole < 0.2;
    const words = `${isWait ? "waited " : ""}${duration(long)}${span.error ? `, failed: ${span.error}` : ""}`;
    return [
      h("span", { class: "bar", style: { left: percent(from, whole), width: percent(long, whole) } }),
      span.events.map((event) =>
        h("span", {
          class: TOKENS.has(event.name) ? "mark token" : "mark",
          title: `${event.name} at ${duration(event.time_ms - start)}`,
          style: { left: percent(Math.min(Math.max(event.time_ms - start, 0), whole), whole) },
        }),
      ),
      h(
        "span",
        {
          class: `bar-label num ${inside ? "inside" : ""}`,
          style: late
            ? { right: percent(inside ? whole - from - long : whole - from, whole) }
            : { left: percent(from + long, whole) },
        },
        words,
      ),
    ];
  }

  /** @param {Row | null} row */
  describe(row) {
    fill(
      this.details,
      row
        ? spanDetails(row, this.trace.start)
        : h("p", { class: "muted" }, "Choose a span to see what it says."),
    );
  }

  /** @param {Row} row */
  choose(row) {
    const before = this.element(this.current);
    if (before) before.tabIndex = -1;
    this.current = row.span.span_id;
    const now = this.element(this.current);
    if (now) now.tabIndex = 0;
    this.describe(row);
  }

  /**
   * @param {Row} row
   * @param {boolean} folded
   */
  fold(row, folded) {
    if (folded) this.folded.add(row.span.span_id);
    else this.folded.delete(row.span.span_id);
    this.current = row.span.span_id;
    this.draw();
    this.focus(this.current);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const rows = this.shown ?? [];
    const at = rows.findIndex((row) => row.span.span_id === this.current);
    const row = rows[at];
    if (!row) return;
    const folded = this.folded.has(row.span.span_id);
    const move = (/** @type {number} */ to) =>
      this.focus(rows[Math.max(0, Math.min(to, rows.length - 1))].span.span_id);
    const acts = /** @type {Record<string, () => void>} */ ({
      ArrowDown: () => move(at + 1),
      ArrowUp: () => move(at - 1),
      Home: () => move(0),
      End: () => move(rows.length - 1),
      ArrowRight: () =>
        row.children && folded ? this.fold(row, false) : row.children ? move(at + 1) : undefined,
      ArrowLeft: () =>
        row.children && !folded
          ? this.fold(row, true)
          : move(rows.findLastIndex((one, i) => i < at && one.depth < row.depth)),
      Enter: () => row.children && this.fold(row, !folded),
    });
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  }

  /** @param {string} id */
  focus(id) {
    this.element(id)?.focus();
  }

  /** @param {string} id */
  element(id) {
    return /** @type {HTMLElement | null} */ (this.plot.querySelector(`[data-id="${CSS.escape(id)}"]`));
  }

  /** @param {string} id */
  find(id) {
    return this.trace.rows.find((row) => row.span.span_id === id);
  }
}

/** What the colours of a waterfall mean. */
export function legend() {
  const item = (/** @type {string} */ kind, /** @type {string} */ text) =>
    h("li", h("span", { class: `key ${kind}`, "aria-hidden": "true" }), text);
  return h(
    "ul",
    { class: "legend" },
    item("work", "at work"),
    item("wait", "waiting in a topic or a queue"),
    item("error", "failed"),
    item("token", "first and last token"),
    item("event", "other event"),
  );
}

/**
 * Where a call goes whose name is only its method, as the conventions want it of HTTP clients.
 *
 * @param {import("./waterfall.js").Span} span
 */
function whither({ name, kind, attributes }) {
  const url = attributes["url.full"];
  if (kind !== "client" || !/^[A-Z]+$/.test(name) || typeof url !== "string") return "";
  return ` ${url.replace(/^https?:\/\//, "").replace(/[?#].*/, "")}`;
}

/** @param {Row} row */
function kindOf({ span, isWait }) {
  return span.error ? "error" : isWait ? "wait" : "work";
}

/**
 * @param {Row[]} rows
 * @param {Row} row
 */
function below(rows, row) {
  const at = rows.indexOf(row);
  const next = rows.findIndex((one, i) => i > at && one.depth <= row.depth);
  return (next < 0 ? rows.length : next) - at - 1;
}

/**
 * @param {number} part
 * @param {number} whole
 */
function percent(part, whole) {
  return `${((part / whole) * 100).toFixed(3)}%`;
}
