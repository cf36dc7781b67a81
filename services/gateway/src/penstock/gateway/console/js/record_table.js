/** The records behind a request, as a table: those of one kind that follow each other are one row until they are asked for. */

import { h } from "./dom.js";
import { bytes, count, duration } from "./format.js";
import { runs, shortType } from "./records.js";

const NUMBERS = new Set(["Place", "Epoch", "Time", "Size"]);

/**
 * @param {import("./records.js").Rec[]} records in order of time
 * @param {boolean} cut whether there are more
 * @param {number} begun when the request began, in Unix milliseconds
 */
export function recordTable(records, cut, begun) {
  if (!records.length)
    return h("p", { class: "empty" }, "No records of this request are in the log any more.");
  const body = h("tbody");
  for (const run of runs(records)) {
    const many = run.records.length > 1;
    const row = recordRow(run.first, begun, many ? run : null);
    body.append(row);
    if (many)
      row
        .querySelector("button")
        ?.addEventListener("click", (event) =>
          unroll(/** @type {HTMLButtonElement} */ (event.currentTarget), row, run, begun),
        );
  }
  return [
    cut && h("p", { class: "notice" }, "There are more records than are shown."),
    h(
      "div",
      { class: "table-frame", tabindex: 0, role: "region", "aria-label": "Table of records" },
      h(
        "table",
        { class: "data" },
        h(
          "thead",
          h(
            "tr",
            ["Topic", "Place", "Type", "Epoch", "Time", "Size", "Headers"].map((name) =>
              h("th", { scope: "col", class: NUMBERS.has(name) ? "num" : null }, name),
            ),
          ),
        ),
        body,
      ),
    ),
  ];
}

/**
 * @param {import("./records.js").Rec} one
 * @param {number} begun
 * @param {import("./records.js").Run | null} run what the row stands for, if more than the record
 */
function recordRow(one, begun, run) {
  return h(
    "tr",
    h("td", one.topic),
    h("td", { class: "num" }, `${one.partition} / ${one.offset}${run ? `–${run.last.offset}` : ""}`),
    h(
      "td",
      shortType(one.type),
      run && [
        " ",
        h(
          "button",
          {
            class: "times",
            "aria-expanded": "false",
            "aria-label": `Show all ${run.records.length} records`,
          },
          `×${run.records.length}`,
        ),
      ],
    ),
    h("td", { class: "num" }, one.epoch || "–"),
    h(
      "td",
      { class: "num" },
      `${duration(one.time_ms - begun)}${run ? ` – ${duration(run.last.time_ms - begun)}` : ""}`,
    ),
    h("td", { class: "num" }, bytes(run ? run.bytes : one.bytes)),
    h("td", headers(one)),
  );
}

/** @param {import("./records.js").Rec} one */
function headers(one) {
  const given = Object.entries(one.headers);
  return h(
    "details",
    h(
      "summary",
      { "aria-label": `${given.length} headers of ${one.topic} ${one.partition} / ${one.offset}` },
      count(given.length),
    ),
    h(
      "table",
      { class: "facts" },
      h(
        "tbody",
        given.map(([name, value]) => h("tr", h("th", { scope: "row" }, name), h("td", value))),
      ),
    ),
  );
}

/**
 * Show the records of a run one by one, or hide them again.
 *
 * @param {HTMLButtonElement} button
 * @param {HTMLTableRowElement} row
 * @param {import("./records.js").Run} run
 * @param {number} begun
 */
function unroll(button, row, run, begun) {
  const isOpen = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!isOpen));
  if (isOpen) {
    while (row.nextElementSibling?.classList.contains("of-run")) row.nextElementSibling.remove();
    return;
  }
  const rows = run.records.map((one) => recordRow(one, begun, null));
  for (const one of rows) one.classList.add("of-run");
  row.after(...rows);
}
