/**
 * A trace as rows of a waterfall. Pure.
 *
 * @typedef {{span_id: string, parent_id: string | null, name: string, kind: string, service: string, instance: string,
 *   start_ms: number, end_ms: number, error: string, attributes: Record<string, unknown>,
 *   events: {name: string, time_ms: number, attributes: Record<string, unknown>}[],
 *   links: {trace_id: string, span_id: string}[]}} Span
 * @typedef {{span: Span, depth: number, children: number, isWait: boolean, entersService: boolean, position: number, siblings: number}} Row
 *   `isWait`: nothing was done in this time, as in `wait chat.requests`, before a record was handled;
 *   `entersService`: its parent is another service's
 * @typedef {{rows: Row[], start: number, end: number}} Waterfall
 */

const WAIT = /^wait\b/;
/** Of a span: for how long what it is about has waited before it began, in milliseconds. */
const WAITED = "penstock.wait_ms";

/**
 * The spans as a tree, each parent before its children, those in order of time. A span whose parent is not there
 * stands at the top.
 *
 * @param {Span[]} told
 * @returns {Waterfall}
 */
export function layOut(told) {
  const spans = told.flatMap((span) =>
    span.attributes[WAITED] === undefined ? span : [waitBefore(span), span],
  );
  const byId = new Map(spans.map((span) => [span.span_id, span]));
  /** @type {Map<string, Span[]>} */
  const children = new Map();
  for (const span of spans) {
    const parent = isBelowItself(span, byId) ? "" : (span.parent_id ?? "");
    const key = byId.has(parent) ? parent : "";
    children.set(key, [...(children.get(key) ?? []), span]);
  }
  /** @type {Row[]} */
  const rows = [];
  const visit = (/** @type {string} */ id, /** @type {number} */ depth) => {
    const found = (children.get(id) ?? []).sort((a, b) => a.start_ms - b.start_ms || a.end_ms - b.end_ms);
    found.forEach((span, index) => {
      rows.push({
        span,
        depth,
        children: children.get(span.span_id)?.length ?? 0,
        isWait: WAIT.test(span.name),
        entersService: byId.get(span.parent_id ?? "")?.service !== span.service,
        position: index + 1,
        siblings: found.length,
      });
      visit(span.span_id, depth + 1);
    });
  };
  visit("", 0);
  const start = Math.min(...spans.map((span) => span.start_ms));
  const end = Math.max(...spans.map((span) => span.end_ms), start + 0.001);
  return { rows, start: spans.length ? start : 0, end: spans.length ? end : 1 };
}

/**
 * The time before a span, in which what it is about has waited, as a span of its own.
 *
 * @param {Span} span
 * @returns {Span}
 */
function waitBefore(span) {
  return {
    ...span,
    span_id: `${span.span_id} wait`,
    name: `wait ${span.name.replace(/^process /, "")}`,
    start_ms: span.start_ms - Number(span.attributes[WAITED]),
    end_ms: span.start_ms,
    error: "",
    attributes: {},
    events: [],
    links: [],
  };
}

/**
 * The rows that are not below a folded one.
 *
 * @param {Row[]} rows
 * @param {Set<string>} folded ids of spans
 */
export function unfolded(rows, folded) {
  let hiddenBelow = Infinity;
  return rows.filter(({ span, depth }) => {
    if (depth > hiddenBelow) return false;
    hiddenBelow = folded.has(span.span_id) ? depth : Infinity;
    return true;
  });
}

/**
 * Where the marks of the time axis stand: few, at round numbers.
 *
 * @param {number} length milliseconds
 * @param {number} most
 * @returns {number[]}
 */
export function ticks(length, most = 6) {
  const rough = length / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough) ?? 10 * power;
  return Array.from({ length: Math.floor(length / step + 1e-9) + 1 }, (_, i) => i * step);
}

/**
 * Whether following the parents never ends: what is sent to the observer may be anything.
 *
 * @param {Span} span
 * @param {Map<string, Span>} byId
 */
function isBelowItself(span, byId) {
  const seen = new Set();
  for (let at = /** @type {Span | undefined} */ (span); at; at = byId.get(at.parent_id ?? "")) {
    if (seen.has(at.span_id)) return true;
    seen.add(at.span_id);
  }
  return false;
}
