// The results by kind: each value narrows the search, or widens it again.

import { h, icon, visible } from "./dom.js";
import { compact, number } from "./prefs.js";

const GROUPS = [
  ["outcome", "Outcome", "outcome"],
  ["severity", "Severity", "severity"],
  ["category", "Category", "category"],
  ["action", "Action", "action"],
  ["actor", "Actor", "actor"],
  ["resource_type", "Resource", "resource"],
  ["tenant", "Tenant", "tenant"],
  ["ip", "Address", "ip"],
];
const SHOWN = 6;
// Of these, what is chosen is a value as it is.
const EXACT = ["outcome", "severity", "category", "tenant"];

/** The groups of a summary, marked by its `filters`; `toggle` receives the name and the value that were clicked. */
export function facets(summary, filters, toggle) {
  return GROUPS.map(([facet, label, name]) =>
    group(label, name, summary[`by_${facet}`] ?? [], summary.total, filters, toggle),
  );
}

function group(label, name, values, total, filters, toggle) {
  // A selected value that has no events now can still be removed. A pattern, a name, or an address in another form is none of the
  // values: its number is not known.
  const chosen = filters.all(name).filter((text) => !values.some((each) => each.value === text) && name !== "resource");
  const all = [...chosen.map((text) => ({ value: text, count: total === 0 || EXACT.includes(name) ? 0 : null })), ...values];
  if (all.length === 0) return null;
  const labels = labelsOf(all);
  const item = (each) => row(name, each, labels.get(each.value), total, filters, toggle);
  const rest = all.slice(SHOWN);
  return h(
    "section",
    { class: "facet-group" },
    h("h2", {}, label),
    all.slice(0, SHOWN).map(item),
    rest.length > 0 &&
      h("details", { class: "facet-rest" }, h("summary", {}, h("span", {}, `${rest.length} more`)), rest.map(item)),
  );
}

/** How values are shown: by their names, with the value behind it where several have one name. */
export function labelsOf(values) {
  const times = new Map();
  for (const { name } of values) if (name) times.set(name, (times.get(name) ?? 0) + 1);
  return new Map(
    values.map(({ value, name }) => [value, name && name !== value ? { name, value: times.get(name) > 1 ? value : "" } : { name: value, value: "" }]),
  );
}

function row(name, { value: text, count }, label, total, filters, toggle) {
  const isOn = filters.has(name, text);
  // These have no outcome.
  const isNone = name === "outcome" && text === "none";
  const times = count === null ? "" : number(count);
  const face = h(
    "button",
    {
      type: "button",
      class: "facet",
      "data-testid": "facet",
      "data-name": name,
      "data-value": text,
      "aria-pressed": String(isOn),
      "aria-label": isNone && `No outcome, ${times}`,
      title: `${isNone ? "No outcome" : visible(label.name === text ? text : `${label.name} (${text})`, 300)}${times && ` · ${times}`}`,
      on: { click: () => toggle(name, text) },
    },
    h(
      "span",
      {
        class: `facet-mark ${name === "outcome" || name === "severity" ? `${name}-${text.replace(/[^a-z]/g, "")}` : ""}`,
      },
      isOn && icon("check", 11),
    ),
    isNone
      ? h("span", { class: "facet-name none" }, "—")
      : h(
          "span",
          { class: "facet-name" },
          h("bdi", {}, visible(label.name, 90)),
          label.value && [" ", h("bdi", { class: "facet-id mono" }, visible(label.value, 90))],
        ),
    h("span", { class: "facet-count" }, count === null ? "" : compact(count)),
  );
  face.style.setProperty("--share", `${total > 0 ? Math.max(1, (count / total) * 100) : 0}%`);
  return face;
}
