// Elements out of values. Text goes in as text nodes alone: a sweep's name is never markup.

export const $ = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Options of a select, with what was chosen kept where it is still there. */
export function fill(select, options, chosen) {
  select.replaceChildren(...options.map(([value, label]) => el("option", { value }, label)));
  select.value = options.some(([value]) => value === chosen) ? chosen : options[0]?.[0] ?? "";
  return select.value;
}

/** Told to those who do not see the canvases. */
export function announce(text) {
  const live = $("live");
  if (live.textContent !== text) live.textContent = text;
}

/** Once a frame, however often it is asked for. */
export function eachFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}

/** Draws anew what is in an element, and leaves the reader where they were in it. */
export function redrawn(root, ...children) {
  const stops = () => [...root.querySelectorAll("a, button, input, select, summary, [tabindex]")];
  const at = stops().indexOf(document.activeElement);
  root.replaceChildren(...children);
  if (at >= 0) stops()[at]?.focus({ preventScroll: true });
}

const tip = () => $("tip");

/** A box beside the pointer: a heading and pairs of a name and a value. */
export function showTip(x, y, heading, pairs) {
  const rows = pairs.map(([name, value]) => el("div", {}, el("span", {}, name), el("span", {}, value)));
  tip().replaceChildren(el("b", {}, heading), ...rows);
  tip().hidden = false;
  const { width, height } = tip().getBoundingClientRect();
  const left = x + 14 + width > innerWidth ? Math.max(4, x - width - 14) : x + 14;
  const top = Math.min(Math.max(4, y + 14), Math.max(4, innerHeight - height - 4));
  tip().style.left = `${left}px`;
  tip().style.top = `${top}px`;
}

export function hideTip() {
  tip().hidden = true;
}
