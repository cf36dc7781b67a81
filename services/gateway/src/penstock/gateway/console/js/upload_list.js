/** The files that are on their way, on the page. */

import { h, setText } from "./dom.js";
import { bytes, plural } from "./format.js";
import { stateMark } from "./document_list.js";

/** @typedef {import("./uploads.js").Upload} Upload */

/** How far a file is once its bytes have arrived, of all that it takes. */
const STEPS = { waiting: 0, uploading: 0, queued: 0.4, parsing: 0.5, embedding: 0.65, indexing: 0.85 };

export class UploadList {
  /** @param {import("./uploads.js").Uploads} uploads */
  constructor(uploads) {
    this.uploads = uploads;
    /** @type {Map<Upload, {node: HTMLElement, bar: HTMLProgressElement, state: HTMLElement, reason: HTMLElement}>} */
    this.rows = new Map();
    this.summary = h("h2", "Uploads");
    this.list = h("ul", { class: "upload-rows" });
    this.node = h(
      "section",
      { class: "uploads", hidden: true, "aria-label": "Uploads" },
      h(
        "div",
        { class: "section-head" },
        this.summary,
        h(
          "button",
          { class: "button quiet small", onclick: () => uploads.clear() },
          "Clear those that are done",
        ),
      ),
      this.list,
    );
  }

  update() {
    const { all } = this.uploads;
    const ended = all.filter((one) => one.ended);
    const failed = ended.filter((one) => one.state === "failed").length;
    this.node.hidden = !all.length;
    setText(
      this.summary,
      `Uploads: ${ended.length} of ${plural(all.length, "file")} done${failed ? `, ${failed} failed` : ""}`,
    );
    for (const [one, row] of this.rows) {
      if (all.includes(one)) continue;
      row.node.remove();
      this.rows.delete(one);
    }
    for (const one of all) this.show(one, this.rows.get(one) ?? this.make(one));
  }

  /** @param {Upload} one */
  make(one) {
    const bar = h("progress", { max: 1, "aria-label": `Progress of ${one.file.name}` });
    const state = h("span", { class: "state" });
    const reason = h("span", { class: "reason" });
    const node = h(
      "li",
      { class: "upload" },
      h("span", { class: "file-name" }, one.file.name),
      h("span", { class: "muted num small" }, bytes(one.file.size)),
      bar,
      state,
      reason,
    );
    const row = { node, bar, state, reason };
    this.rows.set(one, row);
    this.list.append(node);
    return row;
  }

  /**
   * @param {Upload} one
   * @param {{bar: HTMLProgressElement, state: HTMLElement, reason: HTMLElement}} row
   */
  show(one, { bar, state, reason }) {
    const step = STEPS[/** @type {keyof typeof STEPS} */ (one.state)] ?? 1;
    bar.value = one.ended ? 1 : Math.max(step, 0.4 * one.sent);
    setText(
      state,
      one.state === "uploading" && one.sent < 1 ? `${Math.floor(one.sent * 100)} % sent` : one.state,
    );
    state.dataset.state = stateMark(one.state);
    setText(reason, one.reason);
  }
}
