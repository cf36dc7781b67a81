/**
 * An answer's Markdown, made harmless HTML by the gateway. This is the only place of the console where markup
 * comes in: the content security policy allows no Trusted Types policy but this one.
 */

import { call } from "./api.js";
import { h } from "./dom.js";

/** So often at most while text arrives. */
const EVERY_MS = 150;
/** Longer answers stay plain text: the gateway's bound is 256 KiB. */
const MOST = 80_000;

/** @type {{createHTML: (html: string) => any}} */
const policy = /** @type {any} */ (globalThis).trustedTypes?.createPolicy("penstock", {
  createHTML: (/** @type {string} */ html) => html,
}) ?? { createHTML: (/** @type {string} */ html) => html };

/**
 * The nodes of a text in Markdown. Raises ApiError.
 *
 * @param {string} text
 * @returns {Promise<DocumentFragment>}
 */
async function rendered(text) {
  const { html } = await call("POST", "/console/api/markdown", { json: { text } });
  const template = document.createElement("template");
  template.innerHTML = policy.createHTML(html);
  for (const table of template.content.querySelectorAll("table")) {
    const frame = h("div", { class: "table-frame", tabindex: 0, role: "region", "aria-label": "Table" });
    table.replaceWith(frame);
    frame.append(table);
  }
  return template.content;
}

/** Shows a text that grows: what is rendered, and behind it, as plain text, what came since. */
export class Growing {
  /** @param {(content: DocumentFragment) => void} dress changes rendered nodes before they are shown */
  constructor(dress) {
    this.dress = dress;
    this.body = h("div", { class: "prose" });
    this.tail = h("span", { class: "tail" });
    this.node = h("div", { class: "growing" }, this.body);
    this.body.append(this.tail);
    this.text = "";
    this.shown = 0;
    this.busy = false;
    this.stale = false;
    this.failed = "";
    /** @type {ReturnType<typeof setTimeout> | null} */
    this.timer = null;
  }

  /**
   * @param {string} text all of it
   * @param {boolean} whole whether it is complete
   */
  show(text, whole) {
    if (text === this.text && !(whole && this.stale)) return;
    this.text = text;
    this.stale = true;
    this.tail.textContent = text.slice(this.shown);
    if (text && text.length <= MOST) this.plan(whole ? 0 : EVERY_MS);
  }

  /** Render again, though the text is the same. */
  redress() {
    this.stale = true;
    if (this.text && this.text.length <= MOST) this.plan(0);
  }

  /** @param {number} wait */
  plan(wait) {
    if (this.busy || (this.timer && wait > 0)) return; // that one will show this text, too
    if (this.timer) clearTimeout(this.timer);
    this.timer = setTimeout(() => this.render(), wait);
  }

  async render() {
    const text = this.text;
    this.timer = null;
    this.busy = true;
    this.stale = false;
    const began = performance.now();
    let wait = EVERY_MS;
    try {
      const content = await rendered(text);
      this.dress(content);
      this.body.replaceChildren(content);
      this.shown = text.length;
      this.tail.textContent = this.text.slice(this.shown);
      endOf(this.body).append(this.tail);
      wait = Math.max(EVERY_MS, 3 * (performance.now() - began)); // a slow gateway is asked less often
    } catch {
      wait = 2000; // plain text is an answer, too
      this.stale = this.failed !== text;
      this.failed = text;
    } finally {
      this.busy = false;
    }
    if (this.stale) this.plan(wait);
  }
}

/**
 * Where text goes on after what is rendered: in the last paragraph or item, so that its line is not broken.
 *
 * @param {Element} node
 * @returns {Element}
 */
function endOf(node) {
  const last = node.lastElementChild;
  return last?.matches("p, ul, ol, li, blockquote, h1, h2, h3, h4, h5, h6") ? endOf(last) : node;
}

const MARKER = /\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]/g;

/**
 * Put chips in the place of markers such as [2] or [1, 3], outside of code and links.
 *
 * @param {DocumentFragment} content
 * @param {(index: number) => HTMLElement | null} chip null for a number that names nothing
 */
export function markCitations(content, chip) {
  const walker = document.createTreeWalker(content, NodeFilter.SHOW_TEXT);
  /** @type {Text[]} */
  const texts = [];
  while (walker.nextNode()) texts.push(/** @type {Text} */ (walker.currentNode));
  for (const text of texts) {
    if (!text.parentElement?.closest("code, pre, a")) text.replaceWith(...withChips(text.data, chip));
  }
}

/**
 * @param {string} text
 * @param {(index: number) => HTMLElement | null} chip
 * @returns {(string | HTMLElement)[]}
 */
function withChips(text, chip) {
  /** @type {(string | HTMLElement)[]} */
  const parts = [];
  let at = 0;
  for (const found of text.matchAll(MARKER)) {
    const chips = found[1].split(",").map((number) => chip(Number(number)));
    if (chips.some((one) => one === null)) continue;
    parts.push(text.slice(at, found.index), h("span", { class: "chips" }, chips));
    at = found.index + found[0].length;
  }
  return [...parts, text.slice(at)];
}
