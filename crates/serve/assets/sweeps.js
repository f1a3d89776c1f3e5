// The list of sweeps, and the numbers of one of them.

import { $, el, redrawn } from "./dom.js";
import { count, duration, short } from "./format.js";
import { STATES, colour } from "./palette.js";
import { link } from "./place.js";

/** In the order in which a sweep goes on: what is done, what is wrong, what is under way. */
const ORDER = ["finished", "diverged", "failed", "running", "pending"];

export function bar(element, counts) {
  const total = STATES.reduce((sum, state) => sum + counts[state], 0);
  element.replaceChildren(...ORDER.filter((state) => counts[state] > 0).map((state) => {
    const part = el("span", {});
    part.style.flex = `${counts[state]} 0 ${state === "pending" ? 0 : 2}px`;
    part.style.background = state === "pending" ? "transparent" : colour(state);
    return part;
  }));
  element.setAttribute("aria-label", `${total} trials: ${tell(counts)}`);
}

export const tell = (counts) =>
  ORDER.filter((state) => counts[state] > 0).map((state) => `${count(counts[state])} ${state}`).join(", ") || "none";

export function drawList(sweeps, current, compared, compare) {
  const items = sweeps.map((sweep) => {
    const progress = el("div", { class: "bar", role: "img" });
    bar(progress, sweep.trials);
    const tick = el("input", {
      type: "checkbox", "aria-label": `Compare ${sweep.name}`, title: "compare",
      checked: compared.includes(sweep.name) && sweep.name !== current, disabled: sweep.name === current,
      onchange: (event) => compare(sweep.name, event.target.checked),
    });
    const href = link({ sweep: sweep.name, trial: "", target: "", y: "" });
    const anchor = el("a", { href, "aria-current": sweep.name === current ? "page" : null },
      el("b", {}, sweep.name), progress, el("span", { class: "muted small" }, tell(sweep.trials)));
    return el("li", {}, tick, anchor);
  });
  redrawn($("sweeps"), ...items);
  $("compare-hint").hidden = sweeps.length < 2;
}

export function drawTotals(sweep) {
  bar($("bar"), sweep.trials);
  const total = STATES.reduce((sum, state) => sum + sweep.trials[state], 0);
  const pairs = [
    [`of ${count(total)} trials finished`, count(sweep.trials.finished)],
    ...["running", "pending", "diverged", "failed"].filter((state) => sweep.trials[state] > 0).map((state) => [state, count(sweep.trials[state])]),
    ["FLOPs planned", short(sweep.train_flops_planned)],
    ["FLOPs spent", short(sweep.train_flops_spent)],
    ["device time", duration(sweep.charged_s)],
    ["attempts", count(sweep.attempts)],
  ];
  $("totals").replaceChildren(...pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}
