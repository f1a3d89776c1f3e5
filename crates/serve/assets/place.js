// Where the reader is, kept in the address after #: it can be kept, sent and gone back to, and the
// server does not see it.

const DEFAULTS = { sweep: "", trial: "", x: "train_flops", y: "", colour: "shape", target: "", compare: "", xlog: "1", ylog: "1", view: "grid" };

export function read() {
  const said = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(Object.entries(DEFAULTS).map(([key, value]) => [key, said.get(key) ?? value]));
}

function write(place) {
  const said = Object.entries(place).filter(([key, value]) => value !== DEFAULTS[key]);
  return `#${new URLSearchParams(said)}`;
}

export const link = (changes) => write({ ...read(), ...changes });

/** `step`: worth going back to, as another sweep or a trial is. */
export function go(changes, step = false) {
  const to = link(changes);
  if (to === location.hash || (to === "#" && location.hash === "")) return;
  if (step) history.pushState(null, "", to);
  else history.replaceState(null, "", to);
  dispatchEvent(new Event("place"));
}

addEventListener("popstate", () => dispatchEvent(new Event("place")));

/** Names of sweeps to compare; a name may hold anything, so they are JSON. */
export function compared(place) {
  try {
    const names = JSON.parse(place.compare || "[]");
    return Array.isArray(names) ? names.filter((name) => typeof name === "string") : [];
  } catch {
    return [];
  }
}
