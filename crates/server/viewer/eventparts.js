// The parts of one event's page: title, notes, facts, what changed, related ids, the raw line.

import { button, copyButton, fill, h, icon, value } from "./dom.js";
import { changesOf, diffTable, isHidden } from "./diff.js";
import { indented, stringify } from "./json.js";
import { lineOf } from "./proof.js";
import { nameOf, outcomeChip, resourceOf, severityMark, timeTag, timing } from "./row.js";
import { ago, fraction, number, timeZone, zoneName } from "./prefs.js";
import { actorAddress, resourceAddress } from "./route.js";

export function title(event) {
  return h(
    "div",
    { class: "event-title" },
    h(
      "div",
      { class: "event-marks" },
      outcomeChip(event.outcome),
      severityMark(event.severity),
      event.category && h("span", { class: "chip" }, value(event.category)),
      event.system && h("span", { class: "chip" }, "the trail’s own"),
    ),
    h("h1", { id: "event-title" }, value(event.action ?? "")),
    event.description && h("p", { class: "lead" }, value(event.description)),
    event.error !== undefined &&
      event.error !== null &&
      h("p", { class: "event-error" }, value(errorText(event.error))),
  );
}

function errorText(error) {
  if (typeof error === "string") return error;
  const { code, message, ...more } = error;
  const rest = Object.keys(more).length > 0 ? stringify(more) : "";
  return typeof error === "object" ? [code, message, rest].filter(Boolean).join(": ") : String(error);
}

export function notes(event) {
  const when = timing(event);
  const lines = [
    event.masked?.length > 0 &&
      `${event.masked.length} ${event.masked.length === 1 ? "value was" : "values were"} masked before anything was written.`,
    event.truncated?.length > 0 && "The event was too large: some fields were cut. Their length and SHA-256 are kept.",
    event.invalid?.length > 0 &&
      `Some fields were invalid and took their defaults: ${event.invalid.join(", ")}.`,
    event.sample_rate !== undefined &&
      event.sample_rate !== 1 &&
      `Sampled: it represents about ${number(Math.round(1 / event.sample_rate))} events.`,
    when.mark === "late" && `${when.says}.`,
    when.mark === "ahead" && `${when.says}. It is ordered by the time of recording.`,
  ].filter(Boolean);
  return (
    lines.length > 0 &&
    h(
      "div",
      { class: "notice" },
      icon("warning"),
      h(
        "div",
        {},
        lines.map((line) => h("p", {}, value(line))),
      ),
    )
  );
}

function fact(label, ...content) {
  const filled = content.flat().filter(Boolean);
  return filled.length > 0 && h("div", { class: "fact" }, h("dt", {}, label), h("dd", {}, filled));
}

export function facts(event) {
  const { actor, resource, on_behalf_of: behalf } = event;
  const resourceText = resourceOf(resource);
  const time = event.time ?? event.recorded;
  return h(
    "dl",
    { class: "facts" },
    fact(
      "Actor",
      actor &&
        (actor.id ?? actor.name) !== undefined && [
          h(
            "a",
            { id: "event-actor", href: actorAddress(actor.id ?? actor.name), title: "Everything this actor did" },
            value(nameOf(actor), {}, 300),
          ),
          actor.name &&
            actor.id &&
            actor.name !== actor.id &&
            h("span", { class: "quiet mono" }, value(actor.id, {}, 300)),
          actor.type && h("span", { class: "quiet" }, value(actor.type)),
          Array.isArray(actor.roles) &&
            actor.roles.length > 0 &&
            h("span", { class: "quiet" }, value(actor.roles.join(", "))),
        ],
    ),
    fact(
      "On behalf of",
      behalf && [value(behalf.id ?? ""), behalf.reason && h("span", { class: "quiet" }, value(behalf.reason))],
    ),
    fact(
      "Resource",
      resourceText && [
        h(
          "a",
          {
            id: "event-resource",
            class: "mono",
            href: resourceAddress(resource.type ?? "", resource.id ?? resource.name ?? ""),
            title: "The history of this resource",
          },
          value(resourceText, {}, 400),
        ),
        resource.name && resource.name !== resource.id && h("span", { class: "quiet" }, value(resource.name, {}, 300)),
      ],
    ),
    fact(
      "Related",
      Array.isArray(event.related) &&
        event.related.map((each) =>
          h(
            "a",
            { class: "mono", href: resourceAddress(each.type ?? "", each.id ?? each.name ?? "") },
            value(resourceOf(each), {}, 300),
          ),
        ),
    ),
    fact(
      "Tenant",
      event.tenant && h("a", { href: `?${new URLSearchParams({ tenant: event.tenant })}` }, value(event.tenant)),
    ),
    fact("Happened", bothZones(time)),
    event.recorded !== time && fact("Recorded", bothZones(event.recorded)),
    fact("Took", event.duration_ms !== undefined && `${number(event.duration_ms)} ms`),
    fact(
      "Address",
      event.context?.ip &&
        (isHidden(event.context.ip)
          ? value(event.context.ip)
          : h("a", { class: "mono", href: `?${new URLSearchParams({ ip: event.context.ip })}` }, value(event.context.ip))),
    ),
    fact(
      "Trail",
      event.origin && [
        h("span", { class: "mono" }, value(event.origin)),
        h("span", { class: "quiet" }, `event ${number(event.index)}`),
      ],
    ),
  );
}

function bothZones(text) {
  const date = new Date(text);
  if (!text || Number.isNaN(date.getTime())) return text ? value(text) : null;
  const other = timeZone() === "utc" ? ago(date) : `${text.slice(11, 19)} UTC · ${ago(date)}`;
  return [
    h("span", {}, timeTag(text), h("span", { class: "fraction" }, `.${fraction(text)}`)),
    h("span", { class: "quiet" }, `${zoneName(date)} · ${other}`),
  ];
}

export function changes(event) {
  const rows = changesOf(event);
  if (!rows) return null;
  const place = h("div", { id: "diff" }, diffTable(rows));
  const states = event.before !== undefined || event.after !== undefined;
  const toggle =
    states &&
    button({
      id: "diff-all",
      kind: "small",
      text: "Show unchanged",
      "aria-pressed": "false",
      on: {
        click: () => {
          const all = toggle.getAttribute("aria-pressed") === "false";
          toggle.setAttribute("aria-pressed", String(all));
          toggle.lastElementChild.textContent = all ? "Changes only" : "Show unchanged";
          fill(place, diffTable(changesOf(event, all)));
        },
      },
    });
  const kind =
    event.before === undefined && event.after !== undefined
      ? "Created with"
      : event.after === undefined && event.before !== undefined
        ? "Removed with"
        : "What changed";
  return h("section", {}, h("div", { class: "section-head" }, h("h2", {}, kind), toggle), place);
}

export function context(event) {
  const ids = [
    ["request_id", "Same request"],
    ["correlation_id", "Same correlation"],
    ["session_id", "Same session"],
    ["trace_id", "Same trace"],
  ];
  const links = ids
    .filter(([name]) => event.context?.[name])
    .map(([name, label]) =>
      h(
        "a",
        {
          class: "button small",
          href: `?${new URLSearchParams({ [name]: event.context[name] })}`,
          "data-testid": "related",
          "data-name": name,
        },
        icon("link", 14),
        h("span", {}, label),
      ),
    );
  return (
    links.length > 0 && h("section", {}, h("h2", {}, "Related events"), h("div", { class: "actions start" }, links))
  );
}

export function raw(event, text) {
  const line = text ? lineOf(text) : null;
  const shown = h("pre", { id: "raw", class: "raw", tabindex: "0" }, value(line ?? stringify(event, 2), {}, 70_000));
  const wrap =
    line &&
    button({
      id: "raw-wrap",
      kind: "small",
      text: "Indent",
      on: {
        click: () => {
          const indent = wrap.lastElementChild.textContent === "Indent";
          wrap.lastElementChild.textContent = indent ? "As stored" : "Indent";
          fill(shown, value(indent ? indented(line) : line, {}, 140_000));
        },
      },
    });
  return h(
    "section",
    {},
    h(
      "div",
      { class: "section-head" },
      h("h2", {}, "Raw line"),
      h("span", { class: "grow" }),
      wrap,
      line && copyButton(() => line, { id: "raw-copy", label: "Copy the line" }),
    ),
    shown,
  );
}
