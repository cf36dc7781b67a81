/** Records that could not be handled: what they are, and what to do with them. For operators. */

import { ApiError, call, isAbort, query, told } from "../api.js";
import { closePanel, confirmed } from "../dialog.js";
import { announce, fill, h } from "../dom.js";
import { clock, plural, shortId } from "../format.js";
import { inspect, nameOf, pathOf, sourceOf } from "../letter_panel.js";
import { href } from "../router.js";

export const title = "Dead letters";
const PAGE = 50;
const TYPING_MS = 300;

/** @typedef {import("../letter_panel.js").Letter} Letter */

/** @param {import("../main.js").Place} place */
export async function open({ host, signal }) {
  const page = new LettersPage(signal);
  fill(host, page.node);
  await Promise.all([page.load(), page.loadTopics()]);
}

class LettersPage {
  /** @param {AbortSignal} signal */
  constructor(signal) {
    this.signal = signal;
    /** @type {Letter[]} */
    this.letters = [];
    this.next = "";
    this.timer = 0;
    const later = () => {
      clearTimeout(this.timer);
      this.timer = window.setTimeout(() => this.load(), TYPING_MS);
    };
    this.topic = h(
      "select",
      { id: "topic", onchange: () => this.load() },
      h("option", { value: "" }, "all topics"),
    );
    this.error = h("input", {
      type: "search",
      id: "error",
      placeholder: "internal_error",
      spellcheck: "false",
      oninput: later,
    });
    this.total = h("span", { class: "muted num" });
    this.outcome = h("p", { class: "outcome", role: "status" });
    this.note = h("div", { class: "empty" }, h("p", "Loading…"));
    this.body = h("tbody");
    this.table = h(
      "div",
      { class: "table-frame", tabindex: 0, role: "region", "aria-label": "Dead letters", hidden: true },
      h(
        "table",
        { class: "data cards", role: "table" },
        h(
          "thead",
          h(
            "tr",
            ["Place", "Time", "Stage", "Error", "Request", "Tenant", ""].map((name) =>
              h(
                "th",
                { scope: "col", class: name === "Time" ? "num" : null },
                name || h("span", { class: "visually-hidden" }, "Actions"),
              ),
            ),
          ),
        ),
        this.body,
      ),
    );
    this.older = h(
      "button",
      { class: "button", hidden: true, onclick: () => this.load(true) },
      "Show older ones",
    );
    this.node = h(
      "div",
      h(
        "header",
        { class: "page-head" },
        h("h1", { tabindex: -1 }, "Dead letters"),
        this.total,
        h("button", { class: "button", onclick: () => this.load() }, "Look again"),
      ),
      h(
        "form",
        {
          class: "filters",
          role: "search",
          "aria-label": "Filter dead letters",
          onsubmit: (/** @type {Event} */ e) => e.preventDefault(),
        },
        h("label", { class: "field" }, h("span", "Topic"), this.topic),
        h("label", { class: "field" }, h("span", "Error has"), this.error),
      ),
      this.outcome,
      this.table,
      this.note,
      this.older,
    );
  }

  /** Offer the topics that there are, with how many letters each has. */
  async loadTopics() {
    const seen = await call("GET", "/console/api/pipeline", { signal: this.signal }).catch(() => null);
    /** @type {{name: string, dead: number}[]} */
    const topics = seen?.topics ?? [];
    this.topic.append(
      ...topics.map(({ name, dead }) => h("option", { value: name }, dead ? `${name} (${dead})` : name)),
    );
  }

  /** @param {boolean} [more] those before the last that is shown, else from the newest on */
  async load(more = false) {
    const asked = {
      topic: this.topic.value,
      error: this.error.value.trim(),
      limit: PAGE,
      before: more ? this.next : "",
    };
    try {
      const { letters, total, next } = await call("GET", `/console/api/dead_letters${query(asked)}`, {
        signal: this.signal,
      });
      this.letters = more ? [...this.letters, ...letters] : letters;
      this.next = next ?? "";
      this.show(total);
    } catch (error) {
      if (isAbort(error)) return;
      this.table.hidden = true;
      this.note.hidden = false;
      fill(this.note, h("p", told(error)));
    }
  }

  /** @param {number} total */
  show(total) {
    const some = this.letters.length > 0;
    const filtered = this.topic.value || this.error.value;
    this.total.textContent = plural(total, "letter");
    this.table.hidden = !some;
    this.note.hidden = some;
    this.older.hidden = !this.next;
    fill(
      this.note,
      h(
        "p",
        filtered
          ? "No dead letters match. Choose all topics, or clear the error."
          : "No dead letters: every record could be handled. One that cannot comes here, with the reason.",
      ),
    );
    fill(
      this.body,
      this.letters.map((one) => this.row(one)),
    );
  }

  /** @param {Letter} one */
  row(one) {
    const name = nameOf(one);
    const acts = { signal: this.signal, replay: () => this.replay(one), drop: () => this.drop(one) };
    return h(
      "tr",
      { role: "row" },
      h(
        "th",
        { role: "rowheader", scope: "row", class: "grow" },
        h("button", { class: "link", onclick: () => inspect(one, acts) }, name),
      ),
      h("td", { role: "cell", class: "num aside" }, clock(one.time_ms, Date.now())),
      h("td", { role: "cell" }, one.stage || "–"),
      h("td", { role: "cell", class: "reason wide" }, one.error),
      h(
        "td",
        { role: "cell", class: "nowrap" },
        one.request_id
          ? h(
              "a",
              { href: href("requests", one.request_id), title: one.request_id, class: "mono" },
              shortId(one.request_id),
            )
          : "–",
      ),
      h("td", { role: "cell" }, one.tenant || "–"),
      h(
        "td",
        { role: "cell", class: "row-actions wide" },
        h(
          "button",
          { class: "button small", "aria-label": `Replay ${name}`, onclick: () => this.replay(one) },
          "Replay",
        ),
        h(
          "button",
          { class: "button small", "aria-label": `Drop ${name}`, onclick: () => this.drop(one) },
          "Drop",
        ),
      ),
    );
  }

  /**
   * @param {Letter} one
   * @param {boolean} [force]
   * @returns {Promise<void>}
   */
  async replay(one, force = false) {
    const text = force
      ? "It is no valid record, so it will most likely come back here."
      : `It goes back to ${sourceOf(one)} as it was, with a new deadline. Its client was told of the failure long ago; what is written now is in the log for inspection.`;
    if (
      !(await confirmed({
        title: force ? "Replay it all the same?" : `Replay ${nameOf(one)}?`,
        text,
        action: "Replay",
      }))
    )
      return;
    try {
      const { offset } = await call("POST", `${pathOf(one)}/replay`, { json: { force } });
      this.done(`${nameOf(one)} was replayed: it is ${sourceOf(one)} at offset ${offset} now.`);
    } catch (error) {
      if (error instanceof ApiError && error.code === "refused" && !force) {
        this.say(`${nameOf(one)}: ${error.message}`);
        return this.replay(one, true);
      }
      this.say(`${nameOf(one)} was not replayed: ${told(error)}`);
    }
  }

  /** @param {Letter} one */
  async drop(one) {
    const text = "It is marked as done and deleted with those before it. It cannot be brought back.";
    if (!(await confirmed({ title: `Drop ${nameOf(one)}?`, text, action: "Drop", danger: true }))) return;
    try {
      await call("DELETE", pathOf(one));
      this.done(`${nameOf(one)} was dropped.`);
    } catch (error) {
      this.say(`${nameOf(one)} was not dropped: ${told(error)}`);
    }
  }

  /** @param {string} text */
  done(text) {
    this.say(text);
    closePanel();
    return this.load();
  }

  /** @param {string} text */
  say(text) {
    this.outcome.textContent = text;
    announce(text);
  }
}
