/**
 * One dead letter at the side: its headers, and its body if somebody insists.
 *
 * @typedef {{topic: string, offset: number, time_ms: number, stage: string, error: string, request_id: string,
 *   tenant: string}} Letter
 */

import { call, isAbort, told } from "./api.js";
import { panel } from "./dialog.js";
import { fill, h } from "./dom.js";
import { bytes, count } from "./format.js";

/**
 * @param {Letter} one
 * @param {{signal: AbortSignal, replay: () => void, drop: () => void}} acts
 */
export async function inspect(one, { signal, replay, drop }) {
  const body = h("div", h("p", { class: "muted" }, "Loading…"));
  panel({ title: nameOf(one), note: one.error, body });
  try {
    const { headers, bytes: size } = await call("GET", pathOf(one), { signal });
    const text = h(
      "div",
      { class: "letter-body" },
      h(
        "p",
        { class: "notice" },
        `The body (${bytes(size)}) may hold what a user has written. Look at it only if you may.`,
      ),
      h("button", { class: "button", onclick: () => showBody(one, text, signal) }, "Show the body"),
    );
    const given = Object.entries(headers);
    fill(
      body,
      h("h3", `Headers (${count(given.length)})`),
      h(
        "table",
        { class: "facts" },
        h(
          "tbody",
          given.map(([name, value]) => h("tr", h("th", { scope: "row" }, name), h("td", String(value)))),
        ),
      ),
      h("h3", "Body"),
      text,
      h(
        "div",
        { class: "actions" },
        h("button", { class: "button", onclick: drop }, "Drop"),
        h("button", { class: "button primary", onclick: replay }, "Replay"),
      ),
    );
  } catch (error) {
    if (!isAbort(error)) fill(body, h("p", { class: "error-text", role: "alert" }, told(error)));
  }
}

/**
 * @param {Letter} one
 * @param {HTMLElement} place
 * @param {AbortSignal} signal
 */
async function showBody(one, place, signal) {
  try {
    const { body } = await call("GET", `${pathOf(one)}?body=1`, { signal });
    fill(
      place,
      h("pre", { class: "body-text", tabindex: 0, role: "region", "aria-label": "Body" }, pretty(body)),
    );
  } catch (error) {
    if (!isAbort(error)) fill(place, h("p", { class: "error-text", role: "alert" }, told(error)));
  }
}

/** @param {Letter} one */
export function nameOf({ topic, offset }) {
  return `${topic} / ${offset}`;
}

/**
 * The topic it came from, and goes back to.
 *
 * @param {Letter} one
 */
export function sourceOf({ topic }) {
  return topic.replace(/\.dlq$/, "");
}

/** @param {Letter} one */
export function pathOf({ topic, offset }) {
  return `/console/api/dead_letters/${encodeURIComponent(topic)}/${offset}`;
}

/** @param {string | null} body */
function pretty(body) {
  if (body === null) return "(not text)";
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}
