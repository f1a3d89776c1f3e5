// Axes of a plot: where ticks are, and how zooming moves the ends. A scale is {min, max, log}.

import { tick } from "./format.js";
import { colour } from "./palette.js";

const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";

/** Ticks of a logarithmic axis: decades, every few of them, or steps within one. */
export function logTicks(min, max, wanted) {
  const [low, high] = [Math.log10(min), Math.log10(max)];
  const decades = high - low;
  if (decades < 0.9) return linearTicks(min, max, wanted);
  const every = Math.max(1, Math.ceil(decades / wanted));
  const within = decades > wanted * 0.75 ? [1] : decades > wanted * 0.35 ? [1, 3] : [1, 2, 5];
  const ticks = [];
  for (let power = Math.ceil(low / every) * every - every; power <= high; power += every) {
    for (const digit of every > 1 ? [1] : within) {
      const value = digit * 10 ** power;
      if (value >= min * (1 - 1e-9) && value <= max * (1 + 1e-9)) ticks.push(value);
    }
  }
  return ticks;
}

export function linearTicks(min, max, wanted) {
  const raw = (max - min) / Math.max(wanted, 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  const ticks = [];
  for (let i = Math.ceil(min / step - 1e-9); i * step <= max + step * 1e-9; i += 1) ticks.push(i * step);
  return ticks;
}

/** An axis for uPlot. */
export function axis(label, isLog, side, space) {
  return {
    label,
    side,
    labelSize: 22,
    size: side === 3 ? 58 : 30,
    font: FONT,
    labelFont: FONT,
    stroke: () => colour("muted"),
    grid: { stroke: () => colour("grid"), width: 1 },
    ticks: { stroke: () => colour("grid"), width: 1, size: 5 },
    splits: (plot, _, min, max) => {
      const pixels = side === 3 ? plot.bbox.height : plot.bbox.width;
      const wanted = Math.max(3, Math.floor(pixels / devicePixelRatio / space));
      return isLog() ? logTicks(min, max, wanted) : linearTicks(min, max, wanted);
    },
    filter: (_, splits) => splits,
    values: (_, splits) => splits.map((value) => (value === null ? "" : tick(value))),
  };
}

const forward = (scale) => (scale.log ? Math.log : (value) => value);
const backward = (scale) => (scale.log ? Math.exp : (value) => value);

/** The ends moved: `factor` below 1 zooms in around `at`, a share from the lower end; `shift` is a share. */
export function moved(scale, factor, at = 0.5, shift = 0) {
  const [low, high] = [scale.min, scale.max].map(forward(scale));
  const [span, fixed] = [high - low, low + at * (high - low)];
  const ends = [fixed - at * span * factor + shift * span, fixed + (1 - at) * span * factor + shift * span];
  const [min, max] = ends.map(backward(scale));
  const usable = Number.isFinite(min) && Number.isFinite(max) && (max - min) / Math.abs(max + min || 1) > 1e-9;
  return usable ? { ...scale, min, max } : scale;
}

/** A scale around values, with some room; positive ones alone where it is logarithmic. */
export function around(values, log) {
  let [min, max] = [Infinity, -Infinity];
  for (const value of values) {
    if (value === null || !Number.isFinite(value) || (log && value <= 0)) continue;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  if (min > max) return { min: log ? 0.1 : 0, max: 1, log };
  if (min === max) return log ? { min: min / 2, max: max * 2, log } : { min: min - 0.5, max: max + 0.5, log };
  return moved({ min, max, log }, 1.08);
}
