/** Numbers, sizes and times as a person reads them. Pure. */

const PLAIN = new Intl.NumberFormat("en");
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const NOTHING = "–";

/**
 * A whole number with its thousands apart.
 *
 * @param {number | null | undefined} value
 */
export function count(value) {
  return value === null || value === undefined ? NOTHING : PLAIN.format(Math.round(value));
}

/**
 * A number in few characters: 1.2K, 3.4M.
 *
 * @param {number} value
 */
export function compact(value) {
  return COMPACT.format(value);
}

/**
 * A size in decimal units.
 *
 * @param {number | null | undefined} value bytes
 */
export function bytes(value) {
  if (value === null || value === undefined) return NOTHING;
  let size = value;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (size < 999.5) return `${unit === "B" || size >= 99.5 ? Math.round(size) : digits(size)} ${unit}`;
    size /= 1000;
  }
  return `${digits(size)} TB`;
}

/**
 * A length of time, from microseconds to days.
 *
 * @param {number | null | undefined} ms
 * @returns {string}
 */
export function duration(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return NOTHING;
  if (ms < 0) return `-${duration(-ms)}`;
  if (ms < 1) return ms === 0 ? "0 ms" : `${Math.max(ms, 0.01).toFixed(2)} ms`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 59.95) return `${seconds < 9.995 ? seconds.toFixed(2) : seconds.toFixed(1)} s`;
  const minutes = Math.round(seconds / 60);
  if (seconds < 3570) return `${Math.floor(Math.round(seconds) / 60)} min ${Math.round(seconds) % 60} s`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.round(minutes / 1440)} days`;
}

/**
 * How many a second.
 *
 * @param {number | null | undefined} value
 */
export function rate(value) {
  if (value === null || value === undefined) return NOTHING;
  return `${value === 0 ? "0" : value < 10 ? value.toFixed(1) : PLAIN.format(Math.round(value))}/s`;
}

/**
 * A time of day, with the date where that is another day's.
 *
 * @param {number | null | undefined} ms Unix milliseconds
 * @param {number} now
 */
export function clock(ms, now) {
  if (ms === null || ms === undefined) return NOTHING;
  const then = new Date(ms);
  const time = [then.getHours(), then.getMinutes(), then.getSeconds()].map(two).join(":");
  return day(ms) === day(now) ? time : `${day(ms)} ${time}`;
}

/**
 * A date as year, month and day.
 *
 * @param {number} ms Unix milliseconds
 */
export function day(ms) {
  const then = new Date(ms);
  return `${then.getFullYear()}-${two(then.getMonth() + 1)}-${two(then.getDate())}`;
}

/**
 * A request's id in few characters: UUIDv7 begins with its time and ends with what tells it from its neighbours.
 *
 * @param {string} id
 */
export function shortId(id) {
  return id.length > 20 ? `${id.slice(0, 8)}…${id.slice(-6)}` : id;
}

/**
 * The request id in what somebody gives as one, which may be as an answer shows it.
 *
 * @param {string} shown
 */
export function requestIdOf(shown) {
  return shown.replace(/^chatcmpl-/, "");
}

/**
 * A count with its noun.
 *
 * @param {number} value
 * @param {string} one
 * @param {string} [many]
 */
export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** @param {number} value */
function digits(value) {
  return value < 9.95 ? value.toFixed(1) : String(Math.round(value));
}

/** @param {number} value */
function two(value) {
  return String(value).padStart(2, "0");
}
