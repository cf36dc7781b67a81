/**
 * Where a passage stands in its document. The API gives a document's text chunk by chunk, each with the characters
 * that it is, counted as code points; neighbours overlap, and white space between chunks is left out. Pure.
 *
 * @typedef {{text: string, start: number, end: number}} Chunk
 */

/**
 * The text that chunks were cut from. What lay between them is blank.
 *
 * @param {Chunk[]} chunks by their start
 * @returns {string}
 */
export function stitch(chunks) {
  const parts = [];
  let at = 0;
  for (const { text, start, end } of chunks) {
    if (end <= at) continue;
    if (start > at) parts.push(blank(start - at));
    parts.push(start < at ? text.slice(unitsTo(text, at - start)) : text);
    at = end;
  }
  return parts.join("");
}

/** @param {number} length */
function blank(length) {
  return length === 1 ? " " : `\n\n${" ".repeat(length - 2)}`;
}

/**
 * The index in a JavaScript string, which counts UTF-16 units, of the character of this number.
 *
 * @param {string} text
 * @param {number} character
 * @returns {number}
 */
export function unitsTo(text, character) {
  let at = 0;
  for (let left = character; left > 0 && at < text.length; left--)
    at += /** @type {number} */ (text.codePointAt(at)) > 0xffff ? 2 : 1;
  return at;
}

/**
 * The place of a passage: of those where its words stand, the one nearest to where it was.
 *
 * @param {string} text
 * @param {string} passage
 * @param {number} character where it was
 * @returns {[number, number] | null} from and to, as indices, null if it does not stand there
 */
export function locate(text, passage, character) {
  if (!passage) return null;
  const start = unitsTo(text, character);
  let best = -1;
  for (let at = text.indexOf(passage); at >= 0; at = text.indexOf(passage, at + 1)) {
    if (best < 0 || Math.abs(at - start) < Math.abs(best - start)) best = at;
  }
  return best < 0 ? null : [best, best + passage.length];
}

/**
 * The part of a long text that is shown around a place, cut between lines where there are any near.
 *
 * @param {string} text
 * @param {[number, number]} place
 * @param {number} around characters
 * @returns {[number, number]}
 */
export function excerpt(text, [from, to], around) {
  const begin = Math.max(0, from - around);
  const end = Math.min(text.length, to + around);
  const line = begin === 0 ? 0 : text.indexOf("\n", begin) + 1;
  const last = end === text.length ? end : text.lastIndexOf("\n", end);
  return [line > 0 && line <= from ? line : begin, last >= to ? last : end];
}

const PROSE = /\.(md|markdown|txt|pdf|docx?|html?)$/i;
/** A line that was broken because it was long, before one that goes on with words. */
const BROKEN = /(?<=[^\n]{50})\n(?=\p{L})/gu;

/**
 * Prose whose lines were broken to some width, flowing; of anything else the text as it is. No place in it moves.
 *
 * @param {string} text
 * @param {string} name of the file
 */
export function flowing(text, name) {
  return PROSE.test(name) ? text.replace(BROKEN, " ") : text;
}

/**
 * Where a passage stands, in words: page, or headings.
 *
 * @param {{page?: number | null, headings?: string[]}} passage
 */
export function placeOf({ page, headings }) {
  const parts = [];
  if (page) parts.push(`page ${page}`);
  if (headings?.length) parts.push(headings.join(" › "));
  return parts.join(", ");
}
