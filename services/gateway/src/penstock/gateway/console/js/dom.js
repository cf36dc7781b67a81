/**
 * Builds DOM nodes. Text is always text, never markup: the one place where markup comes in is markdown.js.
 *
 * @typedef {Node | string | number | null | undefined | false | Child[]} Child
 * @typedef {Record<string, unknown>} Props
 */

const SVG = "http://www.w3.org/2000/svg";
/** Set as properties, since the attribute means something else or is set by its presence. */
const PROPERTIES = new Set([
  "value",
  "checked",
  "disabled",
  "hidden",
  "multiple",
  "selected",
  "readOnly",
  "required",
]);

/**
 * An HTML element. A plain object among the parts has attributes; `on…` are listeners, `class`, `style` and
 * `data` what they say; false, null and undefined leave an attribute or a child out.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {...(Props | Child)} parts
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, ...parts) {
  return build(document.createElement(tag), parts);
}

/**
 * An SVG element, in the same way.
 *
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {...(Props | Child)} parts
 * @returns {SVGElementTagNameMap[K]}
 */
export function s(tag, ...parts) {
  return build(document.createElementNS(SVG, tag), parts);
}

/**
 * Put these in the place of a node's children.
 *
 * @param {Element} node
 * @param {...Child} children
 */
export function fill(node, ...children) {
  node.replaceChildren(...nodes(children));
}

/**
 * Set a text only where it changes, so that nothing is laid out for nothing.
 *
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Tell something to those who do not see the page change.
 *
 * @param {string} text
 */
export function announce(text) {
  const live = document.getElementById("announcer");
  if (live) live.textContent = text;
}

/**
 * @template {Element} T
 * @param {T} node
 * @param {(Props | Child)[]} parts
 * @returns {T}
 */
function build(node, parts) {
  for (const part of parts) {
    if (isProps(part)) setAll(node, part);
    else node.append(...nodes([/** @type {Child} */ (part)]));
  }
  return node;
}

/**
 * @param {unknown} part
 * @returns {part is Props}
 */
function isProps(part) {
  return typeof part === "object" && part !== null && !(part instanceof Node) && !Array.isArray(part);
}

/**
 * @param {Element} node
 * @param {Props} props
 */
function setAll(node, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || (value === false && !PROPERTIES.has(name))) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (name === "style")
      setStyle(/** @type {HTMLElement} */ (node), /** @type {Record<string, string>} */ (value));
    else if (name === "data") Object.assign(/** @type {HTMLElement} */ (node).dataset, value);
    else if (PROPERTIES.has(name))
      /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (node))[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
}

/**
 * @param {HTMLElement} node
 * @param {Record<string, string>} style
 */
function setStyle(node, style) {
  for (const [name, value] of Object.entries(style)) node.style.setProperty(name, value);
}

/**
 * @param {Child[]} children
 * @returns {(Node | string)[]}
 */
function nodes(children) {
  return children.flat(8).flatMap((child) => {
    if (child === null || child === undefined || child === false) return [];
    return [child instanceof Node ? child : String(child)];
  });
}
