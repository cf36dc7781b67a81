/**
 * Usage over time as stacked bars. Pure.
 *
 * @typedef {{at_ms: number, tenant: string, model: string, api_key: string, requests: number,
 *   prompt_tokens: number, completion_tokens: number}} Point
 * @typedef {"tokens" | "requests"} Measure
 * @typedef {"model" | "api_key" | "tenant"} Group
 * @typedef {{names: string[], buckets: {at: number, values: number[], total: number}[], totals: number[], top: number}} Stacks
 */

/** More would not be told apart; the rest is one. */
const MOST = 6;
const REST = "others";
export const LENGTH_MS = { hour: 3_600_000, day: 86_400_000 };

/**
 * The height of each group in each bucket, those without usage as well.
 *
 * @param {Point[]} points
 * @param {{group: Group, measure: Measure, bucket: "hour" | "day", from: number, to: number}} how
 * @returns {Stacks}
 */
export function stack(points, { group, measure, bucket, from, to }) {
  const value = (/** @type {Point} */ one) =>
    measure === "requests" ? one.requests : one.prompt_tokens + one.completion_tokens;
  /** @type {Map<string, number>} */
  const sums = new Map();
  for (const one of points) sums.set(one[group] || "–", (sums.get(one[group] || "–") ?? 0) + value(one));
  const ranked = [...sums].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).map(([name]) => name);
  const names = ranked.length > MOST ? [...ranked.slice(0, MOST - 1), REST] : ranked;
  const length = LENGTH_MS[bucket];
  // Buckets lie where the points say, which is the server's business: midnight may be another one's.
  const anchor = points[0]?.at_ms ?? 0;
  const first = from - ((((from - anchor) % length) + length) % length);
  const buckets = Array.from({ length: Math.max(1, Math.ceil((to - first) / length)) }, (_, i) => ({
    at: first + i * length,
    values: names.map(() => 0),
    total: 0,
  }));
  for (const one of points) {
    const place = buckets[Math.floor((one.at_ms - first) / length)];
    if (!place) continue;
    const name = names.indexOf(one[group] || "–");
    place.values[name < 0 ? names.length - 1 : name] += value(one);
    place.total += value(one);
  }
  const totals = names.map((_, i) => buckets.reduce((sum, one) => sum + one.values[i], 0));
  return { names, buckets, totals, top: niceTop(Math.max(...buckets.map((one) => one.total))) };
}

/**
 * A round number that is not below the given one: where the axis ends.
 *
 * @param {number} value
 */
export function niceTop(value) {
  if (value <= 4) return 4;
  // Of which a quarter is a round number, too.
  const power = 10 ** Math.floor(Math.log10(value / 4));
  return /** @type {number} */ (
    [1, 2, 3, 4, 5, 6, 8, 10].map((part) => 4 * part * power).find((one) => one >= value)
  );
}
