/** The files of a store, page by page. */

import { call, isAbort, told } from "./api.js";
import { confirmed } from "./dialog.js";
import { announce, fill, h } from "./dom.js";
import { bytes, clock, count } from "./format.js";
import { icon } from "./icons.js";

const PAGE = 25;
const EVERY_MS = 1500;

/**
 * @typedef {{id: string, filename: string, status: string, state: string, usage_bytes: number, created_at: number,
 *   chunks: number, pages: number, attempt: number, last_error: {message: string} | null}} Doc
 */

export class DocumentList {
  /**
   * @param {AbortSignal} signal
   * @param {() => void} onChange something was deleted
   */
  constructor(signal, onChange) {
    this.signal = signal;
    this.onChange = onChange;
    this.store = "";
    /** @type {string[]} the last ids of the pages before this one */
    this.before = [];
    this.last = "";
    this.timer = 0;
    this.note = h("div", { class: "empty" }, h("p", "Loading…"));
    this.body = h("tbody");
    this.table = h(
      "div",
      { class: "table-frame", tabindex: 0, role: "region", "aria-label": "Files in the store", hidden: true },
      h(
        "table",
        { class: "data files cards", role: "table" },
        h(
          "thead",
          h(
            "tr",
            ["File", "State", "Pages", "Chunks", "Size", "Added", ""].map((name, i) =>
              h(
                "th",
                { scope: "col", class: i > 1 && i < 6 ? "num" : null },
                name || h("span", { class: "visually-hidden" }, "Delete"),
              ),
            ),
          ),
        ),
        this.body,
      ),
    );
    this.newer = h("button", { class: "button", onclick: () => this.turn(-1) }, "Newer");
    this.older = h("button", { class: "button", onclick: () => this.turn(1) }, "Older");
    this.pager = h(
      "nav",
      { class: "pager", "aria-label": "Pages of files", hidden: true },
      this.newer,
      this.older,
    );
    this.node = h("section", { "aria-label": "Files" }, this.table, this.note, this.pager);
    signal.addEventListener("abort", () => clearTimeout(this.timer));
  }

  /** @param {string} store */
  open(store) {
    this.store = store;
    this.before = [];
    return this.load();
  }

  /** @param {number} step */
  turn(step) {
    if (step > 0) this.before.push(this.last);
    else this.before.pop();
    return this.load();
  }

  /** Load the page again, and again while one of its files is on its way. */
  async load() {
    clearTimeout(this.timer);
    const { store, signal } = this;
    const after = this.before.at(-1);
    try {
      const path = `/v1/vector_stores/${encodeURIComponent(store)}/files?limit=${PAGE}${after ? `&after=${encodeURIComponent(after)}` : ""}`;
      const page = await call("GET", path, { signal });
      if (store !== this.store || after !== this.before.at(-1)) return; // another is shown by now
      this.show(page);
      if (page.data.some((/** @type {Doc} */ one) => one.status === "in_progress"))
        this.timer = window.setTimeout(() => this.load(), EVERY_MS);
    } catch (error) {
      if (!isAbort(error)) this.say(told(error));
    }
  }

  /** @param {{data: Doc[], last_id: string, has_more: boolean}} page */
  show({ data, last_id, has_more }) {
    this.last = last_id;
    this.newer.disabled = !this.before.length;
    this.older.disabled = !has_more;
    this.pager.hidden = !has_more && !this.before.length;
    if (!data.length)
      return this.say(
        "No files in this store yet. Drop some above, or choose them; penstock ingest brings in whole folders.",
      );
    this.note.hidden = true;
    this.table.hidden = false;
    const focused = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset?.file;
    fill(
      this.body,
      data.map((one) => this.row(one)),
    );
    if (focused)
      /** @type {HTMLElement | null} */ (
        this.body.querySelector(`[data-file="${CSS.escape(focused)}"]`)
      )?.focus();
  }

  /** @param {Doc} one */
  row(one) {
    return h(
      "tr",
      { role: "row" },
      h("th", { role: "rowheader", scope: "row", class: "file-name grow" }, one.filename),
      h(
        "td",
        { role: "cell", class: "wide" },
        h("span", { class: "state", data: { state: stateMark(one.state) } }, one.state),
        one.last_error && h("span", { class: "reason" }, one.last_error.message),
        one.status === "in_progress" &&
          one.attempt > 1 &&
          h("span", { class: "muted small" }, ` attempt ${one.attempt}`),
      ),
      h("td", { role: "cell", class: "num", data: { name: "pages" } }, one.pages ? count(one.pages) : "–"),
      h("td", { role: "cell", class: "num", data: { name: "chunks" } }, one.chunks ? count(one.chunks) : "–"),
      h("td", { role: "cell", class: "num" }, bytes(one.usage_bytes)),
      h("td", { role: "cell", class: "num" }, clock(one.created_at * 1000, Date.now())),
      h(
        "td",
        { role: "cell", class: "aside" },
        h(
          "button",
          {
            class: "button quiet small",
            data: { file: one.id },
            "aria-label": `Delete ${one.filename}`,
            onclick: () => this.remove(one),
          },
          icon("trash"),
        ),
      ),
    );
  }

  /** @param {Doc} one */
  async remove(one) {
    const text = `${one.filename} is deleted from every store it is in, with all that was read from it. Answers that cite it keep their words.`;
    if (!(await confirmed({ title: "Delete this file?", text, action: "Delete", danger: true }))) return;
    try {
      await call("DELETE", `/v1/files/${encodeURIComponent(one.id)}`);
      announce(`${one.filename} was deleted.`);
    } catch (error) {
      this.say(told(error));
    }
    await this.load();
    this.onChange();
  }

  /** @param {string} text */
  say(text) {
    this.note.hidden = false;
    this.table.hidden = true;
    fill(this.note, h("p", text));
  }
}

/**
 * The look of a document's state.
 *
 * @param {string} state
 */
export function stateMark(state) {
  return state === "completed" || state === "failed" || state === "cancelled" ? state : "running";
}
