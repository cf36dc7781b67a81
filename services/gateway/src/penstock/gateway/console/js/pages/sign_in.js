/** The page that takes an API key. The key is sent once, for a session cookie, and kept nowhere. */

import { told } from "../api.js";
import { fill, h } from "../dom.js";

/**
 * @param {HTMLElement} host
 * @param {{message: string, signIn: (key: string) => Promise<void>}} what `message`: why it is shown, if not at first
 */
export function open(host, { message, signIn }) {
  const input = h("input", {
    id: "key",
    name: "key",
    type: "password",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "psk-…",
    "aria-describedby": "key-hint key-error",
  });
  const problem = h("p", { class: "error-text", id: "key-error", role: "alert" }, message);
  const show = h("input", {
    type: "checkbox",
    onchange: () => {
      input.type = show.checked ? "text" : "password";
    },
  });
  const button = h("button", { class: "button primary wide" }, "Sign in");
  const onsubmit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    button.disabled = true;
    problem.textContent = "";
    try {
      await signIn(input.value.trim());
    } catch (error) {
      problem.textContent = told(error);
      input.focus();
      input.select();
    } finally {
      button.disabled = false;
    }
  };
  fill(
    host,
    h(
      "div",
      { class: "sign-in" },
      h("img", { src: "/console/static/mark.svg", alt: "", width: 56, height: 56 }),
      h("h1", "Penstock"),
      h("p", { class: "muted" }, "The answer is a log, not a socket."),
      h(
        "form",
        { onsubmit },
        h("label", { for: "key" }, "API key"),
        input,
        h("label", { class: "check" }, show, "Show the key"),
        problem,
        button,
        h(
          "p",
          { class: "muted small", id: "key-hint" },
          "On the machine that runs the stack, ",
          h("code", ".penstock/api-key"),
          " holds the first one.",
        ),
      ),
    ),
  );
  input.focus();
}
