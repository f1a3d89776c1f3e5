// Every trial as a square: a panel for each amount of data (and variant), a row for each size, a column
// for each length, and within that one square for each learning rate and seed.

import { announce, eachFrame, el, hideTip, showTip } from "./dom.js";
import { count, exact, named, short } from "./format.js";
import { STATES, colour, paintState, ramp, stateMark } from "./palette.js";
import { pairsOf } from "./scaling.js";

const [MIN_SQUARE, MIN_OF_FEW, MAX_SQUARE, GAP, ROW_LABEL, HEAD, FOOT] = [3, 7, 14, 5, 88, 22, 26];
const FEW = 1000; // trials, of which each should be easy to hit
const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";

export class Grid {
  constructor(root, key, open) {
    Object.assign(this, { root, key, open });
    this.canvas = root.appendChild(el("canvas", { "aria-hidden": "true" }));
    this.paint = { by: "state", only: "" };
    this.at = -1;
    this.redraw = eachFrame(() => this.draw());
    new ResizeObserver(() => this.layOut()).observe(root);
    document.addEventListener("theme", () => (this.drawKey(), this.redraw()));
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener("pointerleave", () => this.point(-1));
    root.addEventListener("blur", () => this.point(-1));
    this.canvas.addEventListener("click", (event) => {
      this.choose(this.find(event));
    });
    root.addEventListener("keydown", (event) => this.onKey(event));
  }

  show(trials, paint) {
    const isNew = trials !== this.trials || paint.across !== this.paint.across;
    if (isNew) this.point(-1);
    Object.assign(this, { trials, paint });
    if (isNew) {
      this.panels = panels(trials, paint.across);
      this.layOut();
    }
    this.drawKey();
    this.redraw();
  }

  /** The largest squares for which the widest panel fits; below the smallest it scrolls. */
  layOut() {
    if (!this.trials || this.root.clientWidth === 0) return;
    const room = this.root.clientWidth - 4;
    this.width = room;
    const least = this.trials.length <= FEW ? MIN_OF_FEW : MIN_SQUARE;
    // Panels are drawn alike, so that their columns are below each other.
    const most = Math.max(...this.panels.map((panel) => panel.most));
    this.blocks = this.panels.map((panel) => {
      const per = most;
      let across = Math.max(1, Math.ceil(Math.sqrt(per)));
      const size = (across) => Math.floor((room - ROW_LABEL) / panel.lengths.length - GAP) / across;
      while (across > 1 && size(across) < least + 1) across -= 1;
      // Few trials at a place stand side by side where there is room.
      while (across < per && per <= 6 && size(across + 1) >= MAX_SQUARE) across += 1;
      const pitch = Math.min(MAX_SQUARE + 2, Math.max(least + 1, Math.floor(size(across))));
      const column = Math.max(across * pitch + GAP, Math.min(34, Math.floor((room - ROW_LABEL) / panel.lengths.length)));
      return { across, pitch, square: pitch - (pitch > 6 ? 2 : 1), column, row: Math.max(Math.ceil(per / across) * pitch + GAP, 17) };
    });
    let top = 0;
    this.spots = new Float32Array(this.trials.length * 2);
    this.panels.forEach((panel, p) => {
      const block = this.blocks[p];
      block.top = top;
      panel.cells.forEach((members, cell) => {
        const [row, column] = [Math.floor(cell / panel.lengths.length), cell % panel.lengths.length];
        members.forEach((trial, n) => {
          this.spots[2 * trial] = ROW_LABEL + column * block.column + (n % block.across) * block.pitch;
          this.spots[2 * trial + 1] = top + HEAD + row * block.row + Math.floor(n / block.across) * block.pitch;
        });
      });
      top += HEAD + panel.groups.length * block.row + FOOT;
      this.width = Math.max(this.width, ROW_LABEL + panel.lengths.length * block.column + 4);
    });
    this.height = top;
    this.redraw();
  }

  draw() {
    if (!this.trials || !this.spots) return;
    const { canvas, width, height } = this;
    const ratio = devicePixelRatio;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    this.panels.forEach((panel, p) => this.drawLabels(context, panel, this.blocks[p]));
    this.drawSquares(context);
    this.drawCursor(context);
    this.root.setAttribute("aria-label", this.description());
    this.root.dataset.painted = String(this.trials.length);
  }

  description() {
    const counts = this.trials.counts();
    const said = STATES.map((state, i) => [counts[i], state]).filter(([n]) => n > 0);
    return `${this.trials.length} trials: ${said.map(([n, state]) => `${n} ${state}`).join(", ")}. The table has the same.`;
  }

  drawLabels(context, panel, block) {
    context.font = FONT;
    context.fillStyle = colour("muted");
    context.textBaseline = "middle";
    context.textAlign = "left";
    context.fillText(panel.title, 0, block.top + HEAD / 2 - 2);
    context.textAlign = "right";
    panel.groups.forEach((group, row) => {
      const label = fitted(context, group.shape, ROW_LABEL - 12);
      context.fillText(label, ROW_LABEL - 10, block.top + HEAD + row * block.row + (block.row - GAP) / 2);
    });
    // Lengths below, as many as have room.
    context.textAlign = "left";
    const below = block.top + HEAD + panel.groups.length * block.row + 6;
    let free = -Infinity;
    panel.lengths.forEach((length, column) => {
      const left = ROW_LABEL + column * block.column;
      if (left < free) return;
      const text = this.paint.across === "train_flops" ? short(length) : count(length);
      context.fillText(text, left, below);
      free = left + context.measureText(text).width + 10;
    });
  }

  drawSquares(context) {
    const { by, only } = this.paint;
    const { state } = this.trials.columns;
    const scale = by === "state" ? null : this.scale(by);
    this.panels.forEach((panel, p) => {
      const { square } = this.blocks[p];
      for (const members of panel.cells) {
        for (const trial of members) {
          const [x, y] = [this.spots[2 * trial], this.spots[2 * trial + 1]];
          const shown = only === "" || STATES[state[trial]] === only;
          context.globalAlpha = shown ? 1 : 0.12;
          const value = scale && this.trials.value(by, trial);
          if (scale === null || value === null) paintState(context, state[trial], x, y, square);
          else {
            context.fillStyle = ramp(scale(value));
            context.fillRect(x, y, square, square);
          }
        }
      }
    });
    context.globalAlpha = 1;
  }

  /** Between the smallest and the largest value, by their logarithms where all are positive. */
  scale(by) {
    const [low, high] = this.ends(by);
    const to = low > 0 ? Math.log : (value) => value;
    return (value) => (high > low ? (to(value) - to(low)) / (to(high) - to(low)) : 0.5);
  }

  ends(by) {
    let [low, high] = [Infinity, -Infinity];
    for (let i = 0; i < this.trials.length; i += 1) {
      const value = this.trials.value(by, i);
      if (value === null) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    return [low, high];
  }

  drawKey() {
    const { by } = this.paint;
    const counts = this.trials.counts();
    const states = STATES.map((state, i) => [state, i]).filter(([, i]) => by === "state" || i !== 2).filter(([, i]) => counts[i] > 0);
    const marks = states.map(([state, i]) => el("span", {}, stateMark(i), `${counts[i].toLocaleString("en")} ${state}`));
    if (by !== "state") {
      const [low, high] = this.ends(by);
      const bar = el("canvas", { class: "ramp", width: 90, height: 10, "aria-hidden": "true" });
      const context = bar.getContext("2d");
      for (let x = 0; x < 90; x += 1) {
        context.fillStyle = ramp(x / 89);
        context.fillRect(x, 0, 1, 10);
      }
      const ends = low > high ? ["–", "–"] : [short(low), short(high)];
      marks.unshift(el("span", {}, `${named(by)} ${ends[0]}`, bar, ends[1]));
    }
    this.key.replaceChildren(...marks);
  }

  drawCursor(context) {
    if (this.at < 0) return;
    const square = this.blocks[this.panelOf(this.at)].square;
    context.strokeStyle = colour("focus");
    context.lineWidth = 2;
    context.strokeRect(this.spots[2 * this.at] - 2, this.spots[2 * this.at + 1] - 2, square + 4, square + 4);
  }

  panelOf(trial) {
    const y = this.spots[2 * trial + 1];
    return this.blocks.findLastIndex((block) => block.top <= y);
  }

  find(event) {
    const [x, y] = [event.offsetX, event.offsetY];
    const p = this.blocks.findLastIndex((block) => block.top <= y);
    if (p < 0) return -1;
    const [panel, block] = [this.panels[p], this.blocks[p]];
    const [row, column] = [Math.floor((y - block.top - HEAD) / block.row), Math.floor((x - ROW_LABEL) / block.column)];
    if (row < 0 || column < 0 || column >= panel.lengths.length || row >= panel.groups.length) return -1;
    const members = panel.cells[row * panel.lengths.length + column];
    const within = (trial) => {
      const [dx, dy] = [x - this.spots[2 * trial], y - this.spots[2 * trial + 1]];
      return dx >= -1 && dy >= -1 && dx < block.pitch && dy < block.pitch;
    };
    return members.find(within) ?? -1;
  }

  hover(event) {
    this.point(this.find(event), event);
  }

  point(at, event) {
    if (at === this.at) return;
    this.at = at;
    this.redraw();
    if (at < 0) return hideTip();
    const { trials } = this;
    const state = STATES[trials.columns.state[at]];
    const box = this.canvas.getBoundingClientRect();
    const x = event?.clientX ?? box.left + this.spots[2 * at] + 10;
    const y = event?.clientY ?? box.top + this.spots[2 * at + 1] + 10;
    const metric = trials.metrics.includes(this.paint.by) ? this.paint.by : trials.main;
    showTip(x, y, `${trials.title(at)}, ${state}`, pairsOf(trials, at, "train_flops", metric));
    announce(`${trials.title(at)}, ${state}, ${count(trials.columns.unique_examples[at])} unique examples, ${count(trials.columns.examples_seen[at])} seen, seed ${exact(trials.columns.seed[at])}, ${named(metric)} ${short(trials.value(metric, at))}`);
  }

  choose(at) {
    if (at < 0) return;
    this.point(-1);
    this.open(this.trials.columns.id[at]);
  }

  /** To the nearest square in a direction. */
  onKey(event) {
    const directions = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
    if (event.key === "Enter") this.choose(this.at);
    if (!Object.hasOwn(directions, event.key) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (this.at < 0) return this.point(this.panels[0].cells.flat()[0] ?? -1);
    const [dx, dy] = directions[event.key];
    const [x, y] = [this.spots[2 * this.at], this.spots[2 * this.at + 1]];
    let [best, least] = [-1, Infinity];
    for (let i = 0; i < this.trials.length; i += 1) {
      const [ahead, aside] = dx ? [(this.spots[2 * i] - x) * dx, this.spots[2 * i + 1] - y] : [(this.spots[2 * i + 1] - y) * dy, this.spots[2 * i] - x];
      const cost = ahead + 8 * Math.abs(aside);
      if (ahead > 0 && cost < least) [best, least] = [i, cost];
    }
    if (best < 0) return;
    this.point(best);
    const left = this.spots[2 * best];
    if (left < this.root.scrollLeft || left > this.root.scrollLeft + this.root.clientWidth - 20) this.root.scrollLeft = left - 100;
  }
}

function fitted(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let kept = text;
  while (kept.length > 1 && context.measureText(`${kept}…`).width > width) kept = kept.slice(0, -1);
  return `${kept}…`;
}

/** Amounts that differ by less than a twentieth stand in one column: of each value the smallest of them. */
function steps(trials, across) {
  const stops = new Map();
  let stop = -Infinity;
  for (const value of trials.distinct(across)) {
    if (value > 1.05 * stop) stop = value;
    stops.set(value, stop);
  }
  return stops;
}

/** Of these columns the one that takes the fewest different values. */
export function fewest(trials, names) {
  const n = (name) => new Set(steps(trials, name).values()).size;
  return names.reduce((best, name) => (n(name) < n(best) ? name : best));
}

/** `{title, groups (rows), lengths (columns), cells: [[trial]], most}` by variant, family and data. */
function panels(trials, across) {
  const stops = steps(trials, across);
  const { columns, groups } = trials;
  const lengths = [...new Set(stops.values())];
  const columnOf = new Map(lengths.map((length, i) => [length, i]));
  const found = new Map();
  for (let i = 0; i < trials.length; i += 1) {
    const { variant, family } = groups[columns.group[i]];
    const key = JSON.stringify([variant, family, columns.unique_examples[i]]);
    if (!found.has(key)) found.set(key, { variant, family, unique: columns.unique_examples[i], members: [] });
    found.get(key).members.push(i);
  }
  const order = (a, b) => (a.variant ?? "").localeCompare(b.variant ?? "") || a.family.localeCompare(b.family) || b.unique - a.unique;
  return [...found.values()].sort(order).map((panel) => {
    const rows = [...new Set(panel.members.map((i) => columns.group[i]))].sort((a, b) => groups[a].params - groups[b].params);
    const rowOf = new Map(rows.map((g, i) => [g, i]));
    const cells = Array.from({ length: rows.length * lengths.length }, () => []);
    for (const i of panel.members) cells[rowOf.get(columns.group[i]) * lengths.length + columnOf.get(stops.get(columns[across][i]))].push(i);
    const inOrder = (a, b) => columns.learning_rate[a] - columns.learning_rate[b] || columns.seed[a] - columns.seed[b];
    for (const cell of cells) cell.sort(inOrder);
    const parts = [trials.hasVariants ? panel.variant ?? "no variant" : null, trials.hasFamilies ? panel.family : null];
    const title = [...parts, `${count(panel.unique)} unique examples`].filter((part) => part !== null).join(" · ");
    return { title: `${title} · columns are ${named(across)}`, groups: rows.map((g) => groups[g]), lengths, cells, most: Math.max(...cells.map((cell) => cell.length)) };
  });
}
