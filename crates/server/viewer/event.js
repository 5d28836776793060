// One event, in a drawer beside the list: who did what, what changed, the proof, all fields, the raw line.

import { announce, byId, button, copyButton, fill, h, icon, value, visible } from "./dom.js";
import { ask, eventPath } from "./api.js";
import { changes, context, facts, notes, raw, title } from "./eventparts.js";
import { fieldTree, marksOf } from "./fields.js";
import { flagForm } from "./flag.js";
import { parseExact } from "./json.js";
import { proofBox } from "./proofview.js";
import { checksByItself, timeZone } from "./prefs.js";
import { go, route } from "./route.js";

// Moving fast through the list sends no requests in between.
const SETTLE_MS = 120;
let current = null;

export const isDrawerOpen = () => current !== null;

/** Opens an event; `known` is what the list already has of it, so that it shows at once. */
export function openDrawer(reference, known, { move } = {}) {
  const name = `${reference.origin ?? ""}#${reference.key}#${reference.tenant ?? ""}#${timeZone()}`;
  if (current?.name === name) return;
  const before = current;
  stop();
  current = {
    name,
    reference,
    known,
    move,
    abort: new AbortController(),
    from: before?.from ?? document.activeElement,
  };
  const drawer = byId("drawer");
  drawer.hidden = false;
  document.body.classList.add("has-drawer");
  drawer.scrollTop = 0;
  if (known) render(known, null);
  else
    fill(
      drawer,
      head(null),
      h("div", { class: "drawer-body" }, h("p", { class: "list-status" }, h("span", { class: "spinner" }), "Loading")),
    );
  const opened = current;
  setTimeout(
    () => {
      if (opened === current) load(opened);
    },
    known ? SETTLE_MS : 0,
  );
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
    if (opened === current) render(parseExact(text), text, known);
  } catch (problem) {
    if (problem.name === "AbortError" || opened !== current) return;
    fill(
      byId("drawer"),
      head(null),
      h(
        "div",
        { class: "drawer-body" },
        h(
          "div",
          { class: "notice bad", role: "alert" },
          icon("warning"),
          h(
            "span",
            {},
            problem.status === 404
              ? "This event is not in the trail, or this token may not see it."
              : (problem.message ?? "The server’s response cannot be read."),
          ),
        ),
      ),
    );
  }
}

function showChoice(events) {
  fill(
    byId("drawer"),
    head(null),
    h(
      "div",
      { class: "drawer-body" },
      h("h2", {}, "Several events have this id"),
      h("p", {}, "Each is a separate line. Which one?"),
      h(
        "ul",
        { class: "choices" },
        events.map((each) =>
          h(
            "li",
            {},
            h("a", { href: route().withEvent(each), class: "mono" }, `${each.origin}#${each.index}`),
            each.tenant && [" of tenant ", value(each.tenant)],
          ),
        ),
      ),
    ),
  );
}

function head(event) {
  const { move } = current;
  return h(
    "header",
    { class: "drawer-head" },
    h("span", { class: "mono quiet drawer-place" }, event ? `#${event.index}` : ""),
    h("span", { class: "grow" }),
    move &&
      button({
        id: "event-previous",
        kind: "plain flip",
        icon: "down",
        label: "Newer or earlier in the list (k)",
        on: { click: () => move(-1) },
      }),
    move &&
      button({
        id: "event-next",
        kind: "plain",
        icon: "down",
        label: "Next in the list (j)",
        on: { click: () => move(1) },
      }),
    event &&
      copyButton(() => new URL(eventLink(event), location.href).href, {
        id: "event-link",
        label: "Copy a link to this event",
      }),
    event &&
      !event.system &&
      button({
        id: "event-flag",
        kind: "plain",
        icon: "flag",
        label: "Flag for review",
        on: { click: () => toggleFlag(event) },
      }),
    button({
      id: "event-close",
      kind: "plain",
      icon: "close",
      label: "Close (Esc)",
      on: { click: () => go(route().without("event")) },
    }),
  );
}

// A link that shows only this event, whatever was searched.
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
  current.proof =
    text && !Number.isNaN(Number(event.index)) ? proofBox({ reference, text, listed, asked: current.reference }) : null;
  const waiting = h(
    "section",
    { id: "proof", class: "proof", "data-state": "checking" },
    h(
      "div",
      { class: "proof-head" },
      h("span", { class: "proof-symbol" }, icon("seal", 18)),
      h(
        "div",
        { class: "proof-words" },
        h("h2", { class: "proof-title" }, "Checking…"),
        h("p", {}, "Fetching the event and its proof."),
      ),
    ),
  );
  fill(
    drawer,
    head(event),
    h(
      "div",
      { class: "drawer-body" },
      title(event),
      h("div", { id: "flag-place" }),
      current.proof?.element ?? waiting,
      notes(event),
      facts(event),
      changes(event),
      context(event),
      h("section", {}, h("h2", {}, "All fields"), fieldTree(event, marksOf(event))),
      raw(event, text),
    ),
  );
  drawer.querySelector(".drawer-body").scrollTop = scroll;
  if (focused?.startsWith("event-")) byId(focused)?.focus({ preventScroll: true });
  if (text && checksByItself()) current.proof?.check();
}

function toggleFlag(event) {
  const place = byId("flag-place");
  if (place.childElementCount > 0) fill(place);
  else {
    fill(
      place,
      flagForm(event, () => fill(place)),
    );
    byId("flag-reason").focus();
    announce("Flag for review");
  }
}
