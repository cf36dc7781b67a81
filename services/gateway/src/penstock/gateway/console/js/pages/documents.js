/** Files and stores: bringing in, looking up, deleting. */

import { call, isAbort, told } from "../api.js";
import { formDialog } from "../dialog.js";
import { DocumentList } from "../document_list.js";
import { announce, fill, h } from "../dom.js";
import { bytes, plural } from "../format.js";
import { icon } from "../icons.js";
import { openPassage } from "../passage_panel.js";
import { placeOf } from "../passages.js";
import { labelOf, listStores } from "../stores.js";
import { UploadList } from "../upload_list.js";
import { Uploads, filesOf } from "../uploads.js";

export const title = "Documents";
const RESULTS = 10;

/** Goes on while other pages are shown. */
const uploads = new Uploads();
let chosen = "";

/** @param {import("../main.js").Place} place */
export async function open({ host, signal }) {
  const page = new DocumentsPage(signal);
  fill(host, page.node);
  await page.loadStores();
}

class DocumentsPage {
  /** @param {AbortSignal} signal */
  constructor(signal) {
    this.signal = signal;
    /** @type {import("../stores.js").Store[]} */
    this.stores = [];
    this.store = h("select", { id: "store", onchange: () => this.choose(this.store.value) });
    this.about = h("span", { class: "muted num" });
    this.files = new DocumentList(signal, () => void this.loadStores());
    this.uploads = new UploadList(uploads);
    this.results = h("section", { class: "results", "aria-live": "polite", "aria-label": "Search results" });
    this.problem = h("p", { class: "error-text", role: "alert" });
    this.node = h(
      "div",
      h("header", { class: "page-head" }, h("h1", { tabindex: -1 }, "Documents")),
      h(
        "div",
        { class: "store-bar" },
        h("label", { class: "field" }, h("span", "Store"), this.store),
        h(
          "button",
          { class: "button", onclick: () => this.makeStore() },
          icon("add"),
          h("span", "New store"),
        ),
        this.about,
      ),
      this.problem,
      this.dropZone(),
      this.uploads.node,
      this.searchForm(),
      this.results,
      this.files.node,
    );
    this.follow();
  }

  follow() {
    let planned = 0;
    let done = 0;
    const draw = () => {
      planned = 0;
      this.uploads.update();
      const ended = uploads.all.filter((one) => one.ended).length;
      if (ended > done) void this.loadStores();
      done = ended;
    };
    uploads.addEventListener(
      "change",
      () => {
        planned ||= requestAnimationFrame(draw);
      },
      { signal: this.signal },
    );
    done = uploads.all.filter((one) => one.ended).length;
    draw();
  }

  dropZone() {
    const input = h("input", {
      type: "file",
      multiple: true,
      class: "visually-hidden",
      id: "files",
      onchange: () => {
        this.add([...(input.files ?? [])]);
        input.value = "";
      },
    });
    const zone = h(
      "div",
      { class: "drop-zone" },
      icon("upload"),
      h(
        "p",
        h("label", { class: "button primary", for: "files" }, "Choose files"),
        input,
        h("span", " or drop files and folders here"),
      ),
      h(
        "p",
        { class: "muted small" },
        "PDF, Word, HTML, Markdown, text, CSV, JSON, source code; 50 MB a file",
      ),
    );
    const over = (/** @type {boolean} */ is) => zone.classList.toggle("over", is);
    zone.addEventListener("dragover", (event) => {
      event.preventDefault();
      over(true);
    });
    zone.addEventListener("dragleave", (event) => {
      if (!zone.contains(/** @type {Node | null} */ (event.relatedTarget))) over(false);
    });
    zone.addEventListener("drop", async (event) => {
      event.preventDefault();
      over(false);
      if (event.dataTransfer) this.add(await filesOf(event.dataTransfer));
    });
    return zone;
  }

  searchForm() {
    const input = h("input", { type: "search", id: "search", placeholder: "How long are answers kept?" });
    return h(
      "form",
      {
        class: "search-form",
        role: "search",
        "aria-label": "Search for passages",
        onsubmit: (/** @type {Event} */ event) => {
          event.preventDefault();
          void this.search(input.value.trim());
        },
      },
      h("label", { class: "field grow" }, h("span", "Search the store"), input),
      h("button", { class: "button" }, icon("search"), h("span", "Search")),
    );
  }

  /** @param {File[]} files */
  add(files) {
    if (!files.length || !chosen) return;
    uploads.add(files, chosen);
    announce(`${plural(files.length, "file")} will be uploaded.`);
  }

  async loadStores() {
    try {
      this.stores = await listStores(this.signal);
    } catch (error) {
      if (!isAbort(error)) this.complain(told(error));
      return;
    }
    this.complain("");
    if (!this.stores.some((one) => one.id === chosen)) chosen = this.stores[0]?.id ?? "";
    fill(
      this.store,
      this.stores.map((one) => h("option", { value: one.id, selected: one.id === chosen }, labelOf(one))),
    );
    this.showStore();
    if (this.files.store === chosen) await this.files.load();
    else if (chosen) await this.files.open(chosen);
  }

  showStore() {
    const store = this.stores.find((one) => one.id === chosen);
    if (!store) return fill(this.about);
    const { total, in_progress, failed } = store.file_counts;
    const parts = [
      plural(total, "file"),
      bytes(store.usage_bytes),
      in_progress && `${in_progress} on the way`,
      failed && `${failed} failed`,
    ];
    fill(this.about, parts.filter(Boolean).join(" · "));
  }

  /** @param {string} store */
  async choose(store) {
    chosen = store;
    fill(this.results);
    this.showStore();
    await this.files.open(store);
  }

  makeStore() {
    const name = h("input", { name: "name", required: true, maxlength: 100, id: "store-name" });
    const days = h("input", { name: "days", type: "number", min: 1, max: 365, id: "store-days" });
    formDialog({
      title: "New store",
      action: "Make it",
      told,
      fields: [
        h("label", { class: "field" }, h("span", "Name"), name),
        h(
          "label",
          { class: "field" },
          h("span", "Delete after so many days without use (empty: never)"),
          days,
        ),
      ],
      submit: async () => {
        const expires = days.value
          ? { expires_after: { anchor: "last_active_at", days: Number(days.value) } }
          : {};
        const made = await call("POST", "/v1/vector_stores", {
          json: { name: name.value.trim(), ...expires },
        });
        chosen = made.id;
        await this.loadStores();
        announce(`Store ${name.value.trim()} was made.`);
      },
    });
  }

  /** @param {string} query */
  async search(query) {
    if (!query) return fill(this.results);
    const store = chosen;
    fill(this.results, h("p", { class: "muted" }, "Searching…"));
    try {
      const found = await call("POST", `/v1/vector_stores/${encodeURIComponent(store)}/search`, {
        json: { query, max_num_results: RESULTS },
        signal: this.signal,
      });
      fill(
        this.results,
        h(
          "h2",
          found.data.length
            ? `${plural(found.data.length, "passage")} for “${query}”`
            : `Nothing was found for “${query}”`,
        ),
        found.data.length
          ? h(
              "ol",
              { class: "passages" },
              found.data.map((/** @type {any} */ one) => h("li", this.result(one, store))),
            )
          : h("p", { class: "muted" }, "Try other words, or see below whether the files have been read."),
      );
    } catch (error) {
      if (!isAbort(error)) fill(this.results, h("p", { class: "error-text" }, told(error)));
    }
  }

  /**
   * @param {{file_id: string, filename: string, score: number, content: {text: string}[], start: number, page: number | null, headings: string[]}} one
   * @param {string} store
   */
  result(one, store) {
    const quote = one.content[0]?.text ?? "";
    return h(
      "button",
      { class: "passage", onclick: () => openPassage({ ...one, name: one.filename, quote }, [store]) },
      h(
        "span",
        { class: "passage-head" },
        h("strong", one.filename),
        h("span", { class: "muted" }, placeOf(one)),
        h(
          "span",
          { class: "score num", title: "Score" },
          h("span", { class: "visually-hidden" }, "score "),
          one.score.toFixed(3),
        ),
      ),
      h("span", { class: "passage-text" }, quote),
    );
  }

  /** @param {string} text */
  complain(text) {
    this.problem.textContent = text;
  }
}
