/** The services and topics as a live flow, and the same in tables. */

import { call, isAbort, told } from "../api.js";
import { fill, h, setText } from "../dom.js";
import { verdict } from "../flow.js";
import { FlowView } from "../flow_view.js";
import { count, duration, rate } from "../format.js";
import { follow } from "../sse.js";
import { LiveTable } from "../table.js";

export const title = "Pipeline";

/** @typedef {import("../flow.js").Pipeline} Pipeline */

/** @param {import("../main.js").Place} place */
export async function open({ host, signal }) {
  const live = h("span", { class: "live", role: "status" }, "Connecting");
  const words = h("p", { class: "verdict" }, "Looking at the pipeline…");
  const flow = new FlowView();
  const tables = [stageTable(), backendTable(), topicTable()];
  const jobs = h("p", { class: "jobs" });
  fill(
    host,
    h("header", { class: "page-head" }, h("h1", { tabindex: -1 }, "Pipeline"), live),
    words,
    h("div", { class: "flow-frame" }, flow.node),
    tables.map((table) => table.node),
    jobs,
  );

  const show = (/** @type {Pipeline} */ pipeline) => {
    setText(words, verdict(pipeline, { count, duration }));
    words.dataset.mark = pipeline.holding_back ? "holds" : "";
    flow.show(pipeline);
    tables[0].show(pipeline.stages.map((one) => ({ ...one, holds: one.service === pipeline.holding_back })));
    tables[1].show(pipeline.backends);
    tables[2].show(pipeline.topics);
    setText(jobs, jobsOf(pipeline));
  };
  const onState = (
    /** @type {"live" | "waiting" | "refused"} */ state,
    /** @type {Error | undefined} */ error,
  ) => {
    live.dataset.state = state;
    setText(live, { live: "Live", waiting: "Reconnecting", refused: "Not live" }[state]);
    if (error) setText(words, told(error));
  };
  void follow("/console/api/pipeline/stream", { signal, onData: show, onState });
  await call("GET", "/console/api/pipeline", { signal }).then(show, (error) => {
    if (!isAbort(error)) setText(words, told(error));
  });
}

/** @returns {LiveTable<any>} */
function stageTable() {
  /** @type {import("../table.js").Column<import("../flow.js").Stage & {holds: boolean}>[]} */
  const columns = [
    { name: "Service", text: (one) => one.service },
    {
      name: "State",
      text: (one) =>
        one.holds ? "holds back" : one.ready === false ? "not ready" : one.ready ? "ready" : "–",
      mark: (one) => (one.holds ? "holds" : one.ready === false ? "bad" : ""),
    },
    { name: "Replicas", num: true, text: (one) => count(one.replicas) },
    { name: "Waiting", num: true, text: (one) => count(one.lag) },
    { name: "Tokens waiting", num: true, text: (one) => count(one.lag_tokens) },
    { name: "Oldest", num: true, text: (one) => duration(one.oldest_ms) },
    { name: "Rate", num: true, text: (one) => rate(one.rate) },
    {
      name: "Slots used",
      num: true,
      text: (one) =>
        one.slots ? `${count(one.slots.used)} of ${count(one.slots.used + one.slots.free)}` : "–",
    },
    { name: "Retries", num: true, text: (one) => rate(one.retries_per_s) },
    { name: "Reads", text: (one) => one.reads.join(", ") || "–" },
    { name: "Writes", text: (one) => one.writes.join(", ") || "–" },
  ];
  return new LiveTable("Services", columns, (one) => one.service);
}

/** @returns {LiveTable<any>} */
function backendTable() {
  /** @type {import("../table.js").Column<import("../flow.js").Backend>[]} */
  const columns = [
    { name: "Backend", text: (one) => one.name },
    {
      name: "State",
      text: (one) => (one.available ? "available" : "not available"),
      mark: (one) => (one.available ? "" : "bad"),
    },
    { name: "Slots used", num: true, text: (one) => count(one.used) },
    { name: "Slots free", num: true, text: (one) => count(one.free) },
    { name: "Queued", num: true, text: (one) => count(one.queued) },
  ];
  return new LiveTable("Backends", columns, (one) => one.name);
}

/** @returns {LiveTable<any>} */
function topicTable() {
  /** @type {import("../table.js").Column<import("../flow.js").Topic>[]} */
  const columns = [
    { name: "Topic", text: (one) => one.name },
    { name: "Partitions", num: true, text: (one) => count(one.partitions) },
    { name: "Records", num: true, text: (one) => count(one.records) },
    { name: "Rate", num: true, text: (one) => rate(one.rate) },
    {
      name: "Dead letters",
      num: true,
      text: (one) => count(one.dead),
      mark: (one) => (one.dead ? "bad" : ""),
    },
  ];
  return new LiveTable("Topics", columns, (one) => one.name);
}

/** @param {Pipeline} pipeline */
function jobsOf({ ingestion }) {
  if (!ingestion) return "";
  const jobs = Object.entries(ingestion.jobs).filter(([, many]) => many);
  return jobs.length
    ? `Documents: ${jobs.map(([state, many]) => `${count(many)} ${state}`).join(", ")}.`
    : "Documents: no jobs.";
}
