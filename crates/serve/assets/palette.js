// Colours: all from style.css, so that light and dark are said once.

export const STATES = ["pending", "running", "finished", "diverged", "failed"];

const DARK = matchMedia("(prefers-color-scheme: dark)");
let cache = new Map();
DARK.addEventListener("change", () => {
  cache = new Map();
  document.dispatchEvent(new Event("theme"));
});

export function colour(name) {
  if (!cache.has(name)) {
    cache.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
  }
  return cache.get(name);
}

const channels = (hex) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));

/** From 0 to 1 along a ramp that keeps its order for every kind of colour vision. */
export function ramp(share) {
  const at = Math.min(Math.max(share, 0), 1) * 4;
  const low = Math.min(Math.floor(at), 3);
  const [from, to] = [channels(colour(`ramp-${low}`)), channels(colour(`ramp-${low + 1}`))];
  const mixed = from.map((value, i) => Math.round(value + (to[i] - value) * (at - low)));
  return `rgb(${mixed.join(",")})`;
}

/** The i-th of n things that have an order, as sizes have. */
export const ordered = (i, n) => ramp(n < 2 ? 0.35 : i / (n - 1));

/** The marks of states differ in form as well: hollow, half, full, ring, cross. */
export function paintState(context, state, x, y, size) {
  const name = STATES[state];
  context.fillStyle = context.strokeStyle = colour(name);
  if (size < 5) {
    if (name === "pending") context.globalAlpha = 0.45;
    context.fillRect(x, y, size, size);
    context.globalAlpha = 1;
    return;
  }
  const line = Math.max(1, Math.round(size / 7));
  context.lineWidth = line;
  const inset = line / 2;
  const frame = () => context.strokeRect(x + inset, y + inset, size - line, size - line);
  switch (name) {
    case "pending":
      frame();
      break;
    case "running":
      frame();
      context.fillRect(x, y + size / 2, size, size / 2);
      break;
    case "finished":
      context.fillRect(x, y, size, size);
      break;
    case "diverged":
      frame();
      context.beginPath();
      context.moveTo(x, y + size);
      context.lineTo(x + size, y);
      context.stroke();
      break;
    case "failed":
      frame();
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(x + size, y + size);
      context.moveTo(x, y + size);
      context.lineTo(x + size, y);
      context.stroke();
      break;
  }
}

/** The same mark as a small canvas, for keys and tables. */
export function stateMark(state) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 28;
  canvas.setAttribute("aria-hidden", "true");
  const context = canvas.getContext("2d");
  context.scale(2, 2);
  paintState(context, state, 1, 1, 12);
  return canvas;
}
