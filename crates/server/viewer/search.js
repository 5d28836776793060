// The events page: the search bar, results over time and by kind, the list, live tail.

import { announce, button, fill, h, icon } from "./dom.js";
import { askJson } from "./api.js";
import { noEvents, nothingMatches } from "./emptystate.js";
import { FilterPanel } from "./filterpanel.js";
import { Filters, SPANS, VIEW, typedSearch } from "./filters.js";
import { EventList } from "./list.js";
import { Histogram, summaryQuery } from "./histogram.js";
import { facets } from "./facets.js";
import { forgiven } from "./forgive.js";
import { summaryOf, topOf } from "./summary.js";
import { Tail } from "./tail.js";
import { closeDrawer, isDrawerOpen, openDrawer } from "./event.js";
import { openExport } from "./export.js";
import { RangePicker } from "./rangepicker.js";
import { Suggestions } from "./suggest.js";
import { densityToggle } from "./density.js";
import { SearchHint } from "./hint.js";
import { number } from "./prefs.js";
import { go, route } from "./route.js";

const COUNT_EVERY_MS = 2500;
const COUNTING_AFTER_MS = 700;

// A span as the value of an option.
const spanValue = (since, until) => (until ? `${since}..${until}` : since);

export function openSearch(root, first) {
  const page = new SearchPage(root);
  page.update(first);
  return page;
}

class SearchPage {
  constructor(root) {
    this.root = root;
    this.filters = null;
    this.histogram = new Histogram((since, until) => this.#change(this.filters.between(since, until)));
    this.total = h("p", { id: "total", class: "total", "aria-live": "polite" });
    this.facets = h("aside", { id: "facets", class: "facets", "aria-label": "Results by kind" });
    this.overview = h(
      "section",
      { class: "overview" },
      h("div", { class: "overview-head" }, this.total, h("span", { class: "grow" }), this.histogram.zoomOut, densityToggle()),
      this.histogram.element,
    );
    this.chips = h("div", { id: "chips", class: "chips" });
    this.panel = new FilterPanel({ change: (filters) => this.#changeForgiving(filters), reload: () => this.#reload() });
    this.range = new RangePicker((since, until) => this.#change(this.filters.between(since, until)));
    const listRoot = h("section", { class: "list", "aria-label": "Events" });
    fill(
      root,
      h(
        "div",
        { class: "search" },
        h("h1", { class: "offscreen" }, "Events"),
        this.#bar(),
        this.hint.element,
        this.range.element,
        this.panel.element,
        this.chips,
        this.overview,
        h("div", { class: "results" }, this.facets, listRoot),
      ),
    );
    this.list = new EventList({
      root: listRoot,
      load: (cursor, limit) => this.#load(cursor, limit),
      onOpen: (event) => go(route().withEvent(event), { replace: isDrawerOpen() }),
      onEmpty: (place) => this.#empty(place),
      isByTime: () => !this.filters.isByRecording,
    });
    this.tail = new Tail({
      onEvents: (events) => {
        // In a list by time, a newly recorded event may belong further down.
        if (this.filters.isByRecording) this.list.prepend(events);
        else this.list.start();
        // The counting done by this page is itself recorded, and must not trigger another count.
        if (events.some((event) => !event.system)) this.#summariseSoon();
      },
      onState: (state, message) => this.#showLive(state, message),
    });
  }

  #bar() {
    this.input = h("input", {
      id: "search-input",
      type: "search",
      placeholder: "Search text, or actor:ana outcome:denied",
      "aria-label": "Search events",
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      enterkeyhint: "search",
    });
    this.suggestions = new Suggestions(this.input, () => this.filters.get("system") === "true");
    this.hint = new SearchHint((typed) => this.#changeTyped(typed));
    this.span = h("select", { id: "span-select", "aria-label": "Time span", on: { change: () => this.#chooseSpan() } });
    this.liveButton = button({
      id: "live-button",
      icon: "live",
      text: "Live",
      "aria-pressed": "false",
      on: { click: () => this.#toggleLive() },
    });
    this.liveState = h("span", { id: "live-state", class: "offscreen", "data-state": "off", role: "status" });
    return h(
      "form",
      { id: "search-form", class: "search-bar", role: "search", on: { submit: (event) => this.#submit(event) } },
      h(
        "div",
        { class: "search-box" },
        icon("search", 17),
        this.input,
        h("kbd", { "aria-hidden": "true" }, "/"),
        this.suggestions.element,
      ),
      h(
        "div",
        { class: "search-tools" },
        this.span,
        this.panel.button,
        this.liveButton,
        this.liveState,
        button({
          id: "export-button",
          icon: "download",
          text: "Export",
          "aria-haspopup": "dialog",
          on: { click: () => openExport(this.filters) },
        }),
      ),
    );
  }

  // ---- the address says what is shown --------------------------------------------------------------------

  update(here) {
    // Of the same search, the filters stay the same object: by that, an answer is known to be what is asked for.
    if (this.filters?.toString() !== here.filters.toString()) {
      this.filters = here.filters;
      this.hint.close();
      this.#showFilters();
      this.#reload();
    }
    if (here.event) {
      const key = `${here.event.origin ?? ""}#${here.event.key}`;
      const shown = this.list.select(key, { focus: false });
      openDrawer(here.event, shown, { move: (by) => this.#move(by) });
    } else if (isDrawerOpen()) {
      closeDrawer();
      this.list.select(this.list.selected);
    }
  }

  close() {
    this.root.classList.remove("is-empty");
    this.asking?.abort();
    this.meaning?.abort();
    this.suggestions.close();
    clearTimeout(this.soon);
    this.tail.stop(true);
    this.list.close();
    this.histogram.close();
  }

  redraw() {
    this.list.redraw();
    this.histogram.draw();
    this.#showFilters();
    this.range.close();
    if (this.filters.dependOnZone) this.#reload();
    if (isDrawerOpen()) this.update(route());
  }

  #change(filters) {
    go(route().withFilters(filters));
  }

  #reload() {
    this.asking?.abort();
    this.asking = new AbortController();
    this.list.start();
    this.#summarise(this.asking.signal);
    if (!this.tail.isOn) return;
    // A live list is ordered by recording: another order ends it.
    if (this.filters.isByRecording) this.tail.start(this.filters);
    else this.tail.stop();
  }

  async #load(cursor, limit) {
    const query = [...this.filters.asked(), ["limit", String(limit)]];
    if (cursor) query.push(["cursor", cursor]);
    const answer = await askJson("v1/events", { query, signal: this.asking.signal });
    return { events: answer.events, next: answer.next ?? null, scanned: answer.scanned_to };
  }

  async #summarise(signal) {
    const asked = this.filters;
    this.facets.classList.add("stale");
    this.total.classList.add("stale");
    const slow = setTimeout(() => fill(this.total, h("span", { class: "spinner" }), " Counting"), COUNTING_AFTER_MS);
    try {
      const summary = await this.#counted(signal);
      clearTimeout(slow);
      if (asked !== this.filters) return;
      fill(
        this.total,
        h("strong", {}, number(summary.total)),
        ` ${summary.total === 1 ? "event" : `events, ${this.filters.orderInWords}`}`,
      );
      this.total.title = "";
      this.overview.hidden = summary.total === 0 && this.filters.query([...VIEW, "system"]).length === 0;
      this.histogram.show(summary, this.filters);
      fill(
        this.facets,
        // The facets stay until the next summary is there: a click changes the filters of that moment.
        facets(summary, this.filters, (name, text) => this.#change(this.filters.toggled(name, text))),
      );
      this.panel.suggest(summary);
      this.#showChips();
      // With nothing to narrow, what is said about that stands in the middle of the page.
      this.root.classList.toggle("is-empty", summary.total === 0);
    } catch (problem) {
      clearTimeout(slow);
      if (problem.name === "AbortError") return;
      fill(this.total, problem.type?.endsWith(":work-limit") ? "Counting takes too long: choose a time or another filter" : "The number of events could not be loaded");
      this.total.title = problem.message;
      this.histogram.show(null, this.filters);
      fill(this.facets);
      this.root.classList.add("is-empty");
    }
    this.facets.classList.remove("stale");
    this.total.classList.remove("stale");
  }

  // The list searches all text anyway; if it found everything, that need not be repeated.
  async #counted(signal) {
    const { filters } = this;
    if (filters.get("text")) await this.list.settled;
    signal.throwIfAborted();
    const all = filters.get("text") ? this.list.everything() : null;
    return all ? summaryOf(all, topOf(filters)) : askJson("v1/summary", { query: summaryQuery(filters), signal });
  }

  // While events stream in, the counts follow every few seconds.
  #summariseSoon() {
    this.soon ??= setTimeout(() => {
      this.soon = null;
      this.#summarise(this.asking.signal);
    }, COUNT_EVERY_MS);
  }

  // ---- filters -------------------------------------------------------------------------------------------

  #showFilters() {
    // What was typed and not yet searched for stays when another filter changes.
    const text = this.filters.get("text");
    if (text !== this.shownText) this.input.value = text;
    this.shownText = text;
    const chosen = spanValue(this.filters.get("since"), this.filters.get("until"));
    const known = SPANS.some(([since, until]) => spanValue(since, until) === chosen);
    fill(
      this.span,
      SPANS.map(([since, until, name]) => h("option", { value: spanValue(since, until) }, name)),
      !known && h("option", { value: "custom" }, "Chosen range"),
      h("option", { value: "choose" }, "Choose a range…"),
    );
    this.span.value = known ? chosen : "custom";
    this.shownSpan = this.span.value;
    this.panel.show(this.filters);
    this.#showChips();
  }

  #showChips() {
    const shown = this.filters.query(["text", ...VIEW]);
    fill(
      this.chips,
      shown.map(([name, text]) => this.panel.chip(name, text)),
      shown.length + (this.filters.get("text") ? 1 : 0) > 0 &&
        button({
          id: "clear-filters",
          kind: "link",
          text: "Clear all",
          on: { click: () => this.#clear() },
        }),
    );
    this.chips.hidden = this.chips.childElementCount === 0;
  }

  // The order of the list is not a filter, and a live list stays live.
  #clear() {
    this.shownText = null;
    this.#change(new Filters(this.filters.pairs.filter(([name]) => VIEW.includes(name))));
  }

  async #submit(event) {
    event.preventDefault();
    this.suggestions.close();
    await this.#changeTyped(this.input.value);
  }

  async #changeTyped(typed) {
    this.shownText = null;
    await this.#changeForgiving(typedSearch(typed, this.filters), typed);
  }

  // A part of a name finds it; what was meant is looked up first.
  async #changeForgiving(filters, typed = "") {
    const before = this.filters;
    this.meaning?.abort();
    this.meaning = new AbortController();
    const { signal } = this.meaning;
    try {
      const { filters: next, cut } = await forgiven(filters, before, signal);
      if (signal.aborted) return;
      this.#change(next);
      this.hint.tell(typed, cut);
    } catch {
      /* Another search was begun, or the page was left. */
    }
  }

  #chooseSpan() {
    if (this.span.value === "choose") {
      // The choice is what applies, until another range does.
      this.span.value = this.shownSpan;
      this.range.open(this.filters, this.span);
      return;
    }
    this.range.close();
    if (this.span.value !== "custom") this.#change(this.filters.between(...this.span.value.split("..")));
  }

  // ---- live ----------------------------------------------------------------------------------------------

  #toggleLive() {
    if (this.tail.isOn) {
      this.tail.stop();
      return;
    }
    // New events come on top, and after all others.
    const open = this.filters.without("order").without("until").without("recorded_until").with("order_by", "recorded");
    if (open.toString() !== this.filters.toString()) this.#change(open);
    this.tail.start(this.filters, () => this.list.start());
  }

  #showLive(state, message) {
    this.liveState.dataset.state = state;
    this.liveState.textContent = message;
    this.liveButton.setAttribute("aria-pressed", String(state !== "off"));
    this.liveButton.classList.toggle("is-live", state === "live");
    this.liveButton.title = message;
    this.liveButton.lastElementChild.textContent = {
      off: "Live",
      connecting: "Connecting",
      live: "Live",
      waiting: "Waiting",
    }[state];
  }

  // ---- keys ----------------------------------------------------------------------------------------------

  key(event) {
    switch (event.key) {
      case "/":
        this.input.focus();
        this.input.select();
        return true;
      case "j":
      case "ArrowDown":
        return event.key === "j" || event.target.closest?.("#list") ? this.#move(1) : false;
      case "k":
      case "ArrowUp":
        return event.key === "k" || event.target.closest?.("#list") ? this.#move(-1) : false;
      case "f":
        this.panel.toggle();
        return true;
      case "l":
        this.#toggleLive();
        return true;
      case "r":
        this.#reload();
        announce("Searching again");
        return true;
      case "Enter": {
        const current = event.target === document.body && this.list.current;
        if (current) go(route().withEvent(current));
        return Boolean(current);
      }
      case "Escape":
        if (!this.panel.isOpen) return false;
        this.panel.toggle(false);
        this.panel.button.focus();
        return true;
      default:
        return false;
    }
  }

  #move(by) {
    const event = this.list.move(by);
    if (event && isDrawerOpen()) go(route().withEvent(event), { replace: true });
    return true;
  }

  // ---- nothing there -------------------------------------------------------------------------------------

  #empty(place) {
    if (!this.filters.query(VIEW).every(([name]) => name === "system")) {
      const anyTime = (this.filters.get("since") || this.filters.get("until")) && (() => this.#change(this.filters.between("", "")));
      fill(place, nothingMatches({ clear: () => this.#clear(), anyTime, isReversed: this.filters.isReversed }));
      return;
    }
    fill(place, noEvents());
    if (!this.tail.isOn) this.tail.start(this.filters, () => {});
  }
}
