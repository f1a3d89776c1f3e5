// The page: what the reader chose (place.js) and what the server says (api.js), drawn.

import * as api from "./api.js";
import { $, el, fill, redrawn } from "./dom.js";
import { count, interval, named, short } from "./format.js";
import { Grid, fewest } from "./grid.js";
import { STATES, colour, ordered } from "./palette.js";
import * as place from "./place.js";
import { Scaling, answer, pairsOf } from "./scaling.js";
import { drawList, drawTotals } from "./sweeps.js";
import { Table } from "./table.js";
import { TrialPanel } from "./trial.js";
import { Trials } from "./trials.js";

const X_AXES = ["train_flops", "params", "unique_examples", "examples_seen", "steps", "learning_rate", "device_s"];
/** The axis that fits are along. */
const FITTED = "train_flops";
const REFIT_MS = 1500;
const RETRY_MS = 3000;
/** What the columns of the grid may be. */
const ACROSS = ["examples_seen", "train_flops"];

const openTrial = (id) => place.go({ trial: id }, true);
const panel = new TrialPanel($("trial"), () => place.go({ trial: "" }, true));
const scaling = new Scaling($("plot"), (point) => openTrial(point.trial));
const grid = new Grid($("grid"), $("grid-key"), openTrial);
const table = new Table($("table-view"), openTrial);

/** All that was heard from the server, and what of it is hidden. */
const known = { store: "", sweeps: [], name: null, trials: null, fits: new Map(), hidden: new Set(), only: "", paint: "state", across: "" };
let stream = null;
let asking = new AbortController();

// ---- what is heard

const hear = {
  link: (state) => {
    $("link").dataset.link = state;
    $("link").textContent = { live: "live", connecting: "connecting", lost: "connection lost" }[state];
  },
  sweeps: (said) => {
    problem("stream", null);
    known.sweeps = said.sweeps;
    known.store = said.store;
    drawSweeps();
    if (known.name === null) follow();
  },
  trials: (said) => {
    problem("stream", null);
    const changed = known.trials.apply(said);
    const landed = changed.filter((i) => STATES[known.trials.columns.state[i]] === "finished");
    drawTrials();
    if (landed.length > 0) {
      drawScaling();
      scaling.mark(landed.map((i) => known.trials.columns.id[i]));
      refitSoon();
    }
    if (changed.some((i) => known.trials.columns.id[i] === panel.id)) panel.refresh();
  },
  reset: () => load(known.name),
  problem: (said) => problem("stream", said.error),
};

/** What is wrong, by who says so: what one takes back may still be so for the other. */
const wrong = { page: null, stream: null };
function problem(from, message) {
  wrong[from] = message;
  const told = wrong.page ?? wrong.stream;
  $("problem").hidden = told === null;
  $("problem").textContent = told ?? "";
}

/** A browser has few connections for a server, and a page in the background needs none. */
function listen() {
  stream?.close();
  stream = document.hidden ? null : api.events(known.trials === null ? null : known.name, known.trials?.mark, hear);
}
document.addEventListener("visibilitychange", listen);

/** Asks again a moment after points have landed, one question at a time however many land. */
const refit = { isDue: false, isGoing: false };
async function refitSoon() {
  refit.isDue = true;
  if (refit.isGoing) return;
  refit.isGoing = true;
  while (refit.isDue) {
    await new Promise((done) => setTimeout(done, REFIT_MS));
    refit.isDue = false;
    await askForFits();
  }
  refit.isGoing = false;
}

// ---- loading

async function load(name) {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  known.name = name;
  try {
    const said = await api.sweep(name, signal);
    if (known.trials?.sweep !== name) {
      known.fits.clear();
      known.hidden.clear();
      known.across = "";
    }
    known.trials = new Trials(said.trials);
    known.trials.sweep = name;
    known.trials.main = ["val_error", "val_loss"].find((metric) => known.trials.metrics.includes(metric)) ?? known.trials.metrics[0] ?? "val_error";
    $("source").textContent = said.source;
    drawQuestion(said.source);
    problem("page", null);
  } catch (error) {
    if (signal.aborted) return;
    known.trials = null;
    problem("page", error.message);
    setTimeout(() => signal.aborted || load(name), RETRY_MS);
  }
  drawSweep();
  listen();
  askForFits();
}

/** What a sweep file asks: the paragraph `Question` of the comment at its top. */
function drawQuestion(source) {
  const lines = source.split("\n");
  const end = lines.findIndex((line) => !line.startsWith("#"));
  const head = lines.slice(0, end < 0 ? lines.length : end).map((line) => line.slice(1));
  const begin = head.findIndex((line) => /^\s*Question\b/.test(line));
  const rest = head.slice(begin + 1);
  const stop = rest.findIndex((line) => !/^\s{3,}\S/.test(line));
  const asked = begin < 0 ? [] : [head[begin].replace(/^\s*Question:?/, ""), ...rest.slice(0, stop < 0 ? rest.length : stop)];
  $("question").hidden = asked.length === 0;
  $("question").textContent = asked.map((line) => line.trim()).join(" ");
}

async function askForFits() {
  const { trials } = known;
  if (trials === null) return;
  const here = place.read();
  const y = metric(here);
  const wanted = [known.name, ...others(here)].filter((name) => known.sweeps.some((sweep) => sweep.name === name));
  const mine = (askForFits.last = {});
  const { signal } = asking;
  const ask = async (name) => {
    const fit = await api.fit(name, { y, target: here.target }, signal).catch((error) => ({ error: error.message }));
    return [name, { ...fit, y }];
  };
  const fits = await Promise.all(wanted.map(ask));
  // A later question has another metric, target or sweep.
  if (signal.aborted || mine !== askForFits.last || trials !== known.trials) return;
  known.fits = new Map(fits);
  drawScaling();
  drawFit();
}

// ---- drawing

const metric = (here) => (known.trials?.metrics.includes(here.y) ? here.y : known.trials?.main ?? "val_error");
const others = (here) => place.compared(here).filter((name) => name !== known.name);

function drawSweeps() {
  const here = place.read();
  $("store").textContent = known.store;
  const compare = (name, isOn) => {
    const rest = place.compared(place.read()).filter((other) => other !== name);
    const names = isOn ? [...rest, name] : rest;
    place.go({ compare: names.length === 0 ? "" : JSON.stringify(names) });
  };
  drawList(known.sweeps, known.name, place.compared(here), compare);
  const sweep = known.sweeps.find(({ name }) => name === known.name);
  if (sweep) drawTotals(sweep);
}

function drawSweep() {
  const { trials } = known;
  if (trials !== null) requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("trials-drawn")));
  $("sweep").hidden = trials === null;
  document.title = trials === null ? "isoflop" : `${known.name} · isoflop`;
  $("name").textContent = known.name;
  drawSweeps();
  if (trials === null) return;
  const here = place.read();
  fill($("y"), trials.metrics.length > 0 ? trials.metrics.map((name) => [name, named(name)]) : [["val_error", named("val_error")]], metric(here));
  fill($("x"), X_AXES.map((name) => [name, named(name)]), here.x);
  const colours = [["shape", "size"], ["unique_examples", "data"], ["seed", "seed"], ["learning_rate", "learning rate"]];
  if (trials.hasVariants) colours.splice(1, 0, ["variant", "variant"]);
  if (trials.hasFamilies) colours.splice(1, 0, ["family", "family"]);
  fill($("colour"), colours, here.colour);
  fill($("state"), [["", "all"], ...STATES.map((state) => [state, state])], known.only);
  known.paint = fill($("paint"), [["state", "by state"], ...trials.metrics.map((name) => [name, named(name)]), ["device_s", named("device_s")], ["learning_rate", named("learning_rate")]], known.paint);
  known.across = fill($("across"), ACROSS.map((name) => [name, named(name)]), known.across || fewest(trials, ACROSS));
  $("x-log").checked = here.xlog === "1";
  $("y-log").checked = here.ylog === "1";
  drawTrials();
  drawScaling();
  drawFit();
}

function drawTrials() {
  const isTable = place.read().view === "table";
  $("grid-view").hidden = isTable;
  for (const control of document.querySelectorAll(".of-grid")) control.hidden = isTable;
  $("table-view").hidden = !isTable;
  $("as-grid").setAttribute("aria-pressed", String(!isTable));
  $("as-table").setAttribute("aria-pressed", String(isTable));
  if (isTable) table.show(known.trials, known.only);
  else grid.show(known.trials, { by: known.paint, only: known.only, across: known.across });
}

/** What a trial's colour stands for: [key, label], the keys in order. */
function kinds(by) {
  const { trials } = known;
  if (by === "shape" || by === "family" || by === "variant") {
    const label = (group) => (by === "shape" ? [group.variant, trials.hasFamilies ? group.family : null, group.shape].filter((part) => part !== null).join(" ") : group[by] ?? "none");
    const inOrder = [...trials.groups].sort((a, b) => a.params - b.params);
    const keys = [...new Set(inOrder.map(label))];
    return { keys, labels: keys, of: (i) => label(trials.group(i)) };
  }
  const keys = trials.distinct(by);
  const format = by === "learning_rate" ? short : count;
  return { keys, labels: keys.map(format), of: (i) => trials.value(by, i) };
}

function drawScaling() {
  const { trials } = known;
  if (trials === null) return;
  const here = place.read();
  const [x, y] = [$("x").value, metric(here)];
  const [xLog, yLog] = [here.xlog === "1", here.ylog === "1"];
  const { keys, labels, of } = kinds($("colour").value);
  const tints = new Map(keys.map((key, i) => [key, ordered(i, keys.length)]));
  const largest = Math.max(...trials.columns.unique_examples);
  const isShown = (value, log) => value !== null && Number.isFinite(value) && (!log || value > 0);
  const points = [];
  const present = new Set();
  for (let i = 0; i < trials.length; i += 1) {
    const [px, py] = [trials.value(x, i), trials.value(y, i)];
    if (!isShown(px, xLog) || !isShown(py, yLog)) continue;
    const key = of(i);
    present.add(key);
    if (known.hidden.has(key)) continue;
    points.push({
      x: px, y: py, colour: tints.get(key), trial: trials.columns.id[i], title: trials.title(i),
      form: trials.columns.unique_examples[i] === largest ? "full" : "hollow",
      pairs: () => pairsOf(trials, i, x, y),
    });
  }
  const { lines, bands } = x === FITTED ? overlays(y) : { lines: [], bands: [] };
  scaling.show({ points, lines, bands, x, y, sweep: known.name }, { xLog, yLog });
  $("zoom-forecast").hidden = bands.length === 0;
  drawLegend(keys, labels, tints, present, trials.distinct("unique_examples").length > 1);
}

/** Of the sweep its band and frontier; of others theirs, in other colours. */
function overlays(y) {
  const lines = [];
  const bands = [];
  [...known.fits].filter(([, fit]) => fit.y === y).forEach(([name, fit], i) => {
    if (known.hidden.has(`fit ${name}`)) return;
    const tint = overlayColour(name, i);
    if (fit.forecast) {
      const { x, y, low, high } = fit.forecast;
      bands.push({ points: x.map((x, j) => [x, low[j], high[j]]), colour: name === known.name ? colour("band") : `color-mix(in srgb, ${tint} 14%, transparent)` });
      lines.push({ points: x.map((x, j) => [x, y[j]]), colour: tint, dash: [7, 4] });
    }
    if (fit.frontier?.length > 1) lines.push({ points: fit.frontier, colour: name === known.name ? colour("frontier") : tint, width: 1.3 });
  });
  return { lines, bands };
}

const OTHERS = ["running", "diverged", "finished", "failed"];
const overlayColour = (name, i) => (name === known.name ? colour("fit") : colour(OTHERS[(i - 1 + OTHERS.length) % OTHERS.length]));

function drawLegend(keys, labels, tints, present, hasSmaller) {
  const toggle = (key) => () => {
    if (!known.hidden.delete(key)) known.hidden.add(key);
    drawScaling();
  };
  const item = (key, label, mark) =>
    el("li", {}, el("button", { type: "button", "aria-pressed": String(!known.hidden.has(key)), title: "show or hide", onclick: toggle(key) }, mark, label));
  const sizes = keys.length <= 24 ? keys.filter((key) => present.has(key)).map((key) => item(key, labels[keys.indexOf(key)], dot(tints.get(key)))) : [];
  const fits = [...known.fits].map(([name, fit], i) => [name, fit, i]).filter(([, fit]) => fit.frontier?.length > 1 && $("x").value === FITTED);
  const lines = fits.map(([name, fit, i]) => {
    const what = fit.forecast ? `frontier and forecast` : "frontier";
    return item(`fit ${name}`, name === known.name ? what : `${name}: ${what}`, stroke(overlayColour(name, i)));
  });
  const note = hasSmaller ? [el("li", { class: "muted" }, "hollow: fewer unique examples")] : [];
  redrawn($("legend"), ...sizes, ...lines, ...note);
}

function mark(paint) {
  const canvas = el("canvas", { width: 28, height: 28, "aria-hidden": "true" });
  paint(canvas.getContext("2d"));
  return canvas;
}

const dot = (tint) => mark((context) => {
  context.fillStyle = tint;
  context.arc(14, 14, 9, 0, 2 * Math.PI);
  context.fill();
});

const stroke = (tint) => mark((context) => {
  context.fillStyle = tint;
  context.fillRect(0, 11, 28, 6);
});

function drawFit() {
  const fits = [...known.fits];
  $("answer").textContent = answers(fits);
  redrawn($("fit"), ...fits.map(([name, fit]) => describe(name, fit, fits.length > 1)));
}

function answers(fits) {
  const given = fits.filter(([, fit]) => fit.target);
  const said = given.map(([name, fit]) => `${fits.length > 1 ? `${name}: ` : ""}${named(fit.y)} ${answer(fit.target)}`);
  return said.join("; ") || fits.find(([, fit]) => fit.error)?.[1].error || "";
}

function describe(name, fit, isOneOfMany) {
  if (fit.error) return el("div", {});
  const head = isOneOfMany ? [el("h3", {}, name)] : [];
  if (fit.too_few) return el("div", {}, ...head, el("p", { class: "muted" }, fit.too_few));
  const row = (law) =>
    el("tr", {}, el("td", { class: "text" }, law.law), el("td", { class: "text" }, law.formula), el("td", { class: "text wrap" }, ...law.params.flatMap((param) => [el("span", { class: "mono" }, `${param.name} = ${interval(param.value, param.low, param.high)}`), " "])), el("td", {}, law.holdout === null ? "–" : `${short(100 * law.holdout)}%`));
  const heads = [["law", true], ["formula", true], ["parameters, 95% intervals", true], ["error on the held-out end", false]];
  const laws = fit.laws.length === 0 ? [] : [el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": `Fitted laws of ${name}` }, el("table", {}, el("thead", {}, el("tr", {}, ...heads.map(([label, text]) => el("th", { scope: "col", class: text ? "text" : null }, label)))), el("tbody", {}, ...fit.laws.map(row))))];
  const warnings = [...new Set([...fit.notes, ...fit.laws.flatMap((law) => law.warnings.map((warning) => `${law.law}: ${warning}`))])];
  const doubts = warnings.length === 0 ? [] : [el("ul", { class: "warnings", "aria-label": "What to doubt" }, ...warnings.map((warning) => el("li", {}, warning)))];
  const about = `Forecast from ${fit.n_points} points on the frontier, averaged over curves, with a ${Math.round(100 * fit.level)}% interval for a measurement. Laws fitted to the same points:`;
  return el("div", {}, ...head, el("p", { class: "muted small" }, about), ...laws, ...doubts);
}

// ---- what the reader does

function follow() {
  const here = place.read();
  panel.show(here.trial);
  if (document.activeElement !== $("target")) $("target").value = here.target;
  // The newest, and it stays that one when another begins.
  const name = here.sweep || known.sweeps.at(-1)?.name;
  if (here.sweep === "" && name !== undefined) return place.go({ sweep: name });
  if (name === undefined) {
    $("sweep").hidden = true;
    $("name").textContent = known.store;
    problem("page", "The store has no sweeps yet: isoflop sweep FILE makes one. This page will show it.");
    if (stream === null) listen();
    return;
  }
  if (name !== known.name) {
    known.name = name;
    load(name);
    return;
  }
  const wanted = JSON.stringify([metric(here), here.target, here.compare]);
  drawSweep();
  if (wanted !== follow.asked) askForFits();
  follow.asked = wanted;
}

const choose = (id, key) => $(id).addEventListener("change", (event) => {
  known.hidden.clear();
  place.go({ [key]: event.target.value });
});
choose("x", "x");
choose("y", "y");
choose("colour", "colour");
$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  place.go({ target: $("target").value.trim() });
});
$("x-log").addEventListener("change", (event) => place.go({ xlog: event.target.checked ? "1" : "0" }));
$("y-log").addEventListener("change", (event) => place.go({ ylog: event.target.checked ? "1" : "0" }));
$("as-grid").addEventListener("click", () => place.go({ view: "grid" }));
$("as-table").addEventListener("click", () => place.go({ view: "table" }));
$("state").addEventListener("change", (event) => ((known.only = event.target.value), drawTrials()));
$("across").addEventListener("change", (event) => ((known.across = event.target.value), drawTrials()));
$("paint").addEventListener("change", (event) => ((known.paint = event.target.value), drawTrials()));
$("zoom-in").addEventListener("click", () => scaling.zoom(0.7));
$("zoom-out").addEventListener("click", () => scaling.zoom(1 / 0.7));
$("zoom-all").addEventListener("click", () => scaling.showAll());
$("zoom-forecast").addEventListener("click", () => scaling.showForecast());
document.addEventListener("theme", () => known.trials && (drawSweeps(), drawScaling(), drawFit()));
document.addEventListener("keydown", (event) => event.key === "Escape" && place.read().trial !== "" && place.go({ trial: "" }, true));
addEventListener("place", follow);

// The sweep that the address names is asked for at once, beside the list.
const first = place.read().sweep;
if (first) load(first);
try {
  hear.sweeps(await api.sweeps());
  follow();
} catch (error) {
  problem("stream", error.message);
  if (stream === null) listen();
}
