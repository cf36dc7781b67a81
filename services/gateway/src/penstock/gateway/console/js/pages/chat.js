/** Questions and answers. */

import { call, isAbort, told } from "../api.js";
import { Composer } from "../composer.js";
import { conversation, elsewhere, startAnew } from "../conversation.js";
import { fill, h } from "../dom.js";
import { icon } from "../icons.js";
import { openPassage } from "../passage_panel.js";
import { href } from "../router.js";
import { listStores } from "../stores.js";
import { TurnView, nameOf } from "../turn_view.js";

export const title = "Chat";
const EXAMPLE = "What is a penstock?";
/** Nearer than this to the end, a reader follows the text. */
const FOLLOWS_PX = 120;
/** For so long after a change of the conversation a page that grows has grown by it. */
const FOLLOWS_MS = 1000;

/** @param {import("../main.js").Place} place */
export async function open({ host, id, signal }) {
  let talk = conversation();
  if (id && !talk.turns.some((turn) => turn.requestId === id)) talk = elsewhere(id);
  const foreign = talk !== conversation();

  /** @type {Map<import("../answer.js").Turn, TurnView>} */
  const views = new Map();
  /** @type {string[]} */
  let stores = [];
  const turns = h("div", { class: "turns" });
  const composer = new Composer(talk, foreign);
  const anew = h(
    "button",
    {
      class: "button",
      onclick: () => {
        startAnew();
        location.hash = "#/chat";
        reopen();
      },
    },
    icon("add"),
    h("span", "New conversation"),
  );
  const back = h("a", { class: "button", href: "#/chat" }, "Back to your conversation");
  fill(
    host,
    h("header", { class: "page-head" }, h("h1", { tabindex: -1 }, "Chat"), foreign ? back : anew),
    turns,
    foreign ? null : composer.node,
  );

  const acts = {
    /** @type {ConstructorParameters<typeof TurnView>[1]["cite"]} */
    cite: (turn, one) =>
      void openPassage({ ...one, name: nameOf(one) }, [turn.store || "vs_default", ...stores]),
    again: (/** @type {import("../answer.js").Turn} */ turn) => talk.again(turn),
  };
  const reopen = () => {
    dispatchEvent(new HashChangeEvent("hashchange"));
  };

  const draw = () => {
    planned = 0;
    changedMs = performance.now();
    for (const [turn, view] of views) {
      if (talk.turns.includes(turn)) continue;
      view.node.remove();
      views.delete(turn);
    }
    for (const turn of talk.turns) {
      const known = views.get(turn);
      if (known) known.update();
      else {
        const view = new TurnView(turn, acts);
        views.set(turn, view);
        turns.append(view.node);
      }
    }
    if (talk.turns.length) turns.querySelector(".empty")?.remove();
    else if (!turns.childElementCount) turns.append(empty((question) => composer.suggest(question)));
    composer.update();
    nameAddress(talk, foreign);
  };
  let planned = 0;
  let changedMs = 0;
  followText(turns, () => performance.now() - changedMs < FOLLOWS_MS, signal);
  talk.addEventListener(
    "change",
    () => {
      planned ||= requestAnimationFrame(draw);
    },
    { signal },
  );
  draw();
  if (foreign) signal.addEventListener("abort", () => talk.close());
  composer.focus();
  try {
    const [models, found] = await Promise.all([call("GET", "/v1/models", { signal }), listStores(signal)]);
    stores = found.map((one) => one.id);
    composer.offer(
      models.data.map((/** @type {{id: string}} */ one) => one.id),
      found,
    );
  } catch (error) {
    if (!isAbort(error)) composer.complain(told(error));
  }
}

/**
 * The address names the latest request, so that a reload, or a colleague, finds it. Not a step in the history.
 *
 * @param {import("../conversation.js").Conversation} talk
 * @param {boolean} foreign
 */
function nameAddress(talk, foreign) {
  const latest = talk.turns.at(-1)?.requestId;
  const address = latest ? href("chat", latest) : "#/chat";
  if (!foreign && location.hash.startsWith("#/chat") && location.hash !== address) {
    history.replaceState(null, "", address);
  }
}

/**
 * Keep the end of a text that grows in sight, unless its reader has scrolled away from it.
 *
 * @param {HTMLElement} turns
 * @param {() => boolean} grows
 * @param {AbortSignal} signal
 */
function followText(turns, grows, signal) {
  const page = document.documentElement;
  let pinned = true;
  addEventListener(
    "scroll",
    () => {
      pinned = page.scrollHeight - page.clientHeight - page.scrollTop < FOLLOWS_PX;
    },
    { signal, passive: true },
  );
  const resized = new ResizeObserver(() => {
    if (pinned && grows()) scrollTo({ top: page.scrollHeight });
  });
  resized.observe(turns);
  signal.addEventListener("abort", () => resized.disconnect());
}

/** @param {(question: string) => void} ask */
function empty(ask) {
  return h(
    "div",
    { class: "empty" },
    h("p", { class: "empty-title" }, "Ask your documents."),
    h(
      "p",
      "Answers cite the passages they rest on; a click on a number opens the passage. ",
      "Put files in under ",
      h("a", { href: "#/documents" }, "Documents"),
      ".",
    ),
    h("button", { class: "button", onclick: () => ask(EXAMPLE) }, EXAMPLE),
  );
}
