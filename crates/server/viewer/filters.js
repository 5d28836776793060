// The filters of a search: their names, and how they are stored in the address.

/** Every filter of the API, in the order in which the panel shows them. */
export const FIELDS = [
  { name: "actor", label: "Actor", hint: "id or name", facet: "actor" },
  { name: "action", label: "Action", hint: "invoice.* or *.delete", facet: "action" },
  { name: "resource", label: "Resource", hint: "type or type/id", facet: "resource_type" },
  { name: "tenant", label: "Tenant", facet: "tenant" },
  {
    name: "category",
    label: "Category",
    facet: "category",
    options: [
      "authentication",
      "authorization",
      "secret_access",
      "config_change",
      "data_access",
      "data_change",
      "workflow",
      "step",
      "admin",
      "system",
    ],
  },
  {
    name: "outcome",
    label: "Outcome",
    facet: "outcome",
    // None: events without an outcome.
    options: ["success", "failure", "denied", "partial", "unknown", "none"],
  },
  {
    name: "severity",
    label: "Severity",
    facet: "severity",
    options: ["debug", "info", "notice", "warning", "error", "critical"],
  },
  { name: "on_behalf_of", label: "On behalf of", hint: "id" },
  { name: "ip", label: "IP address" },
  { name: "id", label: "Event id or index" },
  { name: "request_id", label: "Request id" },
  { name: "correlation_id", label: "Correlation id" },
  { name: "session_id", label: "Session id" },
  { name: "trace_id", label: "Trace id" },
  { name: "origin", label: "Origin", hint: "the trail’s name" },
];

/** Those that have only one value. */
export const SINGLE = ["text", "since", "until", "recorded_since", "recorded_until", "system", "order", "order_by"];

/** Those that determine how the list is shown, not what is in it. */
export const VIEW = ["order", "order_by"];

const LABELS = new Map([
  ...FIELDS.map((field) => [field.name, field.label]),
  ["text", "Text"],
  ["since", "Since"],
  ["until", "Until"],
  ["recorded_since", "Recorded since"],
  ["recorded_until", "Recorded until"],
  ["system", "The trail’s own events"],
  ["order", "Order"],
  ["order_by", "Ordered by"],
]);

export const NAMES = [...LABELS.keys()];

export const labelOf = (name) => LABELS.get(name) ?? name;

/** The time spans that are one click away. */
export const SPANS = [
  ["15m", "15 minutes"],
  ["1h", "1 hour"],
  ["24h", "24 hours"],
  ["7d", "7 days"],
  ["30d", "30 days"],
  ["", "All time"],
];

/** A search: an immutable set of `[name, value]`. */
export class Filters {
  constructor(pairs = []) {
    this.pairs = [];
    for (const [name, value] of pairs) {
      const known = LABELS.has(name) && value !== "";
      const twice = this.pairs.some(([n, v]) => n === name && (v === value || SINGLE.includes(name)));
      if (known && !twice) this.pairs.push([name, value]);
    }
  }

  static fromAddress(search = location.search) {
    return new Filters(new URLSearchParams(search));
  }

  all(name) {
    return this.pairs.filter(([each]) => each === name).map(([, value]) => value);
  }

  get(name) {
    return this.all(name)[0] ?? "";
  }

  has(name, value) {
    return this.pairs.some(([n, v]) => n === name && v === value);
  }

  /** Whether the list is ordered by recording instead of by time. */
  get isByRecording() {
    return this.get("order_by") === "recorded";
  }

  /** What the list is ordered by, in words. */
  get orderInWords() {
    const isOldestFirst = this.get("order") === "asc";
    if (this.isByRecording) return isOldestFirst ? "first recorded first" : "last recorded first";
    return isOldestFirst ? "oldest first" : "newest first";
  }

  get isEmpty() {
    return this.pairs.length === 0;
  }

  /** With one more value, or with another value in place of a single one. */
  with(name, value) {
    const others = SINGLE.includes(name) ? this.without(name).pairs : this.pairs;
    return new Filters([...others, [name, value]]);
  }

  /** Without a value, or without all of that name. */
  without(name, value) {
    return new Filters(this.pairs.filter(([n, v]) => n !== name || (value !== undefined && v !== value)));
  }

  toggled(name, value) {
    return this.has(name, value) ? this.without(name, value) : this.with(name, value);
  }

  between(since, until) {
    return this.without("since").without("until").with("since", since).with("until", until);
  }

  /** The query for the API; `except` leaves names out. */
  query(except = []) {
    return this.pairs.filter(([name]) => !except.includes(name));
  }

  toString() {
    return new URLSearchParams(this.pairs).toString();
  }
}

const AGE = /^(\d+)([smhdw])$/;
const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** The time of `since` or `until`, in milliseconds; null if it is not set or cannot be parsed. */
export function instant(text, now = Date.now()) {
  const age = AGE.exec(text);
  if (age) return now - Number(age[1]) * SECONDS[age[2]] * 1000;
  const time = Date.parse(/^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00:00Z` : text);
  return Number.isNaN(time) ? null : time;
}

/** Converts a typed time for the API. A time without a zone is in the displayed zone. */
export function typedTime(text, zone) {
  const typed = text.trim();
  const match = /^(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)$/.exec(typed);
  if (!match) return typed;
  const date = new Date(`${match[1]}T${match[2]}${zone === "utc" ? "Z" : ""}`);
  return Number.isNaN(date.getTime()) ? typed : date.toISOString();
}

/** Parses the search field: `name:value` and `name:"a value"` are filters, the rest is text. */
export function typedSearch(typed, filters) {
  let next = filters.without("text");
  const rest = typed
    .replace(/(?:^|\s)([a-z_]+):(?:"([^"]*)"|(\S+))/g, (whole, name, quoted, plain) => {
      const value = quoted ?? plain;
      if (!LABELS.has(name) || name === "text" || value === "") return whole;
      next = next.with(name, value);
      return "";
    })
    .trim();
  return rest ? next.with("text", rest) : next;
}
