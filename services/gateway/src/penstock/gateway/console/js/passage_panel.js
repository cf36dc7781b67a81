/** A passage in its document, at the side: highlighted, and scrolled to. */

import { ApiError, call, told } from "./api.js";
import { panel } from "./dialog.js";
import { fill, h } from "./dom.js";
import { count } from "./format.js";
import { excerpt, flowing, locate, placeOf, stitch } from "./passages.js";

/** Characters shown before and after a passage; a document may have millions. */
const AROUND = 15_000;

/**
 * @typedef {{file_id: string | null, name: string, quote: string, start: number, page?: number | null, headings?: string[]}} Passage
 */

/**
 * Open the document that a passage stands in.
 *
 * @param {Passage} passage
 * @param {string[]} stores where its file may be, the likeliest first
 */
export async function openPassage(passage, stores) {
  const body = h("div", { class: "document" }, h("p", { class: "muted" }, "Loading the document…"));
  const dialog = panel({ title: passage.name, note: placeOf(passage), body });
  try {
    const chunks = passage.file_id ? await chunksOf(passage.file_id, stores) : null;
    if (!dialog.isConnected) return;
    if (chunks) show(body, stitch(chunks), passage);
    else missing(body, passage, "The document is not there any more. These are the words that were cited:");
  } catch (error) {
    missing(body, passage, `${told(error)} These are the words that were cited:`);
  }
}

/**
 * The chunks of a file; null if no store has it.
 *
 * @param {string} fileId
 * @param {string[]} stores
 * @returns {Promise<import("./passages.js").Chunk[] | null>}
 */
async function chunksOf(fileId, stores) {
  for (const store of new Set(stores)) {
    try {
      const path = `/v1/vector_stores/${encodeURIComponent(store)}/files/${encodeURIComponent(fileId)}/content`;
      return (await call("GET", path)).data;
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) throw error;
    }
  }
  return null;
}

/**
 * @param {HTMLElement} body
 * @param {string} whole its text
 * @param {Passage} passage
 */
function show(body, whole, passage) {
  const place = locate(whole, passage.quote, passage.start);
  if (!place)
    return missing(body, passage, "The document has changed since. These are the words that were cited:");
  const text = flowing(whole, passage.name);
  const mark = h("mark", { tabindex: -1 }, text.slice(...place));
  let [from, to] = excerpt(text, place, AROUND);
  const before = h("span", text.slice(from, place[0]));
  const after = h("span", text.slice(place[1], to));
  const earlier = h("button", {
    class: "button",
    onclick: () => {
      const more = Math.max(0, from - AROUND);
      before.prepend(text.slice(more, from));
      from = more;
      label();
    },
  });
  const later = h("button", {
    class: "button",
    onclick: () => {
      const more = Math.min(text.length, to + AROUND);
      after.append(text.slice(to, more));
      to = more;
      label();
    },
  });
  const label = () => {
    earlier.hidden = from === 0;
    later.hidden = to === text.length;
    earlier.textContent = `Show what is before (${count(from)} characters)`;
    later.textContent = `Show what follows (${count(text.length - to)} characters)`;
  };
  label();
  fill(body, earlier, h("div", { class: "document-text" }, before, mark, after), later);
  mark.scrollIntoView({ block: "center" });
}

/**
 * @param {HTMLElement} body
 * @param {Passage} passage
 * @param {string} why
 */
function missing(body, passage, why) {
  fill(
    body,
    h("p", { class: "notice" }, why),
    h("blockquote", { class: "document-text" }, h("mark", passage.quote)),
  );
}
