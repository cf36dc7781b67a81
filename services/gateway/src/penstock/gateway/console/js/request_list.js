/**
 * The requests that are listed, newest first. Pure.
 *
 * @typedef {{id: string, tenant: string, model: string, api_key: string,
 *   state: "running" | "completed" | "failed" | "cancelled", stage: string,
 *   created_ms: number, first_text_ms: number | null, ended_ms: number | null,
 *   prompt_tokens: number | null, completion_tokens: number | null, passages: number | null, epoch: number | null,
 *   error: {code: string, message: string} | null, trace_id: string | null}} Req
 */

/** More are not kept: who looks for older ones has their id. */
export const MOST = 10_000;
export const STATES = /** @type {const} */ (["running", "completed", "failed", "cancelled"]);
const STAGES = ["tokenization", "retrieval", "generation", "postprocessing", "done"];

export class RequestList {
  /** @param {{state: string, prefix: string}} filter empty: all */
  constructor(filter) {
    this.filter = filter;
    /** @type {Req[]} */
    this.items = [];
    /** @type {Map<string, Req>} */
    this.known = new Map();
  }

  /**
   * Take requests in any order, new ones or new states of known ones.
   *
   * @param {Req[]} requests
   * @returns {number} how many came to stand before the first one there was
   */
  take(requests) {
    const first = this.items[0];
    /** @type {Map<string, Req>} */
    const fresh = new Map();
    for (const one of requests) {
      const before = this.known.get(one.id);
      if (before) Object.assign(before, one);
      else if (this.matches(one)) fresh.set(one.id, { ...fresh.get(one.id), ...one });
    }
    if (fresh.size) {
      for (const one of fresh.values()) this.known.set(one.id, one);
      this.items = this.items.concat([...fresh.values()]).sort(newestFirst);
    }
    if (this.filter.state)
      this.items = this.items.filter((one) => this.matches(one) || !this.known.delete(one.id));
    for (const gone of this.items.splice(MOST)) this.known.delete(gone.id);
    return first ? Math.max(0, this.items.indexOf(first)) : 0;
  }

  /** @param {Req} request */
  matches({ id, state }) {
    return (!this.filter.state || state === this.filter.state) && id.startsWith(this.filter.prefix);
  }
}

/**
 * @param {Req} a
 * @param {Req} b
 */
function newestFirst(a, b) {
  return b.created_ms - a.created_ms || (a.id < b.id ? 1 : -1);
}

/**
 * How far a request is, from 0 to 5 stages done.
 *
 * @param {Req} request
 */
export function stagesDone({ state, stage }) {
  return state === "completed" ? STAGES.length : Math.max(0, STAGES.indexOf(stage));
}

/**
 * What a request is doing, in words.
 *
 * @param {Req} request
 */
export function stageOf({ state, stage, error }) {
  if (state === "running") return stage;
  if (state === "completed") return "done";
  const where = stage && stage !== "done" ? ` in ${stage}` : "";
  return state === "failed" ? `${error?.code ?? "failed"}${where}` : `cancelled${where}`;
}
