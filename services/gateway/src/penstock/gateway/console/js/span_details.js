/** What a span says of itself: times, attributes, events, links. */

import { h } from "./dom.js";
import { duration } from "./format.js";

/**
 * @param {import("./waterfall.js").Row} row
 * @param {number} start of the trace, in Unix milliseconds
 */
export function spanDetails({ span, isWait }, start) {
  const at = (/** @type {number} */ time) => duration(time - start);
  const { service, instance } = span;
  const facts = [
    [
      "service",
      instance && `penstock-${instance}` !== service && instance !== service
        ? `${service} (${instance})`
        : service,
    ],
    ["kind", isWait ? "waiting" : span.kind],
    ["begins", at(span.start_ms)],
    ["takes", duration(span.end_ms - span.start_ms)],
    ...(span.error ? [["error", span.error]] : []),
    ...Object.entries(span.attributes)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => [name, shown(value)]),
  ];
  const events = span.events.map(({ name, time_ms: time, attributes }) => [
    name,
    [at(time), ...Object.entries(attributes ?? {}).map(([key, value]) => `${key} ${shown(value)}`)].join(
      ", ",
    ),
  ]);
  const links = span.links.map((link) => [link.trace_id.slice(0, 16), link.span_id]);
  return [
    h("h3", span.name),
    table("What the span says", facts),
    events.length > 0 && [h("h4", "Events"), table("Events", events)],
    links.length > 0 && [h("h4", "Linked"), table("Linked spans", links)],
  ];
}

/**
 * @param {string} label
 * @param {string[][]} rows
 */
function table(label, rows) {
  return h(
    "table",
    { class: "facts" },
    h("caption", { class: "visually-hidden" }, label),
    h(
      "tbody",
      rows.map(([name, value]) => h("tr", h("th", { scope: "row" }, breakable(name)), h("td", value))),
    ),
  );
}

/**
 * A dotted name that may be broken after its dots.
 *
 * @param {string} name
 */
function breakable(name) {
  return name.split(/(?<=\.)/).flatMap((part, i) => (i ? [h("wbr"), part] : [part]));
}

/** @param {unknown} value */
function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}
