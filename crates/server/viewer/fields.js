// All fields of an event as a tree, to read, copy and search by.

import { isHidden } from "./diff.js";
import { copyButton, h, value } from "./dom.js";
import { Filters } from "./filters.js";
import { dayAndClock, fraction } from "./prefs.js";

// Fields whose values are filters.
const SEARCHABLE = new Map([
  ["id", "id"],
  ["tenant", "tenant"],
  ["category", "category"],
  ["action", "action"],
  ["severity", "severity"],
  ["outcome", "outcome"],
  ["actor.id", "actor"],
  ["actor.name", "actor"],
  ["on_behalf_of.id", "on_behalf_of"],
  ["resource.type", "resource"],
  ["context.ip", "ip"],
  ["context.request_id", "request_id"],
  ["context.correlation_id", "correlation_id"],
  ["context.session_id", "session_id"],
  ["context.trace_id", "trace_id"],
  ["origin", "origin"],
]);
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;
const OPEN_ENTRIES = 40;

/** The tree; `marks` has notes by path (masked, cut, not understood). */
export function fieldTree(event, marks) {
  return h(
    "div",
    { class: "fields-tree", id: "fields" },
    Object.entries(event).map(([key, json]) => node(key, json, key, marks, 0)),
  );
}

function node(key, json, path, marks, depth) {
  const mark = marks.get(path);
  const note = mark && h("span", { class: "field-note" }, mark);
  if (json !== null && typeof json === "object") {
    const entries = Object.entries(json);
    const kind = Array.isArray(json)
      ? entries.length === 1
        ? "1 entry"
        : `${entries.length} entries`
      : entries.length === 0
        ? "empty"
        : "";
    return h(
      "details",
      {
        class: "field-group",
        open: depth < 4 && entries.length <= OPEN_ENTRIES,
        "data-testid": "field",
        "data-path": path,
      },
      h("summary", {}, value(key, { class: "field-key" }, 200), kind && h("span", { class: "quiet" }, kind), note),
      h(
        "div",
        { class: "field-children" },
        entries.map(([inner, each]) => node(inner, each, `${path}.${inner}`, marks, depth + 1)),
      ),
    );
  }
  const text = typeof json === "string" ? json : String(json);
  const filter = SEARCHABLE.get(path);
  const search = filter && !isHidden(json) && filterAddress(filter, text);
  const isTime = typeof json === "string" && TIME.test(text);
  return h(
    "div",
    { class: "field-row", "data-testid": "field", "data-path": path },
    value(key, { class: "field-key" }, 200),
    h(
      "span",
      { class: `field-value ${typeof json === "bigint" ? "number" : typeof json}` },
      value(json === "" ? "“”" : text, { class: "mono" }, 20_000),
      isTime && h("span", { class: "quiet field-time" }, `${dayAndClock(new Date(text))}.${fraction(text)}`),
      note,
    ),
    h(
      "span",
      { class: "field-tools" },
      search &&
        h(
          "a",
          {
            class: "button plain",
            href: search,
            "data-testid": "filter-by",
            "data-name": filter,
            title: "Find events with this value",
            "aria-label": `Find events with this ${key}`,
          },
          "=",
        ),
      copyButton(() => text, { label: `Copy ${key}`, "data-testid": "copy" }),
    ),
  );
}

function filterAddress(name, text) {
  return `?${new Filters([[name, name === "id" && /^\d+$/.test(text) ? `id:${text}` : text]])}`;
}

/** What the trail did to fields, by path. */
export function marksOf(event) {
  const marks = new Map();
  for (const path of event.masked ?? []) marks.set(path, "masked before it was written");
  for (const cut of event.truncated ?? []) if (cut?.path) marks.set(cut.path, `cut; it had ${cut.length} bytes`);
  for (const path of Array.isArray(event.invalid) ? event.invalid : [])
    marks.set(path, "not as sent; see details._invalid");
  return marks;
}
