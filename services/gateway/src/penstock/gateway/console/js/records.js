/**
 * Records of the log behind a request. Pure.
 *
 * @typedef {{topic: string, partition: number, offset: number, time_ms: number, type: string, epoch: number | null,
 *   bytes: number, headers: Record<string, string>}} Rec
 * @typedef {{first: Rec, last: Rec, records: Rec[], bytes: number}} Run
 */

/**
 * Records of one type and epoch that follow each other in their topic, as one, at the place of the first. What
 * other topics hold of the same time does not part them: pieces of text come in two topics by turns.
 *
 * @param {Rec[]} records in order of time
 * @returns {Run[]}
 */
export function runs(records) {
  /** @type {Run[]} */
  const found = [];
  /** @type {Map<string, Run>} */
  const open = new Map();
  for (const one of records) {
    const place = `${one.topic}/${one.partition}`;
    const run = open.get(place);
    if (run && run.last.type === one.type && run.last.epoch === one.epoch) {
      run.last = one;
      run.records.push(one);
      run.bytes += one.bytes;
    } else {
      const begun = { first: one, last: one, records: [one], bytes: one.bytes };
      open.set(place, begun);
      found.push(begun);
    }
  }
  return found;
}

/**
 * A type without what all types begin with: `penstock.chat.requested.v1` is `chat.requested`.
 *
 * @param {string} type
 */
export function shortType(type) {
  return type.replace(/^penstock\./, "").replace(/\.v1$/, "");
}
