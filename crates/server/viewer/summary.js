// Counts loaded events as `/v1/summary` would, so that a search through all text is not repeated.

const TOP = 10;

/** How many values of each field are asked for: also each that is chosen, so that it has its number. */
export const topOf = (filters) => Math.max(TOP, ...Object.keys(FIELDS).map((name) => filters.all(name).length));
const FIELDS = {
  action: (event) => event.action,
  actor: (event) => event.actor?.id ?? event.actor?.name,
  category: (event) => event.category,
  outcome: (event) => event.outcome || "none",
  severity: (event) => event.severity,
  tenant: (event) => event.tenant,
  resource_type: (event) => event.resource?.type,
  ip: (event) => event.context?.ip,
};

/** The summary of these events in the API's format; its bars are a second wide. */
export function summaryOf(events, top = TOP) {
  const summary = { total: events.length, bucket_seconds: 1, histogram: [] };
  for (const [name, read] of Object.entries(FIELDS)) {
    const counts = [...counted(events.map(read))].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    const names = name === "actor" ? namesOf(events) : new Map();
    summary[`by_${name}`] = counts.slice(0, top).map(([value, count]) => {
      const own = names.get(value);
      return own === undefined ? { value, count } : { value, name: own, count };
    });
  }
  const seconds = counted(events.map((event) => Math.floor(effective(event) / 1000)));
  const bars = [...seconds].filter(([second]) => Number.isFinite(second)).sort((a, b) => a[0] - b[0]);
  summary.histogram = bars.map(([second, count]) => ({ start: new Date(second * 1000).toISOString(), count }));
  return summary;
}

// An event counts as of its time, but never of one after it was recorded.
const effective = ({ time, recorded }) => Math.min(...[time, recorded].map((text) => Date.parse(text)).filter((at) => !Number.isNaN(at)));

// The name of each actor's id: the newest, since the newest event comes first.
function namesOf(events) {
  const names = new Map();
  for (const { actor } of events) if (actor?.id !== undefined && actor.name && !names.has(actor.id)) names.set(actor.id, actor.name);
  return names;
}

function counted(values) {
  const counts = new Map();
  for (const value of values) if (value !== undefined) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}
