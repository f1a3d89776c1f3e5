// What the server says. Everything is a GET of the same origin.

export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function get(path, signal) {
  const response = await fetch(path, { signal, cache: "no-store" });
  if (response.ok) return response;
  const said = await response.json().catch(() => ({ error: response.statusText }));
  throw new Refusal(response.status, said.error);
}

const json = async (path, signal) => (await get(path, signal)).json();
const name = encodeURIComponent;

export const sweeps = () => json("/api/sweeps");
export const sweep = (sweep, signal) => json(`/api/sweeps/${name(sweep)}`, signal);
export const trial = (id, signal) => json(`/api/trials/${name(id)}`, signal);

export function fit(sweep, { y, variant, target }, signal) {
  const query = new URLSearchParams({ y });
  if (variant) query.set("variant", variant);
  if (target) query.set("target", target);
  return json(`/api/sweeps/${name(sweep)}/fit?${query}`, signal);
}

export async function log(trial, segment, attempt) {
  const response = await get(`/api/trials/${name(trial)}/logs/${name(segment)}/${attempt}`);
  return response.text();
}

/**
 * The stream of what changes: the list of sweeps, and the trials of one of them since `mark`. The
 * browser connects again by itself, and says the last mark that it has seen.
 */
export function events(sweep, mark, on) {
  const query = new URLSearchParams();
  if (sweep !== null) {
    query.set("sweep", sweep);
    query.set("since", mark);
  }
  const source = new EventSource(`/api/events?${query}`);
  source.onopen = () => on.link("live");
  source.onerror = () => on.link(source.readyState === EventSource.CLOSED ? "lost" : "connecting");
  for (const kind of ["sweeps", "trials", "reset", "problem"]) {
    source.addEventListener(kind, (event) => on[kind](JSON.parse(event.data)));
  }
  return source;
}
