/** The live list of requests. */

import { call, isAbort, query, told } from "../api.js";
import { fill, h, setText } from "../dom.js";
import { clock, count, duration, plural, requestIdOf, shortId } from "../format.js";
import { RequestList, STATES, stageOf, stagesDone } from "../request_list.js";
import { href } from "../router.js";
import { follow } from "../sse.js";
import { RowWindow } from "../window.js";

export const title = "Requests";
const PAGE = 100;
/** Changes are gathered for so long: nobody reads faster. */
const GATHER_MS = 200;
const TYPING_MS = 250;
const COLUMNS = ["State", "Request", "Stage", "Model", "Begun", "First text", "Total", "Tokens"];

/** @typedef {import("../request_list.js").Req} Req */

/** @param {import("../main.js").Place} place */
export function open({ host, me, signal }) {
  const view = new RequestsView(me.operator);
  fill(host, view.node);
  signal.addEventListener("abort", () => view.close());
  return view.restart();
}

class RequestsView {
  /** @param {boolean} operator shows whose requests they are */
  constructor(operator) {
    this.operator = operator;
    this.loading = new AbortController();
    this.list = new RequestList({ state: "", prefix: "" });
    /** @type {string | null} */
    this.next = null;
    this.busy = false;
    /** @type {Req[]} */
    this.gathered = [];
    this.timer = 0;
    this.live = h("span", { class: "live", role: "status" }, "Connecting");
    this.total = h("span", { class: "muted num" });
    this.prefix = h("input", {
      type: "search",
      id: "id-prefix",
      placeholder: "Beginning of an id",
      spellcheck: "false",
      oninput: () => this.filterSoon(),
    });
    this.note = h("div", { class: "empty", hidden: true });
    this.body = h("div", { class: "rows", role: "rowgroup" });
    this.frame = h(
      "div",
      { class: "request-frame", tabindex: 0, role: "region", "aria-label": "Requests, newest first" },
      (this.table = h(
        "div",
        { class: "request-table", role: "table", "aria-label": "Requests", "aria-colcount": COLUMNS.length },
        h(
          "div",
          { role: "rowgroup", class: "request-heading" },
          h(
            "div",
            { role: "row", class: "request-row", "aria-rowindex": 1 },
            COLUMNS.map((name, i) => h("span", { role: "columnheader", class: `cell-${i}` }, name)),
          ),
        ),
        this.body,
      )),
    );
    this.node = h(
      "div",
      { class: "requests" },
      h("header", { class: "page-head" }, h("h1", { tabindex: -1 }, "Requests"), this.live, this.total),
      h(
        "form",
        {
          class: "filters",
          role: "search",
          "aria-label": "Filter requests",
          onsubmit: (/** @type {Event} */ e) => e.preventDefault(),
        },
        this.stateChoice(),
        h("label", { class: "field" }, h("span", "Id"), this.prefix),
      ),
      this.frame,
      this.note,
    );
    this.rows = new RowWindow(this.frame, this.body, {
      key: (/** @type {Req} */ one) => one.id,
      make: () => this.makeRow(),
      show: showRow,
      nearEnd: () => void this.more(),
    });
  }

  stateChoice() {
    const choice = (/** @type {string} */ value, /** @type {string} */ label) =>
      h(
        "label",
        h("input", {
          type: "radio",
          name: "state",
          value,
          checked: value === "",
          onchange: () => {
            this.filter(value);
          },
        }),
        h("span", label),
      );
    return h(
      "fieldset",
      { class: "segments" },
      h("legend", { class: "visually-hidden" }, "State"),
      choice("", "all"),
      STATES.map((state) => choice(state, state)),
    );
  }

  /** @param {string} [state] */
  filter(state = this.list.filter.state) {
    this.list = new RequestList({ state, prefix: requestIdOf(this.prefix.value.trim().toLowerCase()) });
    return this.restart();
  }

  filterSoon() {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.filter(), TYPING_MS);
  }

  /** Load the list from its beginning, and follow what changes. */
  async restart() {
    this.loading.abort();
    this.loading = new AbortController();
    const { signal } = this.loading;
    this.next = null;
    this.busy = false;
    this.frame.scrollTop = 0;
    void follow("/console/api/requests/stream", {
      signal,
      onData: (one) => this.gather(one),
      onState: (...state) => this.showLive(...state),
    });
    await this.load("");
  }

  /** Older ones, once the end of the list is near. */
  async more() {
    if (this.next && !this.busy) await this.load(this.next);
  }

  /** @param {string} before */
  async load(before) {
    const { signal } = this.loading;
    const { state, prefix } = this.list.filter;
    this.busy = true;
    this.table.setAttribute("aria-busy", "true");
    try {
      const page = await call(
        "GET",
        `/console/api/requests${query({ limit: PAGE, before, state, q: prefix })}`,
        { signal },
      );
      this.next = page.next;
      this.list.take(page.requests);
      this.busy = false;
      this.show(0);
    } catch (error) {
      if (isAbort(error)) return;
      this.busy = false;
      this.next = null;
      this.say(told(error));
    } finally {
      if (!signal.aborted) this.table.removeAttribute("aria-busy");
    }
  }

  /** @param {Req} one */
  gather(one) {
    this.gathered.push(one);
    if (this.gathered.length > 1) return;
    setTimeout(() => {
      const gathered = this.gathered;
      this.gathered = [];
      this.show(this.list.take(gathered));
    }, GATHER_MS);
  }

  /** @param {number} onTop */
  show(onTop) {
    const { items, filter } = this.list;
    this.rows.set(items, onTop);
    this.table.setAttribute("aria-rowcount", String(this.next ? -1 : items.length + 1));
    setText(this.total, `${plural(items.length, "request")}${this.next ? " so far" : ""}`);
    if (items.length) this.note.hidden = true;
    else if (filter.state || filter.prefix)
      this.say("No request matches. Choose another state, or clear the id.");
    else if (!this.busy)
      this.say(
        "No requests yet. Ask something under Chat, or with any OpenAI client: it shows up here at once.",
      );
  }

  /** @param {string} text */
  say(text) {
    this.note.hidden = this.list.items.length > 0;
    fill(this.note, h("p", text));
  }

  /**
   * @param {"live" | "waiting" | "refused"} state
   * @param {Error} [error]
   */
  showLive(state, error) {
    this.live.dataset.state = state;
    setText(this.live, { live: "Live", waiting: "Reconnecting", refused: "Not live" }[state]);
    this.live.title = error?.message ?? "";
  }

  makeRow() {
    const cells = COLUMNS.map((_, i) =>
      h("span", { role: "cell", class: `cell-${i} ${i >= 4 ? "num" : ""}` }),
    );
    cells[0].append(h("span", { class: "state" }));
    cells[1].append(h("a", { class: "row-link" }), h("span", { class: "muted owner" }, ""));
    cells[2].append(
      h(
        "span",
        { class: "stage-bar", "aria-hidden": "true" },
        [1, 2, 3, 4, 5].map(() => h("i")),
      ),
      h("span"),
    );
    const row = h("div", { role: "row", class: `request-row ${this.operator ? "with-owner" : ""}` }, cells);
    return row;
  }

  close() {
    this.loading.abort();
    clearTimeout(this.timer);
    this.rows.resized.disconnect();
  }
}

/**
 * @param {HTMLElement} row
 * @param {Req} one
 */
function showRow(row, one) {
  const [state, request, stage, model, begun, first, total, tokens] = /** @type {Element[]} */ ([
    ...row.children,
  ]);
  row.dataset.state = one.state;
  setText(/** @type {Node} */ (state.firstChild), one.state);
  const link = /** @type {HTMLAnchorElement} */ (request.firstChild);
  if (link.title !== one.id) {
    link.href = href("requests", one.id);
    link.title = one.id;
    link.textContent = shortId(one.id);
  }
  setText(/** @type {Node} */ (request.lastChild), one.tenant);
  const done = stagesDone(one);
  const bar = /** @type {HTMLElement} */ (stage.firstChild);
  if (bar.dataset.done !== String(done)) bar.dataset.done = String(done);
  setText(/** @type {Node} */ (stage.lastChild), stageOf(one));
  setText(model, one.model.split("/").at(-1) ?? "");
  /** @type {HTMLElement} */ (model).title = one.model;
  setText(begun, clock(one.created_ms, Date.now()));
  setText(first, one.first_text_ms === null ? "" : duration(one.first_text_ms - one.created_ms));
  setText(total, one.ended_ms === null ? "" : duration(one.ended_ms - one.created_ms));
  setText(
    tokens,
    one.completion_tokens === null ? "" : `${count(one.prompt_tokens)} → ${count(one.completion_tokens)}`,
  );
}
