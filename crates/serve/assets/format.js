// Numbers as people read them.

const PREFIXES = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
const SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹";

const superscript = (n) =>
  String(n).replace("-", "⁻").replace(/\d/g, (digit) => SUPERSCRIPT[digit]);

/** Three significant digits: 0.0123, 12.3, 1.23·10¹⁴. */
export function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e5) {
    const [digits, exponent] = value.toExponential(2).split("e");
    const plain = digits.replace(/\.?0+$/, "").replace("-", "−");
    const power = `10${superscript(Number(exponent))}`;
    return plain === "1" ? power : `${plain}·${power}`;
  }
  if (Number.isInteger(value)) return String(value);
  const decimals = Math.min(6, Math.max(0, 2 - Math.floor(Math.log10(size))));
  return value.toFixed(decimals);
}

/** A count: 8192 is 8,192; above a million 3.15M. */
export function count(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1e6) return value.toLocaleString("en");
  const [unit, prefix] = PREFIXES.find(([unit]) => value >= unit);
  return `${Number((value / unit).toPrecision(3))}${prefix}`;
}

/** A seed is a name: every digit counts. */
export const exact = (value) => (value === null || value === undefined ? "–" : String(value));

/** On an axis: as short as it gets. */
export function tick(value) {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size < 1e-3 || size >= 1e6) return short(value);
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(3))}k`;
  return String(Number(value.toPrecision(3)));
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return `${short(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
  return `${short(seconds / 86400)} days`;
}

export const time = (unix) =>
  unix === null || unix === undefined ? "–" : new Date(unix * 1000).toISOString().slice(0, 19).replace("T", " ") + "Z";

export const interval = (value, low, high) =>
  low === null || high === null || low === undefined ? short(value) : `${short(value)} [${short(low)}, ${short(high)}]`;

/** Names of columns and metrics, with their units. */
const NAMES = {
  train_flops: "training FLOPs", params: "parameters", unique_examples: "unique examples",
  examples_seen: "examples seen", steps: "steps", device_s: "device time (s)", learning_rate: "peak learning rate",
  val_error: "validation error", val_loss: "validation loss (nats)", train_loss: "training loss (nats)",
  gradient_norm: "gradient norm", examples_per_s: "examples per second",
};

export const named = (column) => NAMES[column] ?? column.replaceAll("_", " ");
