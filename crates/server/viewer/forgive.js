// What people type, understood: parts of names in any case, fields that are almost right. The values come from the
// server, once for each field, and are compared here, so that nothing is asked with each key.

import { askJson } from "./api.js";
import { FIELDS, NAMES, TIMES } from "./filters.js";

// More values than this are asked for by what was typed.
const VALUES_MAX = 1000;
const KEPT_MS = 60_000;
// What is younger is not asked again for a value that it does not have.
const SETTLED_MS = 2000;
// More matches are not all meant.
const MATCHES_MAX = 20;
const DIFFER_MAX = 2;

// What other products call our fields.
const ALIASES = {
  user: "actor",
  who: "actor",
  by: "actor",
  event: "action",
  verb: "action",
  object: "resource",
  target: "resource",
  type: "resource",
  address: "ip",
  status: "outcome",
  result: "outcome",
  level: "severity",
  from: "since",
  after: "since",
  to: "until",
  before: "until",
  org: "tenant",
  customer: "tenant",
  email: "actor",
  verdict: "outcome",
  date: "since",
  request: "request_id",
  correlation: "correlation_id",
  session: "session_id",
  trace: "trace_id",
};

/** The field that is written almost like this, or null. */
export function nearestName(name) {
  if (Object.hasOwn(ALIASES, name)) return ALIASES[name];
  const rank = (known) => [distance(name, known), -alike(name, known), known];
  const [best] = NAMES.map(rank).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  return best[0] <= DIFFER_MAX && best[0] < name.length ? best[2] : null;
}

/** The `name:` in a typed search that is no field, with the nearest one; null if there is none. */
export function unknownName(typed) {
  for (const [, name, rest] of typed.matchAll(/(?:^|\s)([a-z_]{2,}):(\S+)/gi)) {
    if (!NAMES.includes(name.toLowerCase()) && !rest.startsWith("//")) return { name, nearest: nearestName(name.toLowerCase()) };
  }
  return null;
}

// How many letters are the same from both ends.
function alike(a, b) {
  let [front, back] = [0, 0];
  while (front < Math.min(a.length, b.length) && a[front] === b[front]) front += 1;
  while (back < Math.min(a.length, b.length) - front && a.at(-1 - back) === b.at(-1 - back)) back += 1;
  return front + back;
}

// Letters to insert, remove, replace, or swap with their neighbour.
function distance(a, b) {
  let [before, last] = [[], Array.from({ length: b.length + 1 }, (_, at) => at)];
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const differs = a[i - 1] === b[j - 1] ? 0 : 1;
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + differs);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    [before, last] = [last, row];
  }
  return last[b.length];
}

const kept = new Map();

/**
 * Values of a filter with `part` in them or in their name, most frequent first: `[{value, name, count}]`. `system`: also those
 * of the trail's own events.
 */
export async function valuesOf(name, part, options) {
  const [found] = await valuesOfEach(name, [part], { ...options, settledMs: SETTLED_MS });
  return found;
}

// What `valuesOf` answers, for each of `parts`. Values that are older than `settledMs` are asked for again if a part has none.
async function valuesOfEach(name, parts, { signal, system = false, settledMs }) {
  const field = FIELDS.find((each) => each.name === name);
  const matching = (values) => parts.map((part) => withPart(values, part));
  if (TIMES.includes(name)) {
    const words = ["today", "yesterday", "this week", "last week", "this month", "last month", "24h", "7d", "30d"];
    return matching(words.map((value) => ({ value })));
  }
  if (field?.options && !field.facet) return matching(field.options.map((value) => ({ value })));
  if (!field?.facet) return matching([]);
  const key = `${field.facet} ${system}`;
  const all = [["field", field.facet], ["top", String(VALUES_MAX)], ...(system ? [["system", "true"]] : [])];
  const ask = async (query) => (await askJson("v1/values", { query, signal })).values;
  const refreshed = async () => {
    kept.set(key, { at: Date.now(), values: await ask(all) });
    return kept.get(key).values;
  };
  const old = kept.get(key);
  const age = old ? Date.now() - old.at : Infinity;
  const isKept = age < KEPT_MS;
  let values = isKept ? old.values : await refreshed();
  let found = matching(values);
  const isMissing = found.some((each) => each.length === 0);
  if (isMissing && isKept && age >= settledMs && values.length < VALUES_MAX) {
    values = await refreshed();
    found = matching(values);
  }
  if (values.length < VALUES_MAX) return found;
  return Promise.all(
    parts.map(async (part, at) => {
      const [literal] = part.split("*").sort((a, b) => b.length - a.length);
      return literal === "" ? found[at] : withPart(await ask([...all, ["part", literal]]), part);
    }),
  );
}

function withPart(values, part) {
  const matches = matcher(part);
  return values.filter((each) => matches(each.value) || (each.name !== undefined && matches(each.name)));
}

// A part is anywhere in it; with a star in it, it is the whole.
function matcher(part) {
  const wanted = part.toLowerCase();
  if (!wanted.includes("*")) return (text) => text.toLowerCase().includes(wanted);
  const pieces = wanted.split("*");
  return (text) => {
    const whole = text.toLowerCase();
    const [first, last] = [pieces[0], pieces.at(-1)];
    if (whole.length < first.length + last.length || !whole.startsWith(first) || !whole.endsWith(last)) return false;
    const end = whole.length - last.length;
    let at = first.length;
    for (const piece of pieces.slice(1, -1)) {
      at = whole.indexOf(piece, at);
      if (at < 0 || at + piece.length > end) return false;
      at += piece.length;
    }
    return true;
  };
}

/** Forgets the values, as those of another token. */
export const forgetValues = () => kept.clear();

/**
 * What was added to `before`, with the values that are meant in the place of a part of them: `{filters, cut}`. If there are
 * more values than are searched for, `cut` says so: `{name, text, count, shown}`.
 */
export async function forgiven(filters, before, signal) {
  let next = filters;
  let cut = null;
  const unclear = filters.pairs.filter(([name, text]) => !before.has(name, text) && isForgiving(name, text));
  const found = await valuesOfAll(unclear, { signal, system: filters.get("system") === "true", settledMs: 0 });
  for (const [name, text] of unclear) {
    const values = found.get(name).get(text);
    const isExact = values.some((each) => each.value === text || each.name === text);
    if (isExact || values.length === 0) continue;
    next = next.without(name, text);
    for (const { value } of values.slice(0, MATCHES_MAX)) next = next.with(name, value);
    if (values.length > MATCHES_MAX) cut = { name, text, count: values.length, shown: MATCHES_MAX };
  }
  return { filters: next, cut };
}

// The values of all pairs, by name and text: all names are asked for at once.
async function valuesOfAll(pairs, options) {
  const names = [...new Set(pairs.map(([name]) => name))];
  const asked = names.map(async (name) => {
    const texts = pairs.filter(([each]) => each === name).map(([, text]) => text);
    const found = await valuesOfEach(name, texts, options).catch((problem) => {
      // Then the search says what is wrong.
      if (problem.name === "AbortError") throw problem;
      return texts.map(() => []);
    });
    return [name, new Map(texts.map((text, at) => [text, found[at]]))];
  });
  return new Map(await Promise.all(asked));
}

const IPV4 = /^(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?$/;
const MAY_BE_IPV6 = /^(?:\[([\da-f:.]+)\](?::\d+)?|([\da-f:.]+))$/i;

function isWholeAddress(text) {
  if (IPV4.test(text)) return true;
  const [, bracketed, plain] = MAY_BE_IPV6.exec(text) ?? [];
  const inner = bracketed ?? plain;
  return inner !== undefined && URL.canParse(`http://[${inner}]/`);
}

// A pattern of an action means what it says, and so does a resource with an id, and a whole address.
function isForgiving(name, text) {
  const field = FIELDS.find((each) => each.name === name);
  if (!field?.facet) return false;
  if (name === "action") return !/[*?]/.test(text);
  if (name === "resource") return !text.includes("/");
  return !(name === "ip" && isWholeAddress(text));
}
