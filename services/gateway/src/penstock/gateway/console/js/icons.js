/** The console's own icons: strokes on a grid of 20. */

import { s } from "./dom.js";

const PATHS = {
  chat: "M3 4.5h14v9H9l-4 3v-3H3z M6.5 8h7 M6.5 10.5h4.5",
  requests: "M3 5h7 M6 10h8 M10 15h7 M3 3v4 M6 8v4 M10 13v4",
  pipeline: "M2 7h5v6H2z M13 7h5v6h-5z M7 10h6 M10 6v8",
  documents: "M5 2.5h6.5L15.5 6.5v11H5z M11.5 2.5v4h4 M7.5 10.5h5 M7.5 13.5h5",
  "dead-letters": "M2.5 5h15v10.5h-15z M2.5 5.5l7.5 5.5 7.5-5.5 M7.5 17.8l5-5 M7.5 12.8l5 5",
  usage: "M3 17.5h14.5 M5.5 14.5v-4 M10 14.5V4 M14.5 14.5V8",
  light:
    "M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7z M10 2v2 M10 16v2 M2 10h2 M16 10h2 M4.3 4.3l1.5 1.5 M14.2 14.2l1.5 1.5 M4.3 15.7l1.5-1.5 M14.2 5.8l1.5-1.5",
  dark: "M16.5 12A7 7 0 0 1 8 3.5a7 7 0 1 0 8.5 8.5z",
  system: "M2.5 4h15v9.5h-15z M7 17h6 M10 13.5V17",
  leave: "M8 3.5H4v13h4 M8.5 10H17 M13.5 6.5L17 10l-3.5 3.5",
  close: "M5 5l10 10 M15 5L5 15",
  send: "M3 10h13 M11 5l5 5-5 5",
  stop: "M5.5 5.5h9v9h-9z",
  upload: "M10 13V3.5 M6.5 7L10 3.5 13.5 7 M3.5 13v3.5h13V13",
  search: "M8.5 3.5a5 5 0 1 0 0 10 5 5 0 0 0 0-10z M12.2 12.2l4.3 4.3",
  trash: "M3.5 5.5h13 M7.5 5.5v-2h5v2 M5 5.5l.8 11h8.4l.8-11",
  add: "M10 4v12 M4 10h12",
  copy: "M7 7h9.5v9.5H7z M4.5 13h-1V3.5H13v1",
  again: "M15.8 7.5A6.3 6.3 0 1 0 16.3 11 M16.3 3.5v4h-4",
};

/** @typedef {keyof typeof PATHS} IconName */

/**
 * An icon; what stands beside it says what it means.
 *
 * @param {IconName} name
 */
export function icon(name) {
  return s(
    "svg",
    { class: "icon", viewBox: "0 0 20 20", "aria-hidden": "true", focusable: "false" },
    s("path", { d: PATHS[name] }),
  );
}
