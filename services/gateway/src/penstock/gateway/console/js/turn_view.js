/** A question and its answer on the page. */

import { call } from "./api.js";
import { speed, tokensPerS } from "./answer.js";
import { announce, fill, h, setText } from "./dom.js";
import { count, duration, plural } from "./format.js";
import { icon } from "./icons.js";
import { Growing, markCitations } from "./markdown.js";
import { placeOf } from "./passages.js";
import { href } from "./router.js";

/** @typedef {import("./answer.js").Turn} Turn */
/** @typedef {import("./answer.js").Citation} Citation */

export class TurnView {
  /**
   * @param {Turn} turn
   * @param {{cite: (turn: Turn, citation: Citation) => void, again: (turn: Turn) => void}} acts
   */
  constructor(turn, acts) {
    this.turn = turn;
    this.acts = acts;
    this.text = new Growing((content) => markCitations(content, (index) => this.chip(index)));
    this.waiting = h(
      "p",
      { class: "waiting" },
      h("span", { class: "pulse", "aria-hidden": "true" }),
      "Waiting for the first word",
    );
    this.answer = h(
      "div",
      { class: "answer-body", "aria-live": "polite", "aria-busy": "true" },
      this.waiting,
      this.text.node,
    );
    this.problem = h("div", { class: "problem", role: "alert", hidden: true });
    this.sources = h("section", { class: "sources", "aria-label": "Sources", hidden: true });
    this.speed = h("span", { class: "num" });
    this.trace = h("a", { href: "#/requests", hidden: true }, "trace");
    this.copy = h(
      "button",
      { class: "button quiet small", hidden: true, onclick: () => this.copyText() },
      icon("copy"),
      h("span", "Copy"),
    );
    this.node = h(
      "article",
      { class: "turn" },
      turn.question
        ? h(
            "div",
            { class: "question" },
            h("h2", { class: "visually-hidden" }, "Question"),
            h("p", turn.question),
          )
        : h(
            "p",
            { class: "notice" },
            "This was asked elsewhere: the answer is kept in the log, its question is not shown here.",
          ),
      h(
        "div",
        { class: "answer" },
        h("h2", { class: "visually-hidden" }, "Answer"),
        this.answer,
        this.problem,
        this.sources,
        h("footer", { class: "turn-foot" }, this.speed, this.trace, this.copy),
      ),
    );
    this.state = "";
    this.update();
  }

  /** Show what is new. */
  update() {
    const { turn } = this;
    const ended = turn.state !== "running";
    this.waiting.hidden = ended || turn.text !== "";
    this.text.show(turn.text, ended);
    this.answer.classList.toggle("writing", !ended && turn.text !== "");
    if (turn.requestId && this.trace.hidden) {
      this.trace.setAttribute("href", href("requests", turn.requestId));
      this.trace.hidden = false;
    }
    this.showSpeed(speed(turn));
    if (turn.state !== this.state) this.changeState();
  }

  changeState() {
    const { turn } = this;
    const seen = this.state === "running";
    const ended = turn.state !== "running";
    this.state = turn.state;
    this.answer.setAttribute("aria-busy", String(!ended));
    this.copy.hidden = !(ended && turn.text && navigator.clipboard); // which secure pages only have
    this.showProblem();
    if (!ended) return;
    if (turn.citations.length) {
      this.showSources();
      this.text.redress();
    }
    if (turn.resumed && turn.requestId) this.askSpeed();
    if (seen && turn.state === "completed") {
      announce(
        `The answer is complete: ${count(turn.text.length)} characters, ${plural(turn.citations.length, "source")}.`,
      );
    }
  }

  showProblem() {
    const { state, error } = this.turn;
    const words = state === "completed" ? remark(this.turn) : (WORDS[state] ?? error?.message);
    this.problem.hidden = state === "running" || !words;
    if (this.problem.hidden) return;
    const again = h(
      "button",
      { class: "button", onclick: () => this.acts.again(this.turn) },
      icon("again"),
      h("span", state === "interrupted" ? "Go on reading" : "Ask again"),
    );
    const offered = state !== "completed" && (this.turn.question || state === "interrupted");
    this.problem.classList.toggle("calm", state === "cancelled" || state === "completed");
    fill(this.problem, h("p", words), offered && again);
  }

  /** @param {{firstMs: number | null, tokensPerS: number | null}} seen */
  showSpeed({ firstMs, tokensPerS: rate }) {
    const { turn } = this;
    const parts = [];
    if (firstMs !== null) parts.push(`first token ${duration(firstMs)}`);
    if (rate !== null) parts.push(`${rate.toFixed(1)} tokens/s`);
    if (turn.tokens !== null) parts.push(plural(turn.tokens, "token"));
    if (turn.state === "running" && turn.text) parts.push("writing");
    if (parts.length || !turn.resumed) setText(this.speed, parts.join(" · "));
  }

  /** The times of an answer that this console did not see whole, from the log. */
  async askSpeed() {
    const { request } = await call("GET", `/console/api/requests/${this.turn.requestId}`, {
      quiet: true,
    }).catch(() => ({}));
    if (!request?.first_text_ms) return;
    this.turn.tokens ??= request.completion_tokens;
    const { created_ms: asked, first_text_ms: first, ended_ms: ended, completion_tokens: tokens } = request;
    this.showSpeed({ firstMs: first - asked, tokensPerS: tokensPerS(tokens, first, ended) });
    this.showSpeed = () => undefined; // what this console saw says less
  }

  showSources() {
    const { citations } = this.turn;
    fill(
      this.sources,
      h("h3", "Sources"),
      h(
        "ol",
        citations.map((one) =>
          h(
            "li",
            h(
              "button",
              { class: "source", onclick: () => this.acts.cite(this.turn, one) },
              h("span", { class: "chip", "aria-hidden": "true" }, one.index),
              h(
                "span",
                { class: "source-name" },
                h("span", { class: "visually-hidden" }, `Source ${one.index}: `),
                nameOf(one),
              ),
              h("span", { class: "muted" }, placeOf(one)),
              h("span", { class: "source-quote" }, one.quote),
            ),
          ),
        ),
      ),
    );
    this.sources.hidden = false;
  }

  /** @param {number} index */
  chip(index) {
    const citation = this.turn.citations.find((one) => one.index === index);
    if (!citation) return null;
    return h(
      "button",
      {
        class: "chip",
        "aria-label": `Source ${index}: ${nameOf(citation)}`,
        title: nameOf(citation),
        onclick: () => this.acts.cite(this.turn, citation),
      },
      index,
    );
  }

  async copyText() {
    await navigator.clipboard.writeText(this.turn.text).then(
      () => announce("The answer was copied."),
      () => announce("The browser does not let the console copy."),
    );
  }
}

/** @type {Partial<Record<import("./answer.js").State, string>>} */
const WORDS = {
  cancelled: "Stopped. What was written stays.",
};

/** @type {Record<string, string>} */
const GROUNDING = {
  quoted: "Quoted from the documents: no model was asked.",
  not_found: "This is not in the documents.",
  unsupported: "The passages that were found do not support this answer.",
};

/**
 * What there is to say of a complete answer beside its text, if anything.
 *
 * @param {Turn} turn
 * @returns {string | undefined}
 */
export function remark({ finish, grounding }) {
  return finish === "length" ? "The answer has reached the most tokens it may have." : GROUNDING[grounding];
}

/** @param {Citation} citation */
export function nameOf(citation) {
  return citation.filename || citation.title || citation.document_id;
}
