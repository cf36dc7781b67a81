/**
 * A long list of which only the rows in sight exist. Rows have one height; they are known by a key, and a row that
 * is shown already is changed in place, so that focus and selection stay.
 */

/**
 * The rows to draw. Pure.
 *
 * @param {{top: number, height: number, row: number, total: number, spare: number}} what pixels; `spare` rows on each side
 * @returns {[number, number]} from (inclusive) and to (exclusive)
 */
export function inSight({ top, height, row, total, spare }) {
  const first = Math.floor(Math.max(0, top) / row) - spare;
  const last = Math.ceil((Math.max(0, top) + height) / row) + spare;
  return [Math.max(0, Math.min(first, total)), Math.max(0, Math.min(last, total))];
}

/** @template T */
export class RowWindow {
  /**
   * @param {HTMLElement} frame what scrolls
   * @param {HTMLElement} body holds the rows
   * @param {{key: (item: T) => string, make: () => HTMLElement, show: (row: HTMLElement, item: T) => void, nearEnd: () => void}} how
   */
  constructor(frame, body, how) {
    this.frame = frame;
    this.body = body;
    this.how = how;
    /** @type {T[]} */
    this.items = [];
    /** @type {Map<string, HTMLElement>} */
    this.rows = new Map();
    /** @type {HTMLElement[]} rows out of sight, to be used again */
    this.spare = [];
    this.row = 0;
    this.planned = 0;
    frame.addEventListener("scroll", () => this.plan(), { passive: true });
    this.resized = new ResizeObserver(() => {
      this.row = 0;
      this.plan();
    });
    this.resized.observe(frame);
  }

  /**
   * Show these; if new ones came on top of what is being read, that stays where it is.
   *
   * @param {T[]} items
   * @param {number} onTop how many of them are new at the beginning
   */
  set(items, onTop = 0) {
    this.items = items;
    if (onTop && this.frame.scrollTop > 0) this.frame.scrollTop += onTop * this.height();
    this.plan();
  }

  plan() {
    this.planned ||= requestAnimationFrame(() => {
      this.planned = 0;
      this.draw();
    });
  }

  height() {
    return (this.row ||= parseFloat(getComputedStyle(this.frame).getPropertyValue("--row")) || 44);
  }

  draw() {
    const row = this.height();
    const { frame, body, how, items } = this;
    body.style.setProperty("height", `${items.length * row}px`);
    const view = {
      top: frame.scrollTop - body.offsetTop,
      height: frame.clientHeight,
      row,
      total: items.length,
      spare: 8,
    };
    const [from, to] = inSight(view);
    const wanted = items.slice(from, to);
    const keys = new Set(wanted.map(how.key));
    for (const [key, node] of this.rows) {
      if (keys.has(key)) continue;
      node.remove();
      this.spare.push(node);
      this.rows.delete(key);
    }
    let next = body.firstElementChild; // in the document in the order of the list, for the Tab key
    wanted.forEach((item, index) => {
      const key = how.key(item);
      const node = this.rows.get(key) ?? this.spare.pop() ?? how.make();
      if (node !== next) body.insertBefore(node, next);
      next = node.nextElementSibling;
      this.rows.set(key, node);
      node.style.setProperty("transform", `translateY(${(from + index) * row}px)`);
      node.setAttribute("aria-rowindex", String(from + index + 2)); // the first is the heading
      how.show(node, item);
    });
    if (to >= items.length - 20) how.nearEnd();
  }
}
