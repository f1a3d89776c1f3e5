// The plot of trials along two axes, with fits where x is what they are fitted to. uPlot has the axes,
// the cursor and the selection; points, lines and bands are drawn here, since points of many sizes in
// no order are not its series.

import uPlot from "/assets/uplot.js";
import { around, axis, moved } from "./axis.js";
import { announce, eachFrame, hideTip, showTip } from "./dom.js";
import { count, exact, interval, named, short } from "./format.js";
import { colour } from "./palette.js";

const REACH = 14; // pixels from a point within which it is meant
const RING_MS = 2500;
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Scaling {
  /** `open(point)` is called for a point that is clicked. */
  constructor(root, open) {
    this.root = root;
    this.open = open;
    this.scales = { x: { min: 1, max: 10, log: true }, y: { min: 0.1, max: 1, log: true } };
    this.scene = { points: [], lines: [], bands: [], x: "", y: "" };
    this.zoomed = false;
    this.at = -1;
    this.fresh = new Map();
    this.redraw = eachFrame(() => this.plot?.redraw(false, true));
    new ResizeObserver(() => this.resize()).observe(root);
    document.addEventListener("theme", this.redraw);
    root.addEventListener("keydown", (event) => this.key(event));
    root.addEventListener("pointerleave", () => this.point(-1));
    root.addEventListener("blur", () => this.point(-1));
  }

  /**
   * What is to be seen: points {x, y, colour, form, trial, title, pairs}, lines {points, colour, dash},
   * bands {points: [[x, low, high]], colour}. Keeps the zoom unless the axes change.
   */
  show(scene, { xLog, yLog }) {
    const axes = [scene.x, scene.y, scene.sweep, xLog, yLog].join(" ");
    const isNew = axes !== this.axes;
    const pointed = this.scene.points[this.at]?.trial;
    this.axes = axes;
    this.scene = scene;
    // Whoever is at a point stays there when another one lands.
    this.at = isNew || pointed === undefined ? -1 : scene.points.findIndex((point) => point.trial === pointed);
    if (pointed !== undefined && this.at < 0) hideTip();
    if (isNew) {
      this.fresh.clear();
      this.zoomed = false;
    }
    this.scales.x.log = xLog;
    this.scales.y.log = yLog;
    if (!this.zoomed) this.fitPoints();
    if (isNew || !this.plot) this.build();
    else this.rescale();
    this.root.setAttribute("aria-label", this.description());
  }

  description() {
    const { points, x, y } = this.scene;
    const ys = around(points.map((point) => point.y), false);
    if (points.length === 0) return `No trial has both ${named(x)} and ${named(y)} yet.`;
    return `${points.length} trials, ${named(y)} against ${named(x)}; ${named(y)} from ${short(Math.min(...points.map((p) => p.y)))} to ${short(ys.max)}.`;
  }

  fitPoints() {
    const { points, lines } = this.scene;
    const all = points.length > 0 ? points.map(({ x, y }) => [x, y]) : lines.flatMap((line) => line.points);
    this.scales.x = around(all.map(([x]) => x), this.scales.x.log);
    this.scales.y = around(all.map(([, y]) => y), this.scales.y.log);
  }

  showAll() {
    this.zoomed = false;
    this.fitPoints();
    this.rescale();
  }

  /** As far as lines go, and so high that bands fit. */
  showForecast() {
    const { points, lines, bands } = this.scene;
    const xs = [...points.map((point) => point.x), ...lines.flatMap((line) => line.points.map(([x]) => x))];
    const ys = [...points.map((point) => point.y), ...bands.flatMap((band) => band.points.flatMap(([, low, high]) => [low, high]))];
    this.scales.x = around(xs, this.scales.x.log);
    this.scales.y = around(ys, this.scales.y.log);
    this.zoomed = true;
    this.rescale();
  }

  zoom(factor) {
    this.scales.x = moved(this.scales.x, factor);
    this.scales.y = moved(this.scales.y, factor);
    this.zoomed = true;
    this.rescale();
  }

  pan(x, y) {
    this.scales.x = moved(this.scales.x, 1, 0.5, x);
    this.scales.y = moved(this.scales.y, 1, 0.5, y);
    this.zoomed = true;
    this.rescale();
  }

  rescale() {
    const { x, y } = this.scales;
    this.plot?.batch(() => {
      this.plot.setScale("x", { min: x.min, max: x.max });
      this.plot.setScale("y", { min: y.min, max: y.max });
    });
    this.redraw();
  }

  build() {
    this.plot?.destroy();
    const scale = (key) => ({
      time: false,
      auto: false,
      distr: this.scales[key].log ? 3 : 1,
      range: () => [this.scales[key].min, this.scales[key].max],
    });
    const { clientWidth: width, clientHeight: height } = this.root;
    this.plot = new uPlot(
      {
        width,
        height,
        scales: { x: scale("x"), y: scale("y") },
        axes: [axis(named(this.scene.x), () => this.scales.x.log, 2, 90), axis(named(this.scene.y), () => this.scales.y.log, 3, 60)],
        series: [{}, { points: { show: false }, paths: () => null }],
        legend: { show: false },
        cursor: { points: { show: false }, drag: { x: true, y: true, uni: 24, setScale: false } },
        hooks: {
          draw: [() => this.paint()],
          setCursor: [(plot) => this.hover(plot)],
          setSelect: [(plot) => this.select(plot)],
          init: [(plot) => this.listen(plot.over)],
        },
      },
      [[this.scales.x.min, this.scales.x.max], [this.scales.y.min, this.scales.y.max]],
      this.root,
    );
  }

  listen(over) {
    let down = null;
    over.addEventListener("pointerdown", (event) => (down = [event.clientX, event.clientY]));
    over.addEventListener("click", (event) => {
      const still = down && Math.hypot(event.clientX - down[0], event.clientY - down[1]) < 4;
      if (!still) return;
      const box = over.getBoundingClientRect();
      const at = this.nearest(event.clientX - box.left, event.clientY - box.top);
      this.choose(at);
    });
    // Before uPlot's own, which would go back to its data's ends.
    over.addEventListener("dblclick", (event) => {
      event.stopImmediatePropagation();
      this.showAll();
    }, true);
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.root;
    if (this.plot && width > 0 && (width !== this.plot.width || height !== this.plot.height)) {
      this.plot.setSize({ width, height });
    }
  }

  select(plot) {
    const { left, top, width, height } = plot.select;
    if (width < 5 && height < 5) return;
    const of = (key, from, to) => ({ ...this.scales[key], min: plot.posToVal(from, key), max: plot.posToVal(to, key) });
    if (width >= 5) this.scales.x = of("x", left, left + width);
    if (height >= 5) this.scales.y = of("y", top + height, top);
    this.zoomed = true;
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.rescale();
  }

  nearest(left, top) {
    let [best, least] = [-1, REACH ** 2];
    this.scene.points.forEach((point, i) => {
      const dx = this.plot.valToPos(point.x, "x") - left;
      if (Math.abs(dx) > REACH) return;
      const distance = dx ** 2 + (this.plot.valToPos(point.y, "y") - top) ** 2;
      if (distance < least) [best, least] = [i, distance];
    });
    return best;
  }

  hover(plot) {
    const { left, top } = plot.cursor;
    this.point(left < 0 ? -1 : this.nearest(left, top));
  }

  point(at) {
    if (at === this.at) return;
    this.at = at;
    this.redraw();
    if (at < 0) return hideTip();
    const point = this.scene.points[at];
    const box = this.plot.over.getBoundingClientRect();
    const [x, y] = [this.plot.valToPos(point.x, "x"), this.plot.valToPos(point.y, "y")];
    showTip(box.left + x, box.top + y, point.title, point.pairs());
    announce(`${point.title}: ${named(this.scene.x)} ${short(point.x)}, ${named(this.scene.y)} ${short(point.y)}`);
  }

  choose(at) {
    const point = this.scene.points[at];
    if (!point) return;
    this.point(-1);
    this.open(point);
  }

  /** From point to point in the order of x, among those in sight. */
  step(by) {
    const { x, y } = this.scales;
    const inSight = this.scene.points
      .map((point, i) => [point, i])
      .filter(([p]) => p.x >= x.min && p.x <= x.max && p.y >= y.min && p.y <= y.max)
      .sort(([a], [b]) => a.x - b.x || b.y - a.y);
    if (inSight.length === 0) return;
    const now = inSight.findIndex(([, i]) => i === this.at);
    const next = now < 0 ? (by > 0 ? 0 : inSight.length - 1) : (now + by + inSight.length) % inSight.length;
    this.point(inSight[next][1]);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = {
      ArrowRight: () => (event.shiftKey ? this.pan(0.2, 0) : this.step(1)),
      ArrowLeft: () => (event.shiftKey ? this.pan(-0.2, 0) : this.step(-1)),
      ArrowUp: () => this.pan(0, 0.2),
      ArrowDown: () => this.pan(0, -0.2),
      "+": () => this.zoom(0.7),
      "=": () => this.zoom(0.7),
      "-": () => this.zoom(1 / 0.7),
      0: () => this.showAll(),
      Enter: () => this.choose(this.at),
    };
    if (!Object.hasOwn(acts, event.key)) return;
    event.preventDefault();
    acts[event.key]();
  }

  /** Rings for a moment around what has just landed. */
  mark(trials) {
    if (still.matches) return;
    const now = performance.now();
    for (const trial of trials) this.fresh.set(trial, now);
    this.redraw();
  }

  paint() {
    const { ctx, bbox } = this.plot;
    const ratio = devicePixelRatio;
    const place = ([x, y]) => [this.plot.valToPos(x, "x", true), this.plot.valToPos(y, "y", true)];
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    for (const band of this.scene.bands) this.paintBand(ctx, band, place);
    for (const line of this.scene.lines) paintLine(ctx, line, place, ratio);
    this.paintPoints(ctx, place, ratio);
    this.paintRings(ctx, place, ratio);
    ctx.restore();
    const { x, y } = this.scales;
    this.root.dataset.painted = String(this.scene.points.length);
    this.root.dataset.view = [x.min, x.max, y.min, y.max].map((end) => end.toPrecision(6)).join(" ");
  }

  paintBand(ctx, { points, colour: fill }, place) {
    const above = points.map(([x, , high]) => place([x, high]));
    const below = points.map(([x, low]) => place([x, low])).reverse();
    ctx.fillStyle = fill;
    ctx.beginPath();
    [...above, ...below].forEach(([x, y], i) => (i === 0 ? ctx.moveTo(x, y) : ctx.lineTo(x, y)));
    ctx.fill();
  }

  /** One path for all points of a colour and form. */
  paintPoints(ctx, place, ratio) {
    const { points } = this.scene;
    const radius = (points.length > 3000 ? 1.8 : points.length > 400 ? 2.5 : 3.6) * ratio;
    const paths = new Map();
    for (const point of points) {
      const key = `${point.colour} ${point.form}`;
      if (!paths.has(key)) paths.set(key, { path: new Path2D(), point });
      const [x, y] = place([point.x, point.y]);
      if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
      const { path } = paths.get(key);
      path.moveTo(x + radius, y);
      path.arc(x, y, radius, 0, 2 * Math.PI);
    }
    for (const { path, point } of paths.values()) {
      ctx.globalAlpha = points.length > 3000 ? 0.7 : 0.9;
      ctx.fillStyle = point.form === "hollow" ? colour("page") : point.colour;
      ctx.fill(path);
      ctx.strokeStyle = point.colour;
      ctx.lineWidth = 1.4 * ratio;
      if (point.form === "hollow") ctx.stroke(path);
    }
    ctx.globalAlpha = 1;
  }

  paintRings(ctx, place, ratio) {
    const now = performance.now();
    const ring = (point, radius, alpha) => {
      const [x, y] = place([point.x, point.y]);
      ctx.globalAlpha = alpha;
      ctx.strokeStyle = colour("focus");
      ctx.lineWidth = 2 * ratio;
      ctx.beginPath();
      ctx.arc(x, y, radius * ratio, 0, 2 * Math.PI);
      ctx.stroke();
      ctx.globalAlpha = 1;
    };
    for (const point of this.scene.points) {
      const since = this.fresh.get(point.trial);
      if (since === undefined) continue;
      const share = (now - since) / RING_MS;
      if (share >= 1) this.fresh.delete(point.trial);
      else ring(point, 6 + 10 * share, 1 - share);
    }
    if (this.fresh.size > 0) this.redraw();
    const point = this.scene.points[this.at];
    if (point) ring(point, 7, 1);
  }
}

function paintLine(ctx, { points, colour: stroke, dash, width }, place, ratio) {
  ctx.strokeStyle = stroke;
  ctx.lineWidth = (width ?? 1.8) * ratio;
  ctx.setLineDash((dash ?? []).map((length) => length * ratio));
  ctx.beginPath();
  points.map(place).forEach(([x, y], i) => (i === 0 ? ctx.moveTo(x, y) : ctx.lineTo(x, y)));
  ctx.stroke();
  ctx.setLineDash([]);
}

/** What is said of a trial beside the pointer. */
export function pairsOf(trials, i, x, y) {
  const { columns } = trials;
  return [
    [named(y), short(trials.value(y, i))],
    [named(x), short(trials.value(x, i))],
    ["parameters", count(trials.group(i).params)],
    ["unique examples", count(columns.unique_examples[i])],
    ["examples seen", count(columns.examples_seen[i])],
    ["learning rate", short(columns.learning_rate[i])],
    ["seed", exact(columns.seed[i])],
  ];
}

/** `0.12 [0.10, 0.14]` of what a fit says at one place. */
export const answer = ({ y, low, high }) => interval(y, low, high);
