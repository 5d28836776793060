// One event in one line: the row of the list, and small parts that other pages also use.

import { h, value } from "./dom.js";
import { clock, day, dayAndClock, fraction, span } from "./prefs.js";
import { route } from "./route.js";

export const keyOf = (event) => `${event.origin ?? ""}#${event.index}`;

/** The outcome in a word, if there is one; the colour repeats it. */
export function outcomeChip(outcome) {
  if (outcome === undefined || outcome === null || outcome === "") return null;
  const known = ["success", "failure", "denied", "partial", "unknown"].includes(outcome) ? outcome : "unknown";
  return h("span", { class: `chip outcome ${known}` }, value(outcome, {}, 40));
}

export function severityMark(severity = "info") {
  const loud = ["notice", "warning", "error", "critical"].includes(severity);
  return loud && h("span", { class: `severity level-${severity}`, title: `Severity: ${severity}` }, severity);
}

export const nameOf = (actor) => actor?.name || actor?.id || "";
export const resourceOf = (resource) =>
  resource &&
  [resource.type, resource.id ?? resource.name].filter((part) => part !== undefined && part !== "").join("/");

export function timeTag(text, attributes = {}) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return value(text ?? "", attributes);
  return h(
    "time",
    { datetime: text, title: `${dayAndClock(date)}.${fraction(text)}`, ...attributes },
    h("span", { class: "day" }, day(date)),
    " ",
    h("span", { class: "clock" }, clock(date)),
  );
}

const LATE_AFTER = 3_600_000;
const WEEKDAY = new Intl.DateTimeFormat("en", { weekday: "long", timeZone: "UTC" });

/** The event's effective time, and in words how far it is from its recording; else null. */
export function timing(event) {
  const [time, recorded] = [Date.parse(event.time), Date.parse(event.recorded)];
  if (Number.isNaN(time) || Number.isNaN(recorded)) return { text: event.time ?? event.recorded, mark: null };
  // Both in the trail's format, with microseconds, which a Date does not have.
  if (event.time_ahead || event.time > event.recorded)
    return { text: event.recorded, mark: "ahead", says: `It claims ${event.time}, but was recorded ${event.recorded}` };
  if (recorded - time > LATE_AFTER)
    return { text: event.time, mark: "late", says: `Recorded ${span((recorded - time) / 1000)} later: ${event.recorded}` };
  return { text: event.time, mark: null };
}

/** A mark next to the time of an event that was recorded much later, or claims a future time. */
function timingMark({ mark, says }) {
  return mark && h("span", { class: "severity timing", "data-testid": "timing", title: says }, mark);
}

/** The names of the columns. */
export function headOf() {
  const names = ["Time", "Actor", "Action", "Resource", "Address", "Tenant", "Outcome"];
  return h(
    "div",
    { class: "row head", "aria-hidden": "true" },
    names.map((name) => h("span", { class: `cell ${name.toLowerCase()}` }, name)),
  );
}

/** The day of an event, which stands above the first row of each day. */
export function dayOf(event) {
  const date = new Date(timing(event).text);
  return Number.isNaN(date.getTime()) ? "" : day(date);
}

/** The line above the first row of a day. */
export function dayHead(text) {
  const date = new Date(`${text}T12:00:00Z`);
  const weekday = Number.isNaN(date.getTime()) ? "" : WEEKDAY.format(date);
  return h("div", { class: "day-head", role: "presentation", "data-testid": "day", "data-day": text }, h("b", {}, text), " ", weekday);
}

/** A row: a link, so that it can also be opened in another tab. */
export function rowOf(event, { isFresh, isSelected }) {
  const actor = nameOf(event.actor);
  const resource = resourceOf(event.resource);
  const behalf = event.on_behalf_of?.id;
  const when = timing(event);
  return h(
    "a",
    {
      class: `row${isFresh ? " fresh" : ""}${event.system ? " system" : ""}`,
      role: "option",
      href: route().withEvent(event),
      draggable: "false",
      "data-testid": "row",
      "data-key": keyOf(event),
      "data-index": event.index,
      "aria-selected": String(isSelected),
      tabindex: isSelected ? "0" : "-1",
    },
    h("span", { class: "cell time" }, timeTag(when.text), timingMark(when)),
    h(
      "span",
      { class: "cell actor" },
      value(actor || "—", { class: actor ? "" : "none" }, 120),
      behalf && h("span", { class: "behalf" }, " for ", value(behalf, {}, 60)),
    ),
    h(
      "span",
      { class: "cell action" },
      value(event.action ?? "", { class: "mono" }, 160),
      severityMark(event.severity),
    ),
    h("span", { class: "cell resource" }, value(resource || "—", { class: resource ? "mono" : "none" }, 200)),
    h("span", { class: "cell address" }, event.context?.ip && value(event.context.ip, { class: "mono" }, 80)),
    h("span", { class: "cell tenant" }, event.tenant && value(event.tenant, {}, 80)),
    h("span", { class: "cell outcome" }, outcomeChip(event.outcome)),
  );
}
