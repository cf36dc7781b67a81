/** A table of facts that change: cells are changed where they differ, so that reading and selecting are not disturbed. */

import { h, setText } from "./dom.js";

/**
 * @template T
 * @typedef {{name: string, num?: boolean, text: (item: T) => string, mark?: (item: T) => string}} Column
 *   `mark`: a state for the cell's look, empty for none; the text says the same
 */

/** @template T */
export class LiveTable {
  /**
   * @param {string} caption
   * @param {Column<T>[]} columns the first names the row
   * @param {(item: T) => string} key
   */
  constructor(caption, columns, key) {
    this.columns = columns;
    this.key = key;
    /** @type {Map<string, HTMLTableRowElement>} */
    this.rows = new Map();
    this.body = h("tbody");
    this.node = h(
      "div",
      { class: "table-frame", tabindex: 0, role: "region", "aria-label": caption },
      h(
        "table",
        { class: "data" },
        h("caption", caption),
        h(
          "thead",
          h(
            "tr",
            columns.map(({ name, num }) => h("th", { scope: "col", class: num ? "num" : null }, name)),
          ),
        ),
        this.body,
      ),
    );
  }

  /** @param {T[]} items */
  show(items) {
    const gone = new Set(this.rows.keys());
    for (const item of items) {
      const key = this.key(item);
      gone.delete(key);
      let row = this.rows.get(key);
      if (!row) {
        row = h(
          "tr",
          this.columns.map(({ num }, i) =>
            i ? h("td", { class: num ? "num" : null }) : h("th", { scope: "row" }),
          ),
        );
        this.rows.set(key, row);
        this.body.append(row);
      }
      this.columns.forEach(({ text, mark }, i) => {
        const cell = /** @type {HTMLTableRowElement} */ (row).cells[i];
        setText(cell, text(item));
        if (mark) cell.dataset.mark = mark(item);
      });
    }
    for (const key of gone) {
      this.rows.get(key)?.remove();
      this.rows.delete(key);
    }
  }
}
