// The filters of a search: their names, and how they are stored in the address.

import { askedTime, instant, typedTime } from "./times.js";

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
  { name: "ip", label: "Address", facet: "ip" },
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

/** Those that are times. */
export const TIMES = ["since", "until", "recorded_since", "recorded_until"];

/** The time spans that are one click away: from when, until when, and their names. */
export const SPANS = [
  ["15m", "", "Last 15 minutes"],
  ["1h", "", "Last hour"],
  ["24h", "", "Last 24 hours"],
  ["7d", "", "Last 7 days"],
  ["30d", "", "Last 30 days"],
  ["today", "", "Today"],
  ["yesterday", "today", "Yesterday"],
  ["this week", "", "This week"],
  ["last week", "this week", "Last week"],
  ["this month", "", "This month"],
  ["last month", "this month", "Last month"],
  ["", "", "All time"],
];

/** A search: an immutable set of `[name, value]`. */
export class Filters {
  constructor(pairs = []) {
    this.pairs = [];
    for (const [name, value] of pairs) {
      // The trail's own events are left out anyway.
      const known = LABELS.has(name) && value !== "" && !(name === "system" && value === "false");
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

  /** Whether the end is not later than the beginning, so that nothing can match. */
  get isReversed() {
    const clock = { now: Date.now() };
    const ends = [["since", "until"], ["recorded_since", "recorded_until"]].map((pair) => pair.map((name) => instant(this.get(name), clock)));
    return ends.some(([since, until]) => since !== null && until !== null && until <= since);
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

  between(since, until = "") {
    return this.without("since").without("until").with("since", since).with("until", until);
  }

  /** The pairs, without those of the names in `except`. */
  query(except = []) {
    return this.pairs.filter(([name]) => !except.includes(name));
  }

  /** The query for the API, whose times do not depend on the zone shown; `except` leaves names out. */
  asked(except = []) {
    return this.query(except).map(([name, text]) => [name, TIMES.includes(name) ? askedTime(text) : text]);
  }

  /** Whether what they find depends on the zone shown. */
  get dependOnZone() {
    return this.pairs.some(([name, text]) => TIMES.includes(name) && askedTime(text) !== text);
  }

  toString() {
    return new URLSearchParams(this.pairs).toString();
  }
}

// A value after its first quote. Where nobody doubled the backslash at its end, that one belongs to it, too.
const IN_QUOTES = String.raw`"((?:\\[^]|[^"\\])*\\?)`;
const TYPED_FILTER = new RegExp(
  [
    String.raw`(?:^|\s)([a-z_]+):(?:`,
    // Preferably up to a quote that has a blank or nothing behind it.
    String.raw`${IN_QUOTES}"(?!\S)|${IN_QUOTES}"|`,
    // These have a blank, and are meant as a whole.
    String.raw`((?<=\b(?:recorded_)?(?:since|until):)(?:this|last) (?:week|month|year)(?!\S)|\S+)`,
    ")",
  ].join(""),
  "gi",
);
const TYPED_PART = new RegExp(String.raw`(?:^|\s)([a-z_]+):(?:${IN_QUOTES}|(\S*))$`, "i");

const unescaped = (quoted) => quoted.replace(/\\(["\\])/g, "$1");

/** Parses the search field: `name:value` and `name:"a value"` are filters, the rest is text. */
export function typedSearch(typed, filters) {
  let next = filters.without("text");
  const rest = typed
    .replace(TYPED_FILTER, (whole, typedName, ended, quoted = ended, plain) => {
      const name = typedName.toLowerCase();
      const value = plain ?? unescaped(quoted);
      if (name === "text") return ` ${value}`;
      // `system:anonymous` is what many actors are called.
      const isText = name === "system" && !["true", "false"].includes(value);
      if (!LABELS.has(name) || isText || value === "") return whole;
      next = next.with(name, TIMES.includes(name) ? typedTime(value) : value);
      return "";
    })
    .trim();
  return rest ? next.with("text", rest) : next;
}

/** The filter at the end of what is being typed: its name, the part of a value, and where that is written; null if there is none. */
export function typedPart(typed) {
  const found = TYPED_PART.exec(typed);
  if (!found || !LABELS.has(found[1].toLowerCase())) return null;
  const [, name, quoted, plain] = found;
  const from = typed.length - (plain ?? `"${quoted}`).length;
  return { name: name.toLowerCase(), part: plain ?? unescaped(quoted), from };
}

/** A value as the search field reads it. */
export const written = (value) => (/[\s"]/.test(value) ? `"${value.replace(/["\\]/g, "\\$&")}"` : value);
