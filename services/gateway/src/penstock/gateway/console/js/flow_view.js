/** Draws the pipeline. The picture is made once for a set of stages; after that only what changes is changed. */

import { s, setText } from "./dom.js";
import { fill } from "./dom.js";
import { count, duration, rate } from "./format.js";
import { BOX, level, picture } from "./flow.js";

/** @typedef {import("./flow.js").Pipeline} Pipeline */
/** @typedef {import("./flow.js").Stage} Stage */

const TANK = { width: 12, height: 54 };
const BACKENDS_SHOWN = 3;

export class FlowView {
  constructor() {
    this.node = s("svg", {
      class: "flow",
      role: "img",
      "aria-label": "The pipeline; the tables below say the same",
    });
    this.drawn = "";
    /** @type {((pipeline: Pipeline) => void)[]} */
    this.updates = [];
  }

  /** @param {Pipeline} pipeline */
  show(pipeline) {
    const shape = JSON.stringify([
      pipeline.stages.map((one) => [one.service, one.reads, one.writes]),
      pipeline.backends.map((one) => one.name),
    ]);
    if (shape !== this.drawn) {
      this.drawn = shape;
      this.draw(pipeline);
    }
    for (const update of this.updates) update(pipeline);
  }

  /** @param {Pipeline} pipeline */
  draw(pipeline) {
    const { width, height, boxes, pipes, backends } = picture(pipeline);
    this.updates = [];
    this.node.setAttribute("viewBox", `0 0 ${width} ${height}`);
    fill(
      this.node,
      pipes.map((pipe) => this.pipe(pipe)),
      backends && this.backends(backends, pipeline.backends),
      boxes.map((box) => this.box(box)),
    );
  }

  /** @param {import("./flow.js").Pipe} pipe */
  pipe({ topics, path, label: [x, y], under, anchor }) {
    const stream = s("path", { d: path, class: "stream" });
    const name = s(
      "text",
      { x, y, class: "pipe-name", "text-anchor": anchor },
      topics[0]?.replace("chat.", "").replace("documents.", "") ?? "",
    );
    const speed = s("text", { x, y: y + under, class: "pipe-rate", "text-anchor": anchor });
    this.updates.push((pipeline) => {
      const total = pipeline.topics
        .filter((one) => topics.includes(one.name))
        .reduce((sum, one) => sum + one.rate, 0);
      setText(speed, total ? rate(total) : "");
      stream.classList.toggle("flowing", total > 0);
      // Steps, so that the animation does not start anew with every small change.
      const seconds = total > 100 ? 0.6 : total > 10 ? 1.2 : 2.4;
      stream.style.setProperty("animation-duration", `${seconds}s`);
    });
    return s("g", s("path", { d: path, class: "pipe" }), stream, name, speed);
  }

  /** @param {import("./flow.js").Box} box */
  box({ name, x, y }) {
    const frame = s("rect", { width: BOX.width, height: BOX.height, rx: 10, class: "box" });
    const bottom = BOX.height - 12;
    const water = s("rect", { x: 14, width: TANK.width, rx: 2, class: "water" });
    const replicas = s("text", { x: BOX.width - 12, y: 69, class: "box-note", "text-anchor": "end" });
    const lines = [50, 69, 88].map((at) => s("text", { x: 38, y: at, class: "box-fact" }));
    const tag = s("text", {
      x: BOX.width / 2,
      y: BOX.height + 20,
      class: "box-tag",
      "text-anchor": "middle",
    });
    this.updates.push(({ stages, holding_back }) => {
      const stage = stages.find((one) => one.service === name);
      if (!stage) return;
      const height = level(stage.lag) * TANK.height;
      water.setAttribute("height", height.toFixed(1));
      water.setAttribute("y", (bottom - height).toFixed(1));
      const holds = holding_back === name;
      frame.setAttribute("class", `box ${holds ? "holds" : stage.ready === false ? "late" : ""}`);
      setText(replicas, `×${stage.replicas}`);
      factsOf(stage).forEach((text, i) => setText(lines[i], text));
      setText(tag, holds ? "holds the others back" : stage.ready === false ? "not ready" : "");
    });
    return s(
      "g",
      { transform: `translate(${x} ${y})` },
      frame,
      s("rect", {
        x: 14,
        y: bottom - TANK.height,
        width: TANK.width,
        height: TANK.height,
        rx: 3,
        class: "tank",
      }),
      water,
      s("text", { x: 14, y: 26, class: "box-name" }, name),
      replicas,
      lines,
      tag,
    );
  }

  /**
   * @param {[number, number]} place
   * @param {import("./flow.js").Backend[]} all
   */
  backends([x, y], all) {
    const shown = all.slice(0, BACKENDS_SHOWN);
    const middle = BOX.width / 2;
    const rows = shown.map((backend, i) => {
      const used = s("rect", { x: 14, y: 38 + i * 24, height: 5, rx: 2.5, class: "slots-used" });
      const text = s("text", { x: 14, y: 33 + i * 24, class: "box-fact" });
      this.updates.push(({ backends }) => {
        const one = backends.find((each) => each.name === backend.name);
        if (!one) return;
        const share = one.used + one.free ? one.used / (one.used + one.free) : 0;
        used.setAttribute("width", ((BOX.width - 28) * share).toFixed(1));
        setText(
          text,
          one.available
            ? `${one.used} of ${one.used + one.free}${one.queued ? `, ${count(one.queued)} queued` : " slots"}`
            : "not available",
        );
      });
      return [
        text,
        s("rect", { x: 14, y: 38 + i * 24, width: BOX.width - 28, height: 5, rx: 2.5, class: "slots" }),
        used,
      ];
    });
    const more = all.length - shown.length;
    return s(
      "g",
      { transform: `translate(${x} ${y})` },
      s("path", { d: `M${middle} ${BOX.height - 204}V0`, class: "wire" }),
      s("rect", { width: BOX.width, height: BOX.height, rx: 10, class: "box backends" }),
      rows,
      s(
        "text",
        { x: middle, y: -8, class: "pipe-name", "text-anchor": "middle" },
        `backends${more > 0 ? ` (${more} more below)` : ""}`,
      ),
    );
  }
}

/** @param {Stage} stage */
function factsOf({ lag, rate: speed, slots, oldest_ms: oldest }) {
  const third = slots
    ? `${slots.used} of ${slots.used + slots.free} slots`
    : oldest
      ? `oldest ${duration(oldest)}`
      : "";
  return [lag ? `${count(lag)} waiting` : "nothing waits", rate(speed), third];
}
