/**
 * Files on their way into a store: bytes first, then the states that the ingestion service reports.
 *
 * @typedef {{file: File, store: string, state: string, sent: number, fileId: string, reason: string, ended: boolean}} Upload
 *   `state`: waiting, uploading, then those of the service; `sent` is a share from 0 to 1
 */

import { ApiError, OWN, call, isAbort, refusal, told, unreachable } from "./api.js";
import { backoff } from "./sse.js";

const AT_ONCE = 3;
const POLL_MS = 700;

/** Fires `change` whenever a file is further. */
export class Uploads extends EventTarget {
  constructor() {
    super();
    /** @type {Upload[]} */
    this.all = [];
    this.active = 0;
  }

  /**
   * @param {Iterable<File>} files
   * @param {string} store
   */
  add(files, store) {
    for (const file of files)
      this.all.push({ file, store, state: "waiting", sent: 0, fileId: "", reason: "", ended: false });
    this.changed();
    this.next();
  }

  /** Take those that have ended off the list. */
  clear() {
    this.all = this.all.filter((one) => !one.ended);
    this.changed();
  }

  next() {
    while (this.active < AT_ONCE) {
      const one = this.all.find((each) => each.state === "waiting");
      if (!one) return;
      this.active++;
      one.state = "uploading";
      void this.send(one).finally(() => {
        this.active--;
        this.next();
      });
    }
  }

  /** @param {Upload} one */
  async send(one) {
    try {
      const file = await post(one.file, (share) => {
        one.sent = share;
        this.changed();
      });
      one.sent = 1;
      one.fileId = file.id;
      await call("POST", `/v1/vector_stores/${encodeURIComponent(one.store)}/files`, {
        json: { file_id: file.id },
      });
      one.state = "queued";
      this.changed();
      void this.watch(one); // its turn to upload is over
    } catch (error) {
      this.end(one, "failed", told(error));
    }
  }

  /** @param {Upload} one */
  async watch(one) {
    const path = `/v1/vector_stores/${encodeURIComponent(one.store)}/files/${encodeURIComponent(one.fileId)}`;
    for (let attempt = 0; !one.ended;) {
      await new Promise((resolve) => setTimeout(resolve, attempt ? backoff(attempt) : POLL_MS));
      try {
        const now = await call("GET", path);
        attempt = 0;
        if (now.status !== "in_progress") return this.end(one, now.status, now.last_error?.message ?? "");
        one.state = now.state;
        this.changed();
      } catch (error) {
        if (isAbort(error)) return;
        if (error instanceof ApiError && (error.status === 404 || error.status === 401))
          return this.end(one, "failed", error.message);
        attempt++;
      }
    }
  }

  /**
   * @param {Upload} one
   * @param {string} state
   * @param {string} reason
   */
  end(one, state, reason) {
    Object.assign(one, { state, reason, ended: true });
    this.changed();
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/**
 * Send a file's bytes, by XMLHttpRequest since fetch does not tell how far it is. Raises ApiError.
 *
 * @param {File} file
 * @param {(share: number) => void} onProgress
 * @returns {Promise<{id: string}>}
 */
function post(file, onProgress) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    form.append("purpose", "assistants");
    form.append("file", file, file.name);
    const request = new XMLHttpRequest();
    request.open("POST", "/v1/files");
    for (const [name, value] of Object.entries(OWN)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) =>
      onProgress(event.total ? event.loaded / event.total : 0),
    );
    request.addEventListener("load", () => {
      if (request.status < 400) resolve(JSON.parse(request.responseText));
      else reject(refusal(request.status, request.responseText));
    });
    request.addEventListener("error", () => reject(unreachable()));
    request.send(form);
  });
}

/**
 * The files of a drop, those in folders as well.
 *
 * @param {DataTransfer} transfer
 * @returns {Promise<File[]>}
 */
export async function filesOf(transfer) {
  const entries = [...transfer.items]
    .map((item) => item.webkitGetAsEntry())
    .filter((entry) => entry !== null);
  return entries.length ? (await Promise.all(entries.map(filesIn))).flat() : [...transfer.files];
}

/**
 * @param {FileSystemEntry} entry
 * @returns {Promise<File[]>}
 */
async function filesIn(entry) {
  if (entry.name.startsWith(".")) return [];
  if (entry.isFile)
    return [
      await new Promise((resolve, reject) =>
        /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject),
      ),
    ];
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  /** @type {File[]} */
  const found = [];
  for (;;) {
    // a reader gives a hundred at a time
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return found;
    found.push(...(await Promise.all(entries.map(filesIn))).flat());
  }
}
