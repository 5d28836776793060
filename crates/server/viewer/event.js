// One event, in a drawer beside the list: who did what, what changed, the proof, all fields, the raw line.

import { announce, byId, button, copyButton, fill, h, icon, value, visible } from "./dom.js";
import { ask, eventPath } from "./api.js";
import { changesOf, diffTable } from "./diff.js";
import { fieldTree, marksOf } from "./fields.js";
import { flagForm } from "./reviews.js";
import { lineOf } from "./proof.js";
import { nameOf, outcomeChip, resourceOf, severityMark, timeTag } from "./list.js";
import { proofBox } from "./proofview.js";
import { ago, checksByItself, fraction, number, timeZone, zoneName } from "./prefs.js";
import { actorAddress, go, resourceAddress, route } from "./route.js";

// Moving fast through the list asks for nothing in between.
const SETTLE_MS = 120;
let current = null;

export const isDrawerOpen = () => current !== null;

/** Opens an event; `known` is what the list has of it already, so that it shows at once. */
export function openDrawer(reference, known, { move } = {}) {
  const name = `${reference.origin ?? ""}#${reference.key}#${reference.tenant ?? ""}#${timeZone()}`;
  if (current?.name === name) return;
  const before = current;
  stop();
  current = { name, reference, known, move, abort: new AbortController(), from: before?.from ?? document.activeElement };
  const drawer = byId("drawer");
  drawer.hidden = false;
  document.body.classList.add("has-drawer");
  drawer.scrollTop = 0;
  if (known) render(known, null);
  else fill(drawer, head(null), h("div", { class: "drawer-body" }, h("p", { class: "list-status" }, h("span", { class: "spinner" }), "Loading")));
  const opened = current;
  setTimeout(() => { if (opened === current) load(opened); }, known ? SETTLE_MS : 0);
  if (!before) byId("event-close")?.focus({ preventScroll: true });
}

function stop() {
  current?.abort.abort();
  current?.proof?.close();
}

export function closeDrawer() {
  if (!current) return;
  stop();
  const { from } = current;
  current = null;
  byId("drawer").hidden = true;
  fill(byId("drawer"));
  document.body.classList.remove("has-drawer");
  if (from?.isConnected) from.focus({ preventScroll: true });
}

async function load(opened) {
  const { reference, known } = opened;
  try {
    const { path, query } = eventPath({ id: reference.key, origin: reference.origin, tenant: reference.tenant });
    const response = await ask(path, { query, signal: opened.abort.signal, also: [300] });
    if (response.status === 300) {
      showChoice((await response.json()).events ?? []);
      return;
    }
    const text = await response.text();
    if (opened === current) render(JSON.parse(text), text, known);
  } catch (problem) {
    if (problem.name === "AbortError" || opened !== current) return;
    fill(byId("drawer"), head(null), h("div", { class: "drawer-body" }, h("div", { class: "notice bad", role: "alert" }, icon("warning"),
      h("span", {}, problem.status === 404 ? "This event is not in the trail, or not visible to this token." : problem.message ?? "The server’s answer cannot be read."))));
  }
}

function showChoice(events) {
  fill(byId("drawer"), head(null), h("div", { class: "drawer-body" }, h("h2", {}, "Several events have this id"), h("p", {}, "Each is a line of its own. Which one?"),
    h("ul", { class: "choices" }, events.map((each) => h("li", {}, h("a", { href: route().withEvent(each), class: "mono" }, `${each.origin}#${each.index}`), each.tenant && [" of tenant ", value(each.tenant)])))));
}

function head(event) {
  const { move } = current;
  return h("header", { class: "drawer-head" },
    h("span", { class: "mono quiet drawer-place" }, event ? `#${event.index}` : ""),
    h("span", { class: "grow" }),
    move && button({ id: "event-previous", kind: "plain flip", icon: "down", label: "Newer or earlier in the list (k)", on: { click: () => move(-1) } }),
    move && button({ id: "event-next", kind: "plain", icon: "down", label: "Next in the list (j)", on: { click: () => move(1) } }),
    event && copyButton(() => new URL(eventLink(event), location.href).href, { id: "event-link", label: "Copy a link to this event" }),
    event && !event.system && button({ id: "event-flag", kind: "plain", icon: "flag", label: "Flag for review", on: { click: () => toggleFlag(event) } }),
    button({ id: "event-close", kind: "plain", icon: "close", label: "Close (Esc)", on: { click: () => go(route().without("event")) } }));
}

// A link that shows this event alone, whatever was searched.
function eventLink(event) {
  return `?${new URLSearchParams({ event: event.index, ...(event.origin ? { event_origin: event.origin } : {}) })}`;
}

function render(event, text, listed) {
  document.title = `${visible(event.action ?? "Event", 80)} · Trailseal`;
  const drawer = byId("drawer");
  const focused = document.activeElement?.id;
  const scroll = drawer.querySelector(".drawer-body")?.scrollTop ?? 0;
  current.proof?.close();
  const reference = { origin: event.origin, index: event.index, tenant: current.reference.tenant };
  current.proof = text && !Number.isNaN(Number(event.index)) ? proofBox({ reference, text, listed, asked: current.reference }) : null;
  const waiting = h("section", { id: "proof", class: "proof", "data-state": "checking" }, h("div", { class: "proof-head" }, h("span", { class: "proof-symbol" }, icon("seal", 18)), h("div", { class: "proof-words" }, h("h2", { class: "proof-title" }, "Checking…"), h("p", {}, "Fetching the event and its proof."))));
  fill(drawer, head(event), h("div", { class: "drawer-body" },
    title(event), h("div", { id: "flag-place" }), current.proof?.element ?? waiting, notes(event), facts(event), changes(event), context(event),
    h("section", {}, h("h2", {}, "All fields"), fieldTree(event, marksOf(event))), raw(event, text)));
  drawer.querySelector(".drawer-body").scrollTop = scroll;
  if (focused?.startsWith("event-")) byId(focused)?.focus({ preventScroll: true });
  if (text && checksByItself()) current.proof?.check();
}

function title(event) {
  return h("div", { class: "event-title" },
    h("div", { class: "event-marks" }, outcomeChip(event.outcome), severityMark(event.severity), event.category && h("span", { class: "chip" }, value(event.category)), event.system && h("span", { class: "chip" }, "the trail’s own")),
    h("h1", { id: "event-title" }, value(event.action ?? "")),
    event.description && h("p", { class: "lead" }, value(event.description)),
    event.error !== undefined && event.error !== null && h("p", { class: "event-error" }, value(errorText(event.error))));
}

function errorText(error) {
  if (typeof error === "string") return error;
  const { code, message, ...more } = error;
  const rest = Object.keys(more).length > 0 ? JSON.stringify(more) : "";
  return typeof error === "object" ? [code, message, rest].filter(Boolean).join(": ") : String(error);
}

function notes(event) {
  const lines = [
    event.masked?.length > 0 && `${event.masked.length} ${event.masked.length === 1 ? "value was" : "values were"} masked before anything was written.`,
    event.truncated?.length > 0 && "Too large to keep whole: some fields were cut. Their length and SHA-256 are kept.",
    event.invalid?.length > 0 && `Some fields were not as they should be and took their defaults: ${event.invalid.join(", ")}.`,
    event.sample_rate !== undefined && event.sample_rate !== 1 && `Sampled: it stands for about ${number(Math.round(1 / event.sample_rate))} events.`,
  ].filter(Boolean);
  return lines.length > 0 && h("div", { class: "notice" }, icon("warning"), h("div", {}, lines.map((line) => h("p", {}, value(line)))));
}

function fact(label, ...content) {
  const filled = content.flat().filter(Boolean);
  return filled.length > 0 && h("div", { class: "fact" }, h("dt", {}, label), h("dd", {}, filled));
}

function facts(event) {
  const { actor, resource, on_behalf_of: behalf } = event;
  const resourceText = resourceOf(resource);
  const time = event.time ?? event.recorded;
  return h("dl", { class: "facts" },
    fact("Actor", actor && (actor.id ?? actor.name) !== undefined && [
      h("a", { id: "event-actor", href: actorAddress(actor.id ?? actor.name), title: "Everything that this actor did" }, value(nameOf(actor), {}, 300)),
      actor.name && actor.id && actor.name !== actor.id && h("span", { class: "quiet mono" }, value(actor.id, {}, 300)), actor.type && h("span", { class: "quiet" }, value(actor.type)),
      Array.isArray(actor.roles) && actor.roles.length > 0 && h("span", { class: "quiet" }, value(actor.roles.join(", ")))]),
    fact("On behalf of", behalf && [value(behalf.id ?? ""), behalf.reason && h("span", { class: "quiet" }, value(behalf.reason))]),
    fact("Resource", resourceText && [
      h("a", { id: "event-resource", class: "mono", href: resourceAddress(resource.type ?? "", resource.id ?? resource.name ?? ""), title: "The history of this resource" }, value(resourceText, {}, 400)),
      resource.name && resource.name !== resource.id && h("span", { class: "quiet" }, value(resource.name, {}, 300))]),
    fact("Related", Array.isArray(event.related) && event.related.map((each) => h("a", { class: "mono", href: resourceAddress(each.type ?? "", each.id ?? each.name ?? "") }, value(resourceOf(each), {}, 300)))),
    fact("Tenant", event.tenant && h("a", { href: `?${new URLSearchParams({ tenant: event.tenant })}` }, value(event.tenant))),
    fact("Happened", bothZones(time)),
    event.recorded !== time && fact("Recorded", bothZones(event.recorded)),
    fact("Took", event.duration_ms !== undefined && `${number(event.duration_ms)} ms`),
    fact("Address", event.context?.ip && h("a", { class: "mono", href: `?${new URLSearchParams({ ip: event.context.ip })}` }, value(event.context.ip))),
    fact("Trail", event.origin && [h("span", { class: "mono" }, value(event.origin)), h("span", { class: "quiet" }, `event ${number(event.index)}`)]));
}

function bothZones(text) {
  const date = new Date(text);
  if (!text || Number.isNaN(date.getTime())) return text ? value(text) : null;
  const other = timeZone() === "utc" ? ago(date) : `${text.slice(11, 19)} UTC · ${ago(date)}`;
  return [h("span", {}, timeTag(text), h("span", { class: "fraction" }, `.${fraction(text)}`)), h("span", { class: "quiet" }, `${zoneName(date)} · ${other}`)];
}

function changes(event) {
  const rows = changesOf(event);
  if (!rows) return null;
  const place = h("div", { id: "diff" }, diffTable(rows));
  const states = event.before !== undefined || event.after !== undefined;
  const toggle = states && button({ id: "diff-all", kind: "small", text: "Show unchanged", "aria-pressed": "false", on: { click: () => {
    const all = toggle.getAttribute("aria-pressed") === "false";
    toggle.setAttribute("aria-pressed", String(all));
    toggle.lastElementChild.textContent = all ? "Changes only" : "Show unchanged";
    fill(place, diffTable(changesOf(event, all)));
  } } });
  const kind = event.before === undefined && event.after !== undefined ? "Created with" : event.after === undefined && event.before !== undefined ? "Removed with" : "What changed";
  return h("section", {}, h("div", { class: "section-head" }, h("h2", {}, kind), toggle), place);
}

function context(event) {
  const ids = [["request_id", "Same request"], ["correlation_id", "Same correlation"], ["session_id", "Same session"], ["trace_id", "Same trace"]];
  const links = ids.filter(([name]) => event.context?.[name]).map(([name, label]) => h("a", { class: "button small", href: `?${new URLSearchParams({ [name]: event.context[name] })}`, "data-testid": "related", "data-name": name }, icon("link", 14), h("span", {}, label)));
  return links.length > 0 && h("section", {}, h("h2", {}, "Found together"), h("div", { class: "actions start" }, links));
}

function raw(event, text) {
  const line = text ? lineOf(text) : null;
  const shown = h("pre", { id: "raw", class: "raw", tabindex: "0" }, value(line ?? JSON.stringify(event, null, 2), {}, 70_000));
  const wrap = line && button({ id: "raw-wrap", kind: "small", text: "Indent", on: { click: () => {
    const indent = wrap.lastElementChild.textContent === "Indent";
    wrap.lastElementChild.textContent = indent ? "As stored" : "Indent";
    fill(shown, value(indent ? JSON.stringify(JSON.parse(line), null, 2) : line, {}, 140_000));
  } } });
  return h("section", {}, h("div", { class: "section-head" }, h("h2", {}, "Raw line"), h("span", { class: "grow" }), wrap, line && copyButton(() => line, { id: "raw-copy", label: "Copy the line" })), shown);
}

function toggleFlag(event) {
  const place = byId("flag-place");
  if (place.childElementCount > 0) fill(place);
  else {
    fill(place, flagForm(event, () => fill(place)));
    byId("flag-reason").focus();
    announce("Flag for review");
  }
}
