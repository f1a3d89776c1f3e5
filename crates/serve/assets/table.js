// The trials as a table: what the grid and the plot show, for reading, sorting and screen readers.

import { el, redrawn } from "./dom.js";
import { count, duration, exact, named, short } from "./format.js";
import { STATES, stateMark } from "./palette.js";

const PER_PAGE = 100;

export class Table {
  constructor(root, open) {
    Object.assign(this, { root, open, page: 0, sort: { by: "train_flops", down: false }, only: "" });
    this.wide = el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Table of trials" });
    this.pages = el("div", { class: "pages" });
    root.append(this.wide, this.pages);
  }

  show(trials, only) {
    if (trials !== this.trials || only !== this.only) this.page = 0;
    Object.assign(this, { trials, only });
    this.draw();
  }

  rows() {
    const { trials, sort } = this;
    const all = Array.from({ length: trials.length }, (_, i) => i);
    const wanted = this.only === "" ? all : all.filter((i) => STATES[trials.columns.state[i]] === this.only);
    const value = (i) => (sort.by === "shape" ? trials.title(i) : trials.value(sort.by, i));
    const keys = new Map(wanted.map((i) => [i, value(i)]));
    const sign = sort.down ? -1 : 1;
    // What is missing comes last, whichever way.
    const compare = (a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (typeof x === "string" ? x.localeCompare(y, "en", { numeric: true }) : x - y);
    };
    return wanted.sort(compare);
  }

  columns() {
    const { trials } = this;
    const { columns } = trials;
    const number = (name, format) => ({ name, cell: (i) => format(trials.value(name, i)) });
    const state = (i) => el("span", { class: "state" }, stateMark(columns.state[i]), STATES[columns.state[i]]);
    const button = (i) => el("button", { type: "button", class: "id", onclick: () => this.open(columns.id[i]) }, columns.id[i].slice(0, 8));
    return [
      { name: "id", label: "trial", text: true, cell: button },
      { name: "shape", label: "size", text: true, cell: (i) => trials.title(i) },
      { name: "state", text: true, cell: state },
      number("params", count),
      number("unique_examples", count),
      number("examples_seen", count),
      number("train_flops", short),
      number("learning_rate", short),
      number("seed", exact),
      ...trials.metrics.map((metric) => number(metric, short)),
      number("device_s", (s) => (s === null ? "–" : duration(s))),
    ];
  }

  draw() {
    const rows = this.rows();
    const pages = Math.max(1, Math.ceil(rows.length / PER_PAGE));
    this.page = Math.min(this.page, pages - 1);
    const columns = this.columns();
    const head = columns.map(({ name, label, text }) => {
      const isSorted = this.sort.by === name;
      const arrow = isSorted ? (this.sort.down ? " ↓" : " ↑") : "";
      const sortBy = () => {
        this.sort = { by: name, down: isSorted && !this.sort.down };
        this.draw();
      };
      const attributes = { scope: "col", class: text ? "text" : null, "aria-sort": isSorted ? (this.sort.down ? "descending" : "ascending") : null };
      return el("th", attributes, el("button", { type: "button", onclick: sortBy }, (label ?? named(name)) + arrow));
    });
    const shown = rows.slice(this.page * PER_PAGE, (this.page + 1) * PER_PAGE);
    const body = shown.map((i) => el("tr", {}, ...columns.map(({ cell, text }) => el("td", { class: text ? "text" : null }, cell(i)))));
    const turn = (by) => () => {
      this.page += by;
      this.draw();
    };
    redrawn(this.pages,
      el("button", { type: "button", disabled: this.page === 0, onclick: turn(-1) }, "previous"),
      el("span", {}, `${count(rows.length)} trials, page ${this.page + 1} of ${pages}`),
      el("button", { type: "button", disabled: this.page >= pages - 1, onclick: turn(1) }, "next"));
    const table = el("table", {}, el("caption", { class: "unseen" }, "Trials"), el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body));
    redrawn(this.wide, table);
  }
}
