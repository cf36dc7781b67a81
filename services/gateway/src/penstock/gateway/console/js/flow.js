/**
 * The pipeline as a picture: stages as boxes, topics as the pipes between them. Pure.
 *
 * @typedef {{service: string, reads: string[], writes: string[], replicas: number, ready: boolean | null, lag: number,
 *   lag_tokens: number | null, oldest_ms: number | null, rate: number,
 *   slots: {used: number, free: number} | null, retries_per_s: number | null}} Stage
 * @typedef {{name: string, partitions: number, records: number, rate: number, dead: number}} Topic
 * @typedef {{name: string, used: number, free: number, queued: number | null, available: boolean}} Backend
 * @typedef {{at_ms: number, stages: Stage[], topics: Topic[], backends: Backend[],
 *   ingestion: {jobs: Record<string, number>} | null, holding_back: string | null}} Pipeline
 * @typedef {{name: string, x: number, y: number}} Box the place of a stage
 * @typedef {{from: string, to: string, topics: string[], path: string, label: [number, number], under: number, anchor: "middle" | "start"}} Pipe
 *   `under`: how far below the label the rate stands
 * @typedef {{width: number, height: number, boxes: Box[], pipes: Pipe[], backends: [number, number] | null}} Picture
 */

export const BOX = { width: 156, height: 104 };
const WIDTH = 1180;
const TOP = 64;
const ROW = 204;
const EDGE = 6;
const FIRST = "gateway";

/**
 * Where everything stands: the way of a question in one line, and what feeds it below.
 *
 * @param {Pipeline} pipeline
 * @returns {Picture}
 */
export function picture({ stages, backends }) {
  const line = lineOf(stages);
  const others = stages.filter((stage) => !line.includes(stage));
  const step = line.length > 1 ? (WIDTH - 2 * EDGE - BOX.width) / (line.length - 1) : 0;
  const at = (/** @type {number} */ column, /** @type {number} */ row) => ({
    x: EDGE + column * step,
    y: TOP + row * ROW,
  });
  /** @type {Map<string, Box>} */
  const boxes = new Map();
  line.forEach((stage, i) => boxes.set(stage.service, { name: stage.service, ...at(i, 0) }));
  const places = freePlaces(line, others);
  others.forEach((stage, i) => boxes.set(stage.service, { name: stage.service, ...at(places[i], 1) }));

  const pipes = [];
  for (let i = 0; i + 1 < line.length; i++) pipes.push(straight(line[i], line[i + 1], boxes));
  const back = line.length > 1 ? shared(line[line.length - 1], line[0]) : [];
  if (back.length) pipes.push(over(line[line.length - 1], line[0], back, boxes));
  for (const other of others) {
    for (const stage of line) {
      if (shared(other, stage).length) pipes.push(slanted(other, stage, boxes, true));
      if (shared(stage, other).length) pipes.push(slanted(stage, other, boxes, false));
    }
  }
  for (const [left, right] of pairs(others)) {
    if (shared(left, right).length) pipes.push(beside(left, right, boxes, true));
    if (shared(right, left).length) pipes.push(beside(right, left, boxes, false));
  }
  const generation = boxes.get("generation");
  const below = others.length > 0 || backends.length > 0;
  return {
    width: WIDTH,
    height: TOP + (below ? ROW : 0) + BOX.height + EDGE,
    boxes: [...boxes.values()],
    pipes,
    backends: generation && backends.length ? [generation.x, TOP + ROW] : null,
  };
}

/**
 * The stages in the order in which a question comes by.
 *
 * @param {Stage[]} stages
 */
function lineOf(stages) {
  const first = stages.find((stage) => stage.service === FIRST);
  const line = first ? [first] : [];
  for (let last = first; last;) {
    const next = stages.find(
      (stage) => !line.includes(stage) && isChat(shared(/** @type {Stage} */ (last), stage)),
    );
    if (next) line.push(next);
    last = next;
  }
  return line;
}

/** @param {string[]} topics */
function isChat(topics) {
  return topics.some((name) => name.startsWith("chat.") && name !== "chat.cancellations");
}

/**
 * The columns of the stages below: to the left of those they write to, as far as there is room.
 *
 * @param {Stage[]} line
 * @param {Stage[]} others
 */
function freePlaces(line, others) {
  const taken = new Set([line.findIndex((stage) => stage.service === "generation")]); // backends stand there
  return others.map((other) => {
    const target = line.findIndex((stage) => shared(other, stage).length);
    let column = target < 0 ? 1 : Math.max(0, target - 1);
    while (taken.has(column)) column++;
    taken.add(column);
    return column;
  });
}

/**
 * The topics that one writes and the other reads.
 *
 * @param {Stage} from
 * @param {Stage} to
 */
export function shared(from, to) {
  return from.writes.filter((topic) => to.reads.includes(topic));
}

/**
 * @param {Stage} from
 * @param {Stage} to
 * @param {Map<string, Box>} boxes
 * @returns {Pipe}
 */
function straight(from, to, boxes) {
  const a = boxOf(boxes, from);
  const b = boxOf(boxes, to);
  const y = a.y + BOX.height / 2;
  const topics = shared(from, to).filter((name) => name.startsWith("chat."));
  return {
    from: from.service,
    to: to.service,
    topics,
    anchor: "middle",
    under: 40,
    path: `M${a.x + BOX.width} ${y}H${b.x}`,
    label: [(a.x + BOX.width + b.x) / 2, y - 16],
  };
}

/**
 * @param {Stage} from
 * @param {Stage} to
 * @param {string[]} topics
 * @param {Map<string, Box>} boxes
 * @returns {Pipe}
 */
function over(from, to, topics, boxes) {
  const a = boxOf(boxes, from);
  const b = boxOf(boxes, to);
  const [start, end, y] = [a.x + BOX.width / 2, b.x + BOX.width / 2, 22];
  return {
    from: from.service,
    to: to.service,
    topics,
    anchor: "middle",
    under: 32,
    path: `M${start} ${a.y}V${y + 14}q0 -14 -14 -14H${end + 14}q-14 0 -14 14V${b.y}`,
    label: [(start + end) / 2, y - 10],
  };
}

/**
 * @param {Stage} from
 * @param {Stage} to
 * @param {Map<string, Box>} boxes
 * @param {boolean} up
 * @returns {Pipe}
 */
function slanted(from, to, boxes, up) {
  const [low, high] = up ? [boxOf(boxes, from), boxOf(boxes, to)] : [boxOf(boxes, to), boxOf(boxes, from)];
  // Up into the upper box from below; down on a way of its own, further to the right.
  const x = high.x + BOX.width * (up ? 0.35 : 0.65);
  const y = low.y + BOX.height * (up ? 0.35 : 0.65);
  const path = up
    ? `M${low.x + BOX.width} ${y}H${x - 14}q14 0 14 -14V${high.y + BOX.height}`
    : `M${x} ${high.y + BOX.height}V${y - 14}q0 14 -14 14H${low.x + BOX.width}`;
  const names = shared(from, to);
  return {
    from: from.service,
    to: to.service,
    topics: names,
    under: up ? 38 : 18,
    anchor: up ? "start" : "middle",
    path,
    label: up ? [low.x + BOX.width + 10, y - 14] : [(low.x + BOX.width + x) / 2, y + 22],
  };
}

/**
 * Between two stages below, there in the upper half of their boxes and back in the lower.
 *
 * @param {Stage} from
 * @param {Stage} to
 * @param {Map<string, Box>} boxes
 * @param {boolean} there from left to right
 * @returns {Pipe}
 */
function beside(from, to, boxes, there) {
  const [left, right] = there
    ? [boxOf(boxes, from), boxOf(boxes, to)]
    : [boxOf(boxes, to), boxOf(boxes, from)];
  const y = left.y + BOX.height * (there ? 0.22 : 0.78);
  const [start, end] = there ? [left.x + BOX.width, right.x] : [right.x, left.x + BOX.width];
  return {
    from: from.service,
    to: to.service,
    topics: shared(from, to),
    anchor: "middle",
    under: there ? 34 : 18,
    path: `M${start} ${y}H${end}`,
    label: [(left.x + BOX.width + right.x) / 2, there ? y - 12 : y + 22],
  };
}

/**
 * Each with the next one.
 *
 * @param {Stage[]} stages
 */
function pairs(stages) {
  return stages.slice(1).map((stage, i) => [stages[i], stage]);
}

/**
 * @param {Map<string, Box>} boxes
 * @param {Stage} stage
 */
function boxOf(boxes, stage) {
  return /** @type {Box} */ (boxes.get(stage.service));
}

/**
 * How full the tank before a stage is drawn, 0 to 1: from one record to ten thousand, by the logarithm.
 *
 * @param {number} lag
 */
export function level(lag) {
  return Math.min(1, Math.log10(1 + Math.max(0, lag)) / 4);
}

/**
 * What is the matter, and what to do, in one or two sentences.
 *
 * @param {Pipeline} pipeline
 * @param {{count: (n: number) => string, duration: (ms: number) => string}} words
 */
export function verdict({ stages, backends, holding_back: name }, { count, duration }) {
  const stage = stages.find((one) => one.service === name);
  if (!stage) {
    const late = stages.filter((one) => one.ready === false).map((one) => one.service);
    return late.length
      ? `${late.join(" and ")} ${late.length > 1 ? "are" : "is"} not ready yet.`
      : "Every stage keeps up: nothing is held back.";
  }
  const oldest = stage.oldest_ms === null ? "" : `, the oldest for ${duration(stage.oldest_ms)}`;
  const what = `${stage.service} holds the others back: ${count(stage.lag)} ${stage.lag === 1 ? "record waits" : "records wait"} before it${oldest}.`;
  if (!stage.replicas) return `${what} No process of it runs: see penstock status.`;
  if (stage.ready === false) return `${what} It is not ready: see penstock status.`;
  if (stage.slots && !stage.slots.free)
    return `${what} All ${count(stage.slots.used)} slots of its backends are taken: add a backend, or wait.`;
  if (stage.service === "generation" && backends.length && !backends.some((one) => one.available))
    return `${what} No backend is available.`;
  return `${what} Add a replica: penstock scale ${stage.service}=${stage.replicas + 1}.`;
}
