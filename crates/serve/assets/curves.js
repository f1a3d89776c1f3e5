// Learning curves: a metric over steps, of one trial or of several over each other.

import uPlot from "/assets/uplot.js";
import { around, axis } from "./axis.js";
import { el } from "./dom.js";
import { count, named, short } from "./format.js";
import { colour, ordered } from "./palette.js";

export const METRICS_ALONG = ["val_error", "val_loss", "train_loss", "learning_rate", "gradient_norm", "examples_per_s"];

/** The first of these that was measured often enough to be a curve. */
export const bestMetric = (curves, metrics) => metrics.find((metric) => curves[metric].step.length > 3) ?? metrics[0];

/** `runs`: [{title, curves: {metric: {step, value}}}]. Gives back what to call when it goes. */
export function drawCurves(root, metric, runs) {
  const having = runs.map((run, i) => ({ ...run, i })).filter((run) => run.curves[metric]?.step.length > 0);
  root.replaceChildren();
  if (having.length === 0) {
    root.append(el("p", { class: "muted" }, `No ${named(metric)} has been measured yet.`));
    return () => {};
  }
  const tables = having.map((run) => [run.curves[metric].step, run.curves[metric].value]);
  const data = tables.length === 1 ? tables[0] : uPlot.join(tables);
  const values = data.slice(1).flat();
  const log = metric !== "learning_rate" && values.every((value) => value === null || value === undefined || value > 0);
  const range = around(values, log);
  const tint = (i) => (runs.length === 1 ? colour("accent") : ordered(i, runs.length));
  const series = having.map(({ title, i }) => ({
    label: title,
    stroke: () => tint(i),
    width: 1.8,
    spanGaps: true,
    points: { show: (_, s) => data[s].filter((value) => value !== null && value !== undefined).length <= 30, size: 6 },
    value: (_, value) => short(value),
  }));
  const plot = new uPlot(
    {
      width: root.clientWidth,
      height: 230,
      scales: { x: { time: false }, y: { distr: log ? 3 : 1, range: () => [range.min, range.max] } },
      axes: [axis("steps", () => false, 2, 80), axis(named(metric), () => log, 3, 45)],
      series: [{ label: "step", value: (_, value) => (value === null ? "–" : count(value)) }, ...series],
      cursor: { drag: { x: true, y: false } },
    },
    data,
    root,
  );
  root.setAttribute("role", "img");
  root.setAttribute("aria-label", `${named(metric)} over steps: ${having.map((run) => lastWord(run, metric)).join("; ")}`);
  const observer = new ResizeObserver(() => root.clientWidth > 0 && plot.setSize({ width: root.clientWidth, height: plot.height }));
  observer.observe(root);
  const redraw = () => plot.redraw(false, true);
  document.addEventListener("theme", redraw);
  return () => {
    observer.disconnect();
    document.removeEventListener("theme", redraw);
    plot.destroy();
  };
}

function lastWord({ title, curves }, metric) {
  const { step, value } = curves[metric];
  return `${title} ${short(value.at(-1))} after ${count(step.at(-1))} steps`;
}
