/** Vector stores: those there are, and how they are called. */

import { call } from "./api.js";

/**
 * @typedef {{id: string, name: string | null, usage_bytes: number, file_counts: {total: number, in_progress: number, failed: number}}} Store
 */

const MOST = 500;

/**
 * All stores of the tenant, the default one first.
 *
 * @param {AbortSignal} [signal]
 * @returns {Promise<Store[]>}
 */
export async function listStores(signal) {
  /** @type {Store[]} */
  const found = [];
  for (let after = ""; found.length < MOST;) {
    const page = await call(
      "GET",
      `/v1/vector_stores?limit=100${after && `&after=${encodeURIComponent(after)}`}`,
      { signal },
    );
    found.push(...page.data);
    if (!page.has_more) break;
    after = page.last_id;
  }
  return found.sort((a, b) => Number(b.id === "vs_default") - Number(a.id === "vs_default"));
}

/** @param {Store} store */
export function labelOf({ id, name }) {
  return name || (id === "vs_default" ? "Default store" : id);
}
