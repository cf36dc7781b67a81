/** Where a question is written, and whom it is put to. */

import { isAbort, told } from "./api.js";
import { fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { labelOf } from "./stores.js";

export class Composer {
  /**
   * @param {import("./conversation.js").Conversation} talk
   * @param {boolean} foreign
   */
  constructor(talk, foreign) {
    this.talk = talk;
    this.foreign = foreign;
    this.stopping = false;
    this.input = h("textarea", {
      rows: 1,
      id: "question",
      placeholder: "Ask something",
      "aria-label": "Question",
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
          event.preventDefault();
          this.submit();
        }
      },
    });
    this.model = h("select", {
      "aria-label": "Model",
      onchange: () => {
        talk.model = this.model.value;
        talk.save();
      },
    });
    this.store = h("select", {
      "aria-label": "Vector store",
      onchange: () => {
        talk.store = this.store.value;
        talk.save();
      },
    });
    this.send = h("button", { class: "button primary", type: "submit" }, icon("send"), h("span", "Send"));
    this.stop = h(
      "button",
      { class: "button", type: "button", hidden: true, onclick: () => this.halt() },
      icon("stop"),
      h("span", "Stop"),
    );
    this.problem = h("p", { class: "error-text", role: "alert" });
    this.node = h(
      "form",
      {
        class: "composer",
        "aria-label": "New question",
        onsubmit: (/** @type {Event} */ event) => {
          event.preventDefault();
          this.submit();
        },
      },
      this.problem,
      this.input,
      h(
        "div",
        { class: "composer-foot" },
        this.model,
        this.store,
        h("span", { class: "grow" }),
        this.stop,
        this.send,
      ),
    );
    this.model.append(new Option(talk.model || "…", talk.model));
    this.store.append(new Option("…", talk.store));
  }

  /**
   * @param {string[]} models
   * @param {import("./stores.js").Store[]} stores
   */
  offer(models, stores) {
    const { talk } = this;
    if (!models.includes(talk.model)) talk.model = models[0] ?? "";
    if (!stores.some((one) => one.id === talk.store)) talk.store = stores[0]?.id ?? "";
    fill(
      this.model,
      models.map((one) => h("option", { value: one, selected: one === talk.model }, one)),
    );
    fill(
      this.store,
      stores.map((one) => h("option", { value: one.id, selected: one.id === talk.store }, labelOf(one))),
    );
    if (!models.length)
      this.complain("No model is on offer yet: the backends may still be loading. Reload in a moment.");
  }

  update() {
    const { running } = this.talk;
    if (!running) this.stopping = false;
    this.stop.hidden = !running;
    this.stop.disabled = this.stopping;
    this.send.hidden = Boolean(running);
  }

  submit() {
    const question = this.input.value.trim();
    if (!question || this.talk.running) return;
    if (!this.talk.model) return this.complain("No model is on offer yet. Reload in a moment.");
    this.complain("");
    this.input.value = "";
    this.talk.ask(question);
    scrollTo({ top: document.documentElement.scrollHeight }); // and from there on with the text
  }

  async halt() {
    const { running } = this.talk;
    if (!running) return;
    this.stopping = true;
    this.update();
    this.input.focus();
    try {
      await this.talk.stop(running);
    } catch (error) {
      this.stopping = false;
      this.update();
      if (!isAbort(error)) this.complain(told(error));
    }
  }

  /** @param {string} question */
  suggest(question) {
    this.input.value = question;
    this.submit();
    this.focus();
  }

  /** @param {string} text */
  complain(text) {
    this.problem.textContent = text;
  }

  focus() {
    if (!this.foreign && matchMedia("(hover: hover)").matches) this.input.focus();
  }
}
