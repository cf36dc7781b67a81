/**
 * Where a passage stands in its document. The API gives a document's text chunk by chunk; neighbours overlap, and
 * white space between chunks is left out. Pure.
 */

/** Shorter overlaps may be chance. */
const LEAST = 12;
const MOST = 2000;

/**
 * The text that overlapping chunks were cut from.
 *
 * @param {string[]} chunks
 * @returns {string}
 */
export function stitch(chunks) {
  const parts = chunks.slice(0, 1);
  for (let i = 1; i < chunks.length; i++) {
    const shared = overlap(chunks[i - 1], chunks[i]);
    parts.push(shared < LEAST ? `\n\n${chunks[i]}` : chunks[i].slice(shared));
  }
  return parts.join("");
}

/**
 * How many characters of the end of one text are the beginning of the next (the prefix function of Knuth, Morris
 * and Pratt, so that a long document costs no time).
 *
 * @param {string} before
 * @param {string} after
 * @returns {number}
 */
export function overlap(before, after) {
  const pattern = after.slice(0, MOST);
  const text = before.slice(-MOST);
  const borders = new Uint16Array(pattern.length);
  for (let i = 1, k = 0; i < pattern.length; i++) {
    while (k && pattern[i] !== pattern[k]) k = borders[k - 1];
    if (pattern[i] === pattern[k]) k++;
    borders[i] = k;
  }
  let matched = 0;
  for (const letter of text.split("")) {
    while (matched && (matched === pattern.length || letter !== pattern[matched]))
      matched = borders[matched - 1];
    if (letter === pattern[matched]) matched++;
  }
  return matched;
}

/**
 * The place of a passage: of those where its words stand, the one nearest to where it was.
 *
 * @param {string} text
 * @param {string} passage
 * @param {number} start
 * @returns {[number, number] | null} from and to, null if it does not stand there
 */
export function locate(text, passage, start) {
  if (!passage) return null;
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
