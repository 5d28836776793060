// The panel with a field for every filter, and the chips that say which are set.

import { byId, button, fill, h, icon, visible } from "./dom.js";
import { FIELDS, TIMES, VIEW, labelOf } from "./filters.js";
import { dayAndClock, timeZone } from "./prefs.js";
import { typedTime } from "./times.js";

export class FilterPanel {
  /** `change` receives the new filters; `reload` searches again with the same ones. */
  constructor({ change, reload }) {
    Object.assign(this, { change, reload });
    // Of actors, by id, as far as they are known.
    this.names = new Map();
    this.element = h("form", {
      id: "filter-panel",
      class: "filter-panel",
      hidden: true,
      on: { submit: (event) => this.#apply(event) },
    });
    this.button = button({
      id: "filters-button",
      icon: "filter",
      text: "Filters",
      "aria-expanded": "false",
      "aria-controls": "filter-panel",
      on: { click: () => this.toggle() },
    });
  }

  get isOpen() {
    return !this.element.hidden;
  }

  toggle(open = !this.isOpen) {
    this.element.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    if (!open) return;
    this.#fill();
    byId("filter-actor").focus();
  }

  /** Shows the filters that apply now. */
  show(filters) {
    this.filters = filters;
    const count = filters.query(["text", "since", "until", ...VIEW]).length;
    this.button.lastElementChild.textContent = count > 0 ? `Filters · ${count}` : "Filters";
    if (this.isOpen) this.#fill();
  }

  /** Offers the values found so far. */
  suggest(summary) {
    this.summary = summary;
    for (const { value: id, name } of summary.by_actor ?? []) if (name) this.names.set(id, name);
    for (const { name, facet, options } of FIELDS) {
      const known = byId(`known-${name}`);
      if (!known || !facet || options) continue;
      fill(
        known,
        (summary[`by_${facet}`] ?? []).map(({ value: text, name: own }) => h("option", { value: text }, own)),
      );
    }
  }

  /** A filter that is set, with a button to remove it. */
  chip(name, text) {
    const own = name === "actor" ? this.names.get(text) : undefined;
    const face = own ? h("bdi", {}, visible(own, 80)) : h("bdi", { class: "mono" }, visible(shownAs(name, text), 80));
    const shown = name === "system" ? [] : [": ", face];
    const remove = h(
      "button",
      {
        type: "button",
        "data-testid": "chip-remove",
        "aria-label": `Remove ${labelOf(name)} ${text}`,
        on: { click: () => this.change(this.filters.without(name, text)) },
      },
      icon("close", 13),
    );
    return h(
      "span",
      { class: "filter-chip", title: own ? visible(text, 300) : null, "data-testid": "chip", "data-name": name, "data-value": text },
      h("span", {}, h("b", {}, labelOf(name)), shown),
      remove,
    );
  }

  #fill() {
    const zone = timeZone() === "utc" ? " (UTC)" : "";
    fill(
      this.element,
      h(
        "div",
        { class: "fields" },
        FIELDS.map((field) => this.#field(field)),
        this.#field({ name: "since", label: "Since", hint: `24h, yesterday, 2026-11${zone}` }),
        this.#field({ name: "until", label: "Until", hint: "not included" }),
        this.#field({ name: "recorded_since", label: "Recorded since", hint: "whatever time it claims" }),
        this.#field({ name: "recorded_until", label: "Recorded until", hint: "not included" }),
      ),
      this.#foot(),
    );
    if (this.summary) this.suggest(this.summary);
  }

  #field({ name, label, hint = "", options = [] }) {
    const values = this.filters.all(name);
    const isSeveral = !TIMES.includes(name) && values.length > 0;
    return h(
      "div",
      { class: "field" },
      h("label", { for: `filter-${name}` }, label),
      h("input", {
        id: `filter-${name}`,
        "data-name": name,
        placeholder: isSeveral ? "one more…" : hint,
        list: `known-${name}`,
        autocomplete: "off",
        spellcheck: "false",
        autocapitalize: "off",
        value: isSeveral ? "" : (values[0] ?? ""),
      }),
      h(
        "datalist",
        { id: `known-${name}` },
        options.map((option) => h("option", { value: option })),
      ),
      isSeveral &&
        h(
          "div",
          { class: "chips" },
          values.map((text) => this.chip(name, text)),
        ),
    );
  }

  #foot() {
    const { filters } = this;
    const choose = (name, value, isSet) => this.change(isSet ? filters.with(name, value) : filters.without(name));
    const isOldestFirst = filters.get("order") === "asc";
    return h(
      "div",
      { class: "panel-foot" },
      h(
        "label",
        { class: "switch" },
        h("input", {
          id: "system-toggle",
          type: "checkbox",
          checked: filters.get("system") === "true",
          on: { change: (event) => choose("system", "true", event.target.checked) },
        }),
        "Show the trail’s own events",
      ),
      h(
        "label",
        {},
        "Order ",
        h(
          "select",
          { id: "order-select", on: { change: (event) => choose("order", "asc", event.target.value === "asc") } },
          h("option", { value: "desc", selected: !isOldestFirst }, "Newest first"),
          h("option", { value: "asc", selected: isOldestFirst }, "Oldest first"),
        ),
      ),
      h(
        "label",
        {},
        "by ",
        h(
          "select",
          {
            id: "order-by-select",
            on: { change: (event) => choose("order_by", "recorded", event.target.value === "recorded") },
          },
          h("option", { value: "time", selected: !filters.isByRecording }, "time"),
          h("option", { value: "recorded", selected: filters.isByRecording }, "recording"),
        ),
      ),
      h("span", { class: "grow" }),
      button({ id: "refresh-button", text: "Search again", on: { click: this.reload } }),
      h("button", { id: "filter-apply", type: "submit", class: "button primary" }, "Apply"),
    );
  }

  #apply(event) {
    event.preventDefault();
    let next = this.filters;
    for (const input of this.element.querySelectorAll("input[data-name]")) {
      const { name } = input.dataset;
      const isTime = TIMES.includes(name);
      const text = isTime ? typedTime(input.value, timeZone()) : input.value.trim();
      const isSeveral = !isTime && this.filters.all(name).length > 0;
      if (isSeveral) next = text ? next.with(name, text) : next;
      else next = text ? next.without(name).with(name, text) : next.without(name);
    }
    this.toggle(false);
    this.change(next);
  }
}

// A time is shown in the chosen zone; an age or a day as it was given.
function shownAs(name, text) {
  const date = new Date(text);
  return TIMES.includes(name) && text.includes("T") && !Number.isNaN(date.getTime()) ? dayAndClock(date) : text;
}
