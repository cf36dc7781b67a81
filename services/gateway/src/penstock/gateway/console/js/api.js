/** Calls to the gateway, and what its refusals mean. The session is a cookie that scripts cannot read. */

/** Says that the gateway wants a key again. */
export const SIGNED_OUT = "penstock:signed-out";
/** What a foreign page cannot send, so that the cookie alone changes nothing. */
export const OWN = { "penstock-console": "1" };

/** A refusal, in the words of the gateway. `status` is 0 where nobody answered. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} message
   * @param {Headers} [headers] of the response
   */
  constructor(status, code, message, headers) {
    super(message);
    const wait = headers?.get("retry-after") ?? "";
    this.status = status;
    this.code = code;
    this.retryAfterMs = /^\d+$/.test(wait) ? Number(wait) * 1000 : null;
    this.requestId = headers?.get("x-request-id") ?? "";
  }
}

/**
 * @typedef {{json?: unknown, headers?: Record<string, string>, signal?: AbortSignal, quiet?: boolean}} Options
 * `quiet`: a 401 is an answer here, not the end of the session
 */

/**
 * Send a request; return the response if its status is below 400. Raises ApiError, or AbortError.
 *
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<Response>}
 */
export async function send(method, path, { json, headers, signal, quiet } = {}) {
  /** @type {RequestInit} */
  const request = { method, signal, headers: { ...(method === "GET" ? {} : OWN), ...headers } };
  if (json !== undefined) {
    request.body = JSON.stringify(json);
    request.headers = { ...request.headers, "content-type": "application/json" };
  }
  let response;
  try {
    response = await fetch(path, request);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw unreachable();
  }
  if (response.ok) return response;
  if (response.status === 401 && !quiet) dispatchEvent(new Event(SIGNED_OUT));
  throw refusal(response.status, await response.text().catch(() => ""), response.headers);
}

/**
 * Send a request; return the JSON of the response, null if it has none.
 *
 * @param {string} method
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<any>}
 */
export async function call(method, path, options) {
  const response = await send(method, path, options);
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/**
 * What a response of 400 or more says.
 *
 * @param {number} status
 * @param {string} body
 * @param {Headers} [headers]
 */
export function refusal(status, body, headers) {
  try {
    const { code, message } = JSON.parse(body).error;
    return new ApiError(status, code ?? "", String(message), headers);
  } catch {
    return new ApiError(status, "", `The server answered with status ${status} and no reason.`, headers);
  }
}

/** Nobody answers. */
export function unreachable() {
  const what =
    "The gateway cannot be reached. See whether it runs (penstock status) and whether you are online.";
  return new ApiError(0, "unreachable", what);
}

/**
 * What to tell somebody about anything that was thrown.
 *
 * @param {unknown} error
 */
export function told(error) {
  return error instanceof ApiError ? error.message : "The console made an error. Reload the page to go on.";
}

/**
 * Whether it was only that nobody waits any more.
 *
 * @param {unknown} error
 */
export function isAbort(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/**
 * A query string, without what is empty.
 *
 * @param {Record<string, string | number | null | undefined>} values
 */
export function query(values) {
  const given = Object.entries(values).filter(
    ([, value]) => value !== null && value !== undefined && value !== "",
  );
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text && `?${text}`;
}
