/** Starts the console: who is signed in, the frame around the pages, and which page is shown. */

import { OWN, SIGNED_OUT, call, told } from "./api.js";
import { forget } from "./conversation.js";
import { closePanel } from "./dialog.js";
import { fill, h } from "./dom.js";
import { icon } from "./icons.js";
import { FIRST, href, keyIn, parse } from "./router.js";

/**
 * @typedef {{tenant: string, operator: boolean, api_key: string}} Me
 * @typedef {{host: HTMLElement, id: string, me: Me, signal: AbortSignal}} Place
 *   where a page is shown, until the signal
 * @typedef {{title: string, open: (place: Place) => void | Promise<void>}} Page
 * @typedef {{name: string, label: string, icon: import("./icons.js").IconName, operator?: boolean,
 *   load: (id: string) => Promise<Page>}} Entry
 */

/** @type {Entry[]} */
const PAGES = [
  { name: "chat", label: "Chat", icon: "chat", load: () => import("./pages/chat.js") },
  {
    name: "requests",
    label: "Requests",
    icon: "requests",
    load: (id) => (id ? import("./pages/request.js") : import("./pages/requests.js")),
  },
  {
    name: "pipeline",
    label: "Pipeline",
    icon: "pipeline",
    operator: true,
    load: () => import("./pages/pipeline.js"),
  },
  { name: "documents", label: "Documents", icon: "documents", load: () => import("./pages/documents.js") },
  {
    name: "dead-letters",
    label: "Dead letters",
    icon: "dead-letters",
    operator: true,
    load: () => import("./pages/dead_letters.js"),
  },
  { name: "usage", label: "Usage", icon: "usage", load: () => import("./pages/usage.js") },
];
const THEMES = /** @type {const} */ (["system", "light", "dark"]);

const KNOWN_AS = "penstock.tenant";

/** @type {Me | null} */
let me = null;
let wanted = "";
let leaving = new AbortController();

/** @param {string} id */
const part = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

async function start() {
  drawTheme();
  part("skip").addEventListener("click", (event) => {
    event.preventDefault();
    part("main").focus();
  });
  part("theme").addEventListener("click", nextTheme);
  fill(part("leave"), icon("leave"), h("span", "Sign out"));
  part("leave").addEventListener("click", signOut);
  addEventListener("hashchange", arrive);
  addEventListener(SIGNED_OUT, () => {
    if (me) showSignIn("Your session has ended. Sign in again to go on.");
  });
  await arrive();
}

/** Show what the address names; a key in it is taken out before anything else. */
async function arrive() {
  const key = keyIn(location.hash);
  if (key !== null) {
    history.replaceState(null, "", `${location.pathname}${href(FIRST)}`);
    return signIn(key).catch((error) => showSignIn(told(error)));
  }
  if (me || (await knowMe())) await showPage();
}

/** Whether somebody is signed in; else the page to do so is shown. */
async function knowMe() {
  try {
    me = await call("GET", "/console/session");
    if (!me) await showSignIn("");
  } catch (error) {
    await showSignIn(told(error));
  }
  return me !== null;
}

/**
 * Begin a session, and show the page that was wanted. Raises ApiError.
 *
 * @param {string} key
 */
async function signIn(key) {
  await call("POST", "/console/session", { json: { key }, quiet: true });
  me = await call("GET", "/console/api/me");
  const known = String(me?.tenant);
  if (sessionStorage.getItem(KNOWN_AS) !== known) {
    forget();
    const others = sessionStorage.getItem(KNOWN_AS) !== null;
    sessionStorage.setItem(KNOWN_AS, known);
    if (others) return location.reload();
  }
  const there = wanted;
  wanted = "";
  if (there && there !== location.hash) location.hash = there;
  else await showPage();
}

async function signOut() {
  forget();
  await fetch("/console/session", { method: "DELETE", headers: OWN }).catch(() => undefined);
  history.replaceState(null, "", location.pathname);
  location.reload(); // whoever comes next finds nothing of what is in memory
}

/** @param {string} message why */
async function showSignIn(message) {
  me = null;
  wanted = parse(location.hash).page === "sign-in" ? "" : location.hash;
  leave();
  part("rail").hidden = true;
  document.title = "Sign in · Penstock";
  const { open } = await import("./pages/sign_in.js");
  open(part("main"), { message, signIn });
}

async function showPage() {
  const { page, id } = parse(location.hash);
  const entry = PAGES.find((one) => one.name === page) ?? PAGES[0];
  const signal = leave();
  const known = /** @type {Me} */ (me);
  drawRail(entry.name, known);
  const { title, open } = await entry.load(id);
  if (signal.aborted) return;
  document.title = `${title} · Penstock`;
  const host = h("div", { class: `page page-${entry.name}` });
  fill(part("main"), host);
  scrollTo(0, 0);
  if (entry.operator && !known.operator) return refuse(host, title);
  await open({ host, id, me: known, signal });
  if (document.activeElement === document.body || part("rail").contains(document.activeElement)) {
    host.querySelector("h1")?.focus();
  }
}

/** End the page that is shown; return the signal of the next. */
function leave() {
  leaving.abort();
  leaving = new AbortController();
  closePanel();
  return leaving.signal;
}

/**
 * @param {HTMLElement} host
 * @param {string} title
 */
function refuse(host, title) {
  fill(
    host,
    h("h1", { tabindex: -1 }, title),
    h(
      "p",
      { class: "notice" },
      "Only operators see this page. Sign in with an operator's key, or ask the one who runs this stack.",
    ),
  );
}

/**
 * @param {string} current
 * @param {Me} known
 */
function drawRail(current, known) {
  part("rail").hidden = false;
  fill(part("who"), h("strong", known.tenant), h("span", known.operator ? "operator" : known.api_key));
  const shown = PAGES.filter((one) => known.operator || !one.operator);
  fill(
    part("pages"),
    shown.map((one) =>
      h(
        "li",
        h(
          "a",
          { href: href(one.name), "aria-current": one.name === current ? "page" : null },
          icon(one.icon),
          h("span", one.label),
        ),
      ),
    ),
  );
}

function theme() {
  const kept = localStorage.getItem("penstock.theme");
  return THEMES.find((one) => one === kept) ?? "system";
}

function nextTheme() {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
  localStorage.setItem("penstock.theme", next);
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  drawTheme();
}

function drawTheme() {
  const now = theme();
  fill(part("theme"), icon(now), h("span", `Theme: ${now}`));
}

await start();
