/**
 * Pages by the address's fragment: `#/requests/<id>` is page `requests` with that id.
 *
 * @typedef {{page: string, id: string}} Route
 */

export const FIRST = "chat";

/**
 * What a fragment names; the first page if it names none.
 *
 * @param {string} fragment with or without its `#`
 * @returns {Route}
 */
export function parse(fragment) {
  const [page, id = ""] = fragment.replace(/^#?\/?/, "").split("/");
  try {
    return { page: decodeURIComponent(page) || FIRST, id: decodeURIComponent(id) };
  } catch {
    return { page: FIRST, id: "" };
  }
}

/**
 * The fragment of a page.
 *
 * @param {string} page
 * @param {string} [id]
 */
export function href(page, id = "") {
  return `#/${page}${id && `/${encodeURIComponent(id)}`}`;
}

/**
 * The key in a fragment `#key=sk-…`, null if there is none.
 *
 * @param {string} fragment
 */
export function keyIn(fragment) {
  const found = /^#key=(.+)$/.exec(fragment);
  if (!found) return null;
  try {
    return decodeURIComponent(found[1]).trim();
  } catch {
    return found[1].trim();
  }
}
