// The trials of one sweep as columns, and what follows from them. Rows keep their places, so a change
// is an index and what is new there.

export class Trials {
  constructor({ mark, groups, metrics, columns, values }) {
    this.mark = mark;
    this.groups = groups;
    this.metrics = metrics;
    this.columns = columns;
    this.values = values;
    this.length = columns.id.length;
    this.places = new Map(columns.id.map((id, i) => [id, i]));
  }

  /** Of `{mark, rows: [[index, state, device_s, [value of each metric]]]}`; the indices. */
  apply({ mark, rows }) {
    this.mark = mark;
    for (const [i, state, seconds, values] of rows) {
      this.columns.state[i] = state;
      this.columns.device_s[i] = seconds;
      this.metrics.forEach((metric, j) => (this.values[metric][i] = values[j]));
    }
    return rows.map(([i]) => i);
  }

  group(i) {
    return this.groups[this.columns.group[i]];
  }

  /** A column, a metric, or a property of the trial's size. */
  value(name, i) {
    if (name === "params") return this.group(i).params;
    return (this.columns[name] ?? this.values[name])?.[i] ?? null;
  }

  counts() {
    const counts = [0, 0, 0, 0, 0];
    for (const state of this.columns.state) counts[state] += 1;
    return counts;
  }

  /** Different values of a column, ascending. */
  distinct(name) {
    const values = new Set();
    for (let i = 0; i < this.length; i += 1) values.add(this.value(name, i));
    return [...values].sort((a, b) => a - b);
  }

  get hasVariants() {
    return this.groups.some((group) => group.variant !== null);
  }

  get hasFamilies() {
    return this.groups.some((group) => group.family !== this.groups[0].family);
  }

  /** A trial's size, with its variant and family where these differ. */
  title(i) {
    const { shape, family, variant } = this.group(i);
    return [variant, this.hasFamilies ? family : null, shape].filter((part) => part !== null).join(" ");
  }
}
