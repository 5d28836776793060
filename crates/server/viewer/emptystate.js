// What stands in the place of the list where there is nothing to show.

import { button, copyButton, h, icon } from "./dom.js";
import { address, token } from "./api.js";

/** Filters that nothing matches; without a time that is set, there is no `anyTime`. */
export function nothingMatches({ clear, anyTime, isReversed }) {
  return h(
    "div",
    { id: "empty", class: "empty" },
    icon("search", 28),
    h("h2", {}, "Nothing matches"),
    h("p", {}, isReversed ? "The end is not later than the beginning, so no event can be in between." : "No event matches all of these filters."),
    h(
      "div",
      { class: "actions" },
      anyTime && button({ text: "Search all time", on: { click: anyTime } }),
      button({ id: "empty-clear", text: "Clear all filters", on: { click: clear } }),
    ),
  );
}

/** A trail without events: how to record the first. */
export function noEvents() {
  const command = `curl ${address("v1/events")} \\\n${token() ? "  -H 'Authorization: Bearer YOUR_WRITE_TOKEN' \\\n" : ""}  -d '{"action":"invoice.create","actor":{"id":"ana"},"resource":{"type":"invoice","id":"2026-0042"}}'`;
  return h(
    "div",
    { id: "empty", class: "empty" },
    icon("seal", 36),
    h("h2", {}, "The trail is empty"),
    h("p", {}, "Record the first event. It appears here at once and is sealed about a second later."),
    h(
      "div",
      { class: "command-box" },
      h("pre", { id: "empty-command", class: "command" }, command),
      copyButton(() => command, { id: "empty-copy", label: "Copy the command" }),
    ),
    h("p", { class: "quiet" }, "This page is waiting for it."),
  );
}
