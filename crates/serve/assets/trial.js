// One trial: what it is, how it went, what was tried and logged. Others can be kept beside it.

import * as api from "./api.js";
import { METRICS_ALONG, bestMetric, drawCurves } from "./curves.js";
import { $, announce, el, fill, redrawn } from "./dom.js";
import { count, duration, exact, named, short, time } from "./format.js";
import { STATES, stateMark } from "./palette.js";

/** Between two looks at a trial that is being trained. */
const AGAIN_MS = 3000;

export class TrialPanel {
  constructor(root, close) {
    Object.assign(this, { root, close, id: "", kept: [], metric: "", forget: () => {} });
    root.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
  }

  async show(id) {
    if (id === this.id) return;
    this.id = id;
    clearTimeout(this.timer);
    this.forget();
    this.root.hidden = id === "";
    if (id === "") return (this.back?.isConnected ? this.back : $("main")).focus();
    if (!this.root.contains(document.activeElement)) this.back = document.activeElement;
    this.root.replaceChildren(this.head(`Trial ${id.slice(0, 8)}`), el("p", { class: "muted" }, "Loading"));
    try {
      const trial = await api.trial(id);
      if (id === this.id) this.draw(trial);
    } catch (error) {
      if (id !== this.id) return;
      this.root.replaceChildren(this.head(`Trial ${id.slice(0, 8)}`), el("p", { class: "notice", role: "alert" }, error.message));
    }
    $("trial-title")?.focus();
  }

  /** The trial went on: ask again, with everything else as it was. */
  async refresh() {
    const { id } = this;
    if (this.trial?.id !== id) return; // it is still being loaded
    const trial = await api.trial(id).catch(() => this.trial);
    if (id !== this.id) return;
    if (besidesCurves(trial) === besidesCurves(this.trial)) return this.grow(trial);
    const open = new Set([...this.root.querySelectorAll("details[open]")].map((details) => details.dataset.key));
    const { scrollTop } = this.root;
    this.draw(trial);
    for (const details of this.root.querySelectorAll("details")) details.open = open.has(details.dataset.key);
    this.root.scrollTop = scrollTop;
  }

  /** Nothing but its curves: whoever reads a log goes on reading. */
  grow(trial) {
    const isLonger = JSON.stringify(trial.curves) !== JSON.stringify(this.trial.curves);
    this.trial = trial;
    if (isLonger) this.drawCurves();
    this.lookAgain();
  }

  head(title) {
    return el("div", { class: "head" },
      el("h2", { id: "trial-title", tabindex: "-1" }, title),
      el("button", { type: "button", id: "trial-close", "aria-label": "Close the trial", onclick: () => this.close() }, "close"));
  }

  draw(trial) {
    this.forget();
    this.trial = trial;
    this.title = `${trial.shape}, ${count(trial.examples_seen)} examples seen, seed ${exact(trial.seed)}`;
    // Of a run that was trained elsewhere only the end is known.
    const measured = trial.steps === null ? [] : [...METRICS_ALONG, ...Object.keys(trial.curves)];
    const metrics = measured.filter((name, i, all) => trial.curves[name] && all.indexOf(name) === i);
    const choose = el("select", { id: "trial-metric", onchange: () => ((this.metric = choose.value), this.drawCurves()) });
    this.metric = fill(choose, metrics.map((name) => [name, named(name)]), this.metric || bestMetric(trial.curves, metrics));
    const keep = el("button", { type: "button", id: "trial-keep", onclick: () => this.keep() }, "");
    this.keepButton = keep;
    this.canvas = el("div", { class: "curve", id: "curve" });
    const curves = metrics.length === 0
      ? [el("p", { class: "muted" }, "Nothing has been measured along the way.")]
      : [el("div", { class: "controls" }, el("label", {}, "metric ", choose), keep), this.canvas];
    redrawn(this.root,
      this.head(this.title), facts(trial),
      el("h3", {}, "Curves"), ...curves,
      el("h3", {}, "Attempts"), ...this.attempts(trial),
      el("h3", {}, "Spec"), el("details", { "data-key": "spec" }, el("summary", {}, `What the id is the hash of`), el("pre", { tabindex: "0" }, pretty(trial.spec))));
    this.drawCurves();
    this.lookAgain();
  }

  /** What is measured on the way is no news of the sweep: while a trial is trained, it is asked for. */
  lookAgain() {
    clearTimeout(this.timer);
    const isTraining = this.trial.sweeps.some(({ state }) => STATES[state] === "running");
    if (isTraining) this.timer = setTimeout(() => this.refresh(), AGAIN_MS);
  }

  /** Curves of kept trials stay while another one is opened. */
  keep() {
    const at = this.kept.findIndex((run) => run.id === this.id);
    if (at >= 0) this.kept.splice(at, 1);
    else this.kept.push({ id: this.id, title: this.title, curves: this.trial.curves });
    announce(at >= 0 ? "No longer kept" : "Kept: open another trial to compare");
    this.drawCurves();
  }

  drawCurves() {
    const others = this.kept.filter((run) => run.id !== this.id);
    const isKept = others.length < this.kept.length;
    this.keepButton.setAttribute("aria-pressed", String(isKept));
    this.keepButton.textContent = isKept ? "kept for comparison" : "keep for comparison";
    this.forget();
    this.forget = () => {};
    if (!this.canvas.isConnected) return;
    const runs = [...others, { title: this.title, curves: this.trial.curves }];
    this.forget = drawCurves(this.canvas, this.metric, runs);
  }

  attempts({ id, attempts }) {
    if (attempts.length === 0) return [el("p", { class: "muted" }, "None.")];
    return attempts.map((attempt) => {
      const log = el("pre", { tabindex: "0" }, "…");
      const seconds = attempt.ended_at === null ? null : attempt.ended_at - attempt.started_at;
      const summary = `${attempt.kind} ${count(attempt.start_step)}–${count(attempt.end_step)}, attempt ${attempt.attempt} on ${attempt.device}: ${attempt.outcome}${seconds === null ? "" : ` after ${duration(seconds)}`}`;
      const details = el("details", { "data-key": `${attempt.segment}/${attempt.attempt}` },
        el("summary", {}, summary),
        el("p", { class: "muted small" }, `began ${time(attempt.started_at)}${attempt.job ? `, job ${attempt.job}` : ""}, segment ${attempt.segment.slice(0, 12)}`),
        attempt.reason ? el("p", { class: "notice" }, attempt.reason) : null, log);
      details.addEventListener("toggle", async () => {
        if (!details.open) return;
        const text = await api.log(id, attempt.segment, attempt.attempt).catch((error) => `(${error.message})`);
        log.textContent = text === "" ? "(nothing was logged)" : text;
      });
      return details;
    });
  }
}

const besidesCurves = ({ curves, ...rest }) => JSON.stringify([rest, Object.keys(curves)]);

function facts(trial) {
  const states = trial.sweeps.map(({ sweep, state }) => el("span", { class: "state" }, stateMark(state), `${STATES[state]} in ${sweep} `));
  const pairs = [
    ["state", el("span", {}, ...states)],
    ["family", trial.family],
    ["parameters", count(trial.params)],
    ["unique examples", count(trial.unique_examples)],
    ["examples seen", count(trial.examples_seen)],
    ["steps", count(trial.steps)],
    ["training FLOPs", short(trial.train_flops)],
    ["peak learning rate", short(trial.learning_rate)],
    ...Object.entries(trial.values).map(([metric, value]) => [named(metric), short(value)]),
    ["device time", trial.device_s === null ? "–" : duration(trial.device_s)],
    ["id", el("span", { class: "mono" }, trial.id)],
  ];
  return el("dl", { class: "facts" }, ...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
