/** Dialogs, by the browser's own <dialog>: focus stays inside, Escape closes, focus goes back where it was. */

import { h } from "./dom.js";
import { icon } from "./icons.js";

let numbers = 0;

/**
 * Ask before something is done. Resolves to whether to do it.
 *
 * @param {{title: string, text: string, action: string, danger?: boolean}} what
 * @returns {Promise<boolean>}
 */
export function confirmed({ title, text, action, danger }) {
  return new Promise((resolve) => {
    const id = `dialog-${++numbers}`;
    const dialog = h(
      "dialog",
      { class: "dialog", "aria-labelledby": id, "aria-describedby": `${id}-text` },
      h(
        "form",
        { method: "dialog" },
        h("h2", { id }, title),
        h("p", { id: `${id}-text` }, text),
        h(
          "div",
          { class: "actions" },
          h("button", { value: "no", class: "button", autofocus: true }, "Cancel"),
          h("button", { value: "yes", class: danger ? "button danger" : "button primary" }, action),
        ),
      ),
    );
    opened(dialog, () => resolve(dialog.returnValue === "yes"));
  });
}

/**
 * A form in a dialog. `submit` does the work; what it throws is shown and the dialog stays.
 *
 * @param {{title: string, action: string, fields: Node[], submit: (data: FormData) => Promise<void>, told: (error: unknown) => string}} what
 */
export function formDialog({ title, action, fields, submit, told }) {
  const id = `dialog-${++numbers}`;
  const error = h("p", { class: "error-text", role: "alert" });
  const button = h("button", { class: "button primary" }, action);
  const dialog = h("dialog", { class: "dialog", "aria-labelledby": id });
  const onsubmit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    button.disabled = true;
    error.textContent = "";
    try {
      await submit(new FormData(/** @type {HTMLFormElement} */ (event.target)));
      dialog.close();
    } catch (reason) {
      error.textContent = told(reason);
    } finally {
      button.disabled = false;
    }
  };
  dialog.append(
    h(
      "form",
      { onsubmit },
      h("h2", { id }, title),
      ...fields,
      error,
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", class: "button", onclick: () => dialog.close() }, "Cancel"),
        button,
      ),
    ),
  );
  opened(dialog, () => undefined);
}

/**
 * A panel at the side: beside the page where there is room, over it where there is none.
 *
 * @param {{title: string, note?: Node | string, body: Node}} what
 * @returns {HTMLDialogElement}
 */
export function panel({ title, note, body }) {
  document.querySelector("dialog.panel")?.remove();
  const id = `dialog-${++numbers}`;
  const before = document.activeElement;
  const heading = h("h2", { id, tabindex: -1 }, title);
  const dialog = h(
    "dialog",
    { class: "panel", "aria-labelledby": id },
    h(
      "div",
      { class: "panel-head" },
      h("div", heading, note && h("div", { class: "muted small" }, note)),
      h(
        "button",
        { class: "button quiet", "aria-label": "Close", onclick: () => dialog.close() },
        icon("close"),
      ),
    ),
    h("div", { class: "panel-body", tabindex: 0, role: "region", "aria-label": title }, body),
  );
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "Escape") dialog.close();
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    document.body.classList.remove("with-panel");
    if (before instanceof HTMLElement && before.isConnected) before.focus();
  });
  document.body.append(dialog);
  const wide = matchMedia("(min-width: 1100px)").matches;
  if (wide) document.body.classList.add("with-panel");
  wide ? dialog.show() : dialog.showModal();
  heading.focus();
  return dialog;
}

/** Close the panel, if one is open. */
export function closePanel() {
  /** @type {HTMLDialogElement | null} */ (document.querySelector("dialog.panel"))?.close();
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {() => void} onClose
 */
function opened(dialog, onClose) {
  const before = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (before instanceof HTMLElement && before.isConnected) before.focus();
    onClose();
  });
  document.body.append(dialog);
  dialog.showModal();
}
