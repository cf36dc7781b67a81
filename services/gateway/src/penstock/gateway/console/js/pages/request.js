/** One request: what became of it, its waterfall, and the records behind it. */

import { ApiError, call, isAbort, told } from "../api.js";
import { fill, h } from "../dom.js";
import { clock, count, duration } from "../format.js";
import { recordTable } from "../record_table.js";
import { stageOf } from "../request_list.js";
import { href } from "../router.js";
import { pause } from "../sse.js";
import { WaterfallView, legend } from "../waterfall_view.js";

export const title = "Request";
const EVERY_MS = 1500;
/** Spans come in batches: so often it is looked once more after the end, and so often for a request not known yet. */
const LOOKS = 5;

/** @param {import("../main.js").Place} place */
export function open({ host, id, signal }) {
  const view = new RequestView(id);
  fill(host, view.node);
  void view.follow(signal);
}

class RequestView {
  /** @param {string} id */
  constructor(id) {
    this.id = id;
    this.state = h("span", { class: "state" });
    this.facts = h("dl", { class: "figures" });
    this.note = h("div", { class: "problem", hidden: true, role: "alert" });
    this.traces = h("div", { class: "traces" }, h("p", { class: "skeleton tall" }, "Loading the trace…"));
    this.records = h("div", { class: "records" }, h("p", { class: "skeleton" }, "Loading the records…"));
    /** @type {Map<string, {view: WaterfallView, node: HTMLElement}>} */
    this.waterfalls = new Map();
    this.seen = { traces: "", records: "" };
    this.node = h(
      "div",
      h("p", { class: "crumbs" }, h("a", { href: "#/requests" }, "Requests")),
      h(
        "header",
        { class: "page-head" },
        h("h1", { tabindex: -1, class: "mono" }, id),
        this.state,
        h("a", { class: "button", href: href("chat", id) }, "Show the answer"),
      ),
      this.note,
      this.facts,
      h(
        "section",
        { "aria-labelledby": "trace-title" },
        h("div", { class: "section-head" }, h("h2", { id: "trace-title" }, "Trace"), legend()),
        this.traces,
      ),
      h(
        "section",
        { "aria-labelledby": "records-title" },
        h("h2", { id: "records-title" }, "Records in the log"),
        this.records,
      ),
    );
  }

  /** @param {AbortSignal} signal */
  async follow(signal) {
    for (let left = LOOKS; left > 0 && !signal.aborted;) {
      try {
        const found = await call("GET", `/console/api/requests/${encodeURIComponent(this.id)}`, { signal });
        this.show(found);
        if (found.request.state !== "running") left--;
      } catch (error) {
        if (isAbort(error)) return;
        const passing = error instanceof ApiError && [0, 404, 429, 502, 503, 504].includes(error.status);
        left = passing ? left - 1 : 0;
        if (!left) this.fail(error);
      }
      await pause(EVERY_MS, signal).catch(() => undefined);
    }
  }

  /** @param {unknown} error */
  fail(error) {
    this.note.hidden = false;
    fill(
      this.note,
      h("p", told(error)),
      h(
        "p",
        { class: "muted" },
        "Only recent requests are kept for view. The answer itself may still be in the log: ",
        h("a", { href: href("chat", this.id) }, "show the answer"),
        ".",
      ),
    );
    if (!this.seen.traces) fill(this.traces);
    if (!this.seen.records) fill(this.records);
  }

  /** @param {{request: import("../request_list.js").Req, records: import("../records.js").Rec[], records_cut: boolean,
   *   traces: {trace_id: string, spans: import("../waterfall.js").Span[]}[]}} found */
  show({ request, records, records_cut, traces }) {
    this.showFacts(request);
    if (changed(this.seen, "traces", traces)) this.showTraces(traces);
    // What somebody has opened stays as it is until the request has ended.
    const reads = request.state === "running" && this.records.querySelector("details[open], .of-run");
    if (!reads && changed(this.seen, "records", records)) {
      fill(this.records, recordTable(records, records_cut, request.created_ms));
    }
  }

  /** @param {import("../request_list.js").Req} one */
  showFacts(one) {
    this.state.textContent = one.state;
    this.state.dataset.state = one.state;
    this.note.hidden = !one.error;
    if (one.error) fill(this.note, h("p", h("strong", one.error.code), " ", one.error.message));
    const since = (/** @type {number | null} */ ms) => (ms === null ? "–" : duration(ms - one.created_ms));
    const figures = [
      ["Begun", clock(one.created_ms, Date.now())],
      ["First text", since(one.first_text_ms)],
      ["Total", since(one.ended_ms)],
      ["Stage", stageOf(one)],
      ["Tokens read", count(one.prompt_tokens)],
      ["Tokens written", count(one.completion_tokens)],
      ["Passages", count(one.passages)],
      ["Epoch", count(one.epoch || null)],
      ["Model", one.model || "–"],
      ["Tenant, key", [one.tenant, one.api_key].filter(Boolean).join(", ")],
    ];
    fill(
      this.facts,
      figures.map(([name, value]) => h("div", h("dt", name), h("dd", { class: "num" }, value))),
    );
  }

  /** @param {{trace_id: string, spans: import("../waterfall.js").Span[]}[]} traces */
  showTraces(traces) {
    const shown = traces.filter((one) => one.spans.length);
    if (!shown.length) {
      fill(
        this.traces,
        h(
          "p",
          { class: "empty" },
          "No spans have come in yet. They do within some seconds, if the request was sampled.",
        ),
      );
      this.waterfalls.clear();
      return;
    }
    if (!this.waterfalls.size) fill(this.traces);
    shown.forEach(({ trace_id, spans }, index) => {
      let one = this.waterfalls.get(trace_id);
      if (!one) {
        const view = new WaterfallView(index ? `Spans of linked trace ${trace_id}` : "Spans");
        const node = h(
          "div",
          { class: "trace" },
          h("h3", index ? "Linked trace " : "", h("span", { class: "mono muted" }, trace_id)),
          view.node,
        );
        one = { view, node };
        this.waterfalls.set(trace_id, one);
        this.traces.append(node);
      }
      one.view.show(spans);
    });
  }
}

/**
 * Whether there is something new to draw, so that what was unfolded and focused stays as long as there is not.
 *
 * @param {Record<string, string>} seen
 * @param {string} name
 * @param {unknown} value
 */
function changed(seen, name, value) {
  const text = JSON.stringify(value);
  const is = seen[name] !== text;
  seen[name] = text;
  return is;
}
